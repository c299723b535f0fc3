"""A checked file with hints whose edits are verified, for as much work as its check has left."""

from __future__ import annotations

from msgspec.structs import replace

from netdsl.budget import PER_TOKEN, UNITS, Budget
from netdsl.checked import Checked
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.suggest import suggest, untried
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.syntax.limits import tokens


def hinted(source: Source, checked: Checked) -> Checked:
    """The same, with edits in the hints that are verified; all together costs no more than half the budget of work."""
    reading = PER_TOKEN * tokens(source.text)
    budget = Budget(UNITS // 2 - checked.spent - reading)

    def everything(text: Source) -> tuple[Diagnostic, ...]:
        budget.left -= reading
        return Spec(text, read_import, budget=budget).diagnostics if budget.left > 0 else checked.diagnostics

    if budget.left < checked.spent + reading:
        return replace(checked, diagnostics=untried(checked.diagnostics))
    return replace(checked, diagnostics=suggest(source, checked.diagnostics, everything))


def everything_wrong(source: Source) -> tuple[Diagnostic, ...]:
    """All diagnostics of a text, as a check of the file finds them."""
    return Spec(source, read_import).diagnostics
