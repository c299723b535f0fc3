"""The summary of a net, as a value: totals, inputs and outputs, and a tree of rows. `render` prints it."""

from netdsl.summary.model import Port, Row, Summary
from netdsl.summary.summarize import summarize, totals_of

__all__ = ["Port", "Row", "Summary", "summarize", "totals_of"]
