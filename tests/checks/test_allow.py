"""`# netdsl: allow CODE: reason`: what it silences, and what is said of one that is wrong."""

from __future__ import annotations

import pytest

from netdsl import budget
from netdsl.diagnostics.codes import TABLE
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.selection import select
from netdsl.source import Source

NET = "net N {{\n  input image [3, 32, 32]\n{}\n  gap -> linear(10)\n}}\n"
WRONG = "  conv(8, 3) -> relu -> relu"


def codes(text: str) -> list[str]:
    return [d.code for d in Spec(Source(text, "example.net"), read_import).diagnostics]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (WRONG, ["repeated-activation"]),
        (f"{WRONG}  # netdsl: allow repeated-activation: as the paper", []),
        (f"  # netdsl: allow repeated-activation: as the paper\n{WRONG}", []),
        (f"  # netdsl: allow repeated-activation: as the paper\n  # the stem\n\n{WRONG}", []),
        (f"  # netdsl: allow repeated-activation\n{WRONG}", ["allow-without-reason"]),
        (f"  # netdsl: allow repeated-activation:\n{WRONG}", ["allow-without-reason"]),
        (f"  # netdsl: allow idle-pool: as the paper\n{WRONG}", ["unused-allow", "repeated-activation"]),
        (f"  # netdsl: allow repeated-activaton: a slip\n{WRONG}", ["unused-allow", "repeated-activation"]),
        (f"{WRONG}\n  # netdsl: allow repeated-activation: too late", ["repeated-activation", "unused-allow"]),
        ("  # netdsl: allow repeated-activation: fixed\n  conv(8, 3) -> relu", ["unused-allow"]),
        ("  # netdsl: allow bias-before-norm: as the paper\n  conv(8, 3) -> bn -> relu", []),
        (
            "  # netdsl: allow bias-before-norm: as the paper\n  conv(8, 3) -> bn -> relu -> relu",
            ["repeated-activation"],
        ),
        ("  # netdsl: allow unknown-name: no error can be allowed\n  rleu", ["unknown-name"]),
    ],
)
def test_allow(body: str, expected: list[str]) -> None:
    assert codes(NET.format(body)) == expected


def test_costs_are_told_only_by_themselves() -> None:
    assert codes(NET.format("  conv(8, 3) -> bn -> relu")) == ["bias-before-norm"]
    assert codes(NET.format("  conv(8, 3) -> bn -> relu -> relu")) == ["repeated-activation"]


def test_source_and_documentation_hold_no_allowance() -> None:
    block = "# A unit.\n# netdsl: allow bias-before-norm: as the paper\nblock Unit(c) = conv(c, 3) -> bn -> relu\n\n"
    spec = Spec(Source(block + NET.format("  Unit(8)"), "example.net"), read_import)
    assert not spec.diagnostics
    source = spec.net("N").source()
    assert "A unit." in source
    assert "allow" not in source


def test_a_recipe_that_is_chosen_is_linted_too() -> None:
    recipe = "recipe R for N {{\n  {}\n  optimizer = adamw(lr=0.5)\n}}\n"
    for comment, expected in (("", ["lr-out-of-range"]), ("# netdsl: allow lr-out-of-range: to see it fail", [])):
        spec = Spec(Source(NET.format("  conv(8, 3) -> relu") + recipe.format(comment), "example.net"), read_import)
        assert [d.code for d in select(spec, "R").diagnostics] == expected
        assert [d.code for d in spec.diagnostics] == expected


def test_few_misspelt_comments_get_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing words costs more than reading them: a file has suggestions for so many of its comments alone."""
    monkeypatch.setattr(budget, "SUGGESTIONS", 10 * len(TABLE))
    comments = "  # netdsl: allow repeated-activaton: a slip\n" * 30
    found = Spec(Source(NET.format(f"{comments}  conv(8, 3) -> relu"), "example.net"), read_import).diagnostics
    assert len(found) == 30
    assert sum(d.hint is not None for d in found) == 10


def test_diagnostics_come_in_the_order_of_the_text() -> None:
    body = "  a = 3\n  b = [4, 8]\n  c = image -> relu\n" + WRONG
    found = Spec(Source(NET.format(body), "example.net"), read_import).diagnostics
    lines = [d.at.line for d in found if d.at]
    assert lines == sorted(lines)
    assert lines == [3, 4, 5, 6]
