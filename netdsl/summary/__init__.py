"""What a net amounts to, as a value: totals, inputs and outputs, and a tree of rows. How it looks is `render`'s."""

from netdsl.summary.model import Port, Row, Summary
from netdsl.summary.summarize import summarize, totals_of

__all__ = ["Port", "Row", "Summary", "summarize", "totals_of"]
