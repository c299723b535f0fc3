"""Lints: each fires on its wrong examples alone and on none of its near misses, and on nothing in the zoo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import ROOT

from netdsl.checks.lint.recipe_rules import RECIPE_RULES
from netdsl.checks.lint.rules import COSTS, FILE_RULES
from netdsl.diagnostics.codes import TABLE
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.suggest import suggest
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

EXAMPLES = {p.stem: p for p in sorted((ROOT / "tests/checks/lints").glob("*.net"))}
RULES = FILE_RULES | COSTS | RECIPE_RULES
MARK = re.compile(r"^# (INVALID|VALID): (.*)\n", re.MULTILINE)


NAMES = re.compile(r"^(?:net|block) (\w+)", re.MULTILINE)


def examples(kind: str) -> list[tuple[str, str, str]]:
    """The code, the title and the text of every example of a kind."""
    found = []
    for code, path in EXAMPLES.items():
        _, *parts = MARK.split(path.read_text())
        found += [(code, t, s) for k, t, s in zip(parts[::3], parts[1::3], parts[2::3], strict=True) if k == kind]
    return found


def check(text: str) -> tuple[Diagnostic, ...]:
    return Spec(Source(text, "example.net"), read_import).diagnostics


def test_every_lint_has_a_code_and_examples() -> None:
    assert EXAMPLES.keys() == set(RULES)
    for code in RULES:
        assert TABLE[code].wrong, code
        for kind in ("INVALID", "VALID"):
            assert sum(c == code for c, _, _ in examples(kind)) >= 3, (code, kind)


INSIDE = {
    "a block": re.compile(r"^block ", re.MULTILINE),
    "a loop or a link": re.compile(r"^ .*\b(repeat|for|residual)\b", re.MULTILINE),
}
ELSEWHERE = {"unused-import", "unused-constant", "input-layout"}
"""Lints of what stands in no block and in no loop; neither do the fields of a recipe."""
ELSEWHERE |= {"flipped-digits", "lr-out-of-range", "ema-outlasts-run", "idle-smoothing", "unpaired-resolution"}
ELSEWHERE |= {"vanished-lr", "batch-exceeds-data"}


@pytest.mark.parametrize("code", RULES)
def test_a_lint_finds_what_is_inside_and_nothing_else_does(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for c, _, text in examples("INVALID") if c == code]
    for what, inside in INSIDE.items() if code not in ELSEWHERE else ():
        assert any(inside.search(text) for text in texts), what
    home = next(rules for rules in (FILE_RULES, COSTS, RECIPE_RULES) if code in rules)
    monkeypatch.setitem(home, code, lambda _: iter(()))
    assert not [text for text in texts if code in {d.code for d in check(text)}]


@pytest.mark.parametrize(("code", "title", "text"), examples("INVALID"), ids=lambda v: v[:40].replace("\n", " "))
def test_invalid(code: str, title: str, text: str) -> None:
    found = check(text)
    assert [(d.code, d.severity) for d in found] == [(code, "warning")], [d.message for d in found]


@pytest.mark.parametrize(("code", "title", "text"), examples("VALID"), ids=lambda v: v[:40].replace("\n", " "))
def test_valid(code: str, title: str, text: str) -> None:
    found = check(text)
    assert not found, [(d.code, d.message) for d in found]


def fixed(text: str, found: Diagnostic) -> str:
    """The text with the edits of a hint."""
    for hint in found.hints:
        for edit in sorted(hint.edits, key=lambda e: -e.at.span.start):
            text = text[: edit.at.span.start] + edit.text + text[edit.at.span.end :]
    return text


@pytest.mark.parametrize(("code", "title", "text"), examples("INVALID"), ids=lambda v: v[:40].replace("\n", " "))
def test_edits_mend(code: str, title: str, text: str) -> None:
    (found,) = check(text)
    if any(hint.edits for hint in found.hints):
        assert not check(fixed(text, found))


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.net")), ids=lambda p: p.stem)
def test_nothing_in_the_zoo_is_warned_of(path: Path) -> None:
    """What a paper really did is allowed in its spec, with the reason."""
    found = Spec(load_source(path), read_import).diagnostics
    assert not found, [(d.code, d.message) for d in found]


def suggested(text: str) -> tuple[Diagnostic, ...]:
    return suggest(Source(text, "example.net"), check(text), lambda other: check(other.text))


@pytest.mark.parametrize(("code", "title", "text"), examples("INVALID"), ids=lambda v: v[:40].replace("\n", " "))
def test_a_fix_takes_the_warning_away_and_renames_nothing(code: str, title: str, text: str) -> None:
    """A hint that tells what to add elsewhere is no fix: `relu` in the place of the name of a deep net of tanh."""
    for found in suggested(text):
        if any(hint.edits for hint in found.hints):
            after = fixed(text, found)
            assert code not in {d.code for d in check(after)}, after
            assert NAMES.findall(after) == NAMES.findall(text)


def test_dropout_is_not_replaced_by_a_norm() -> None:
    body = "input image [3, 8, 8]\n  conv(4, 3) -> relu -> dropout(0.2) -> bn -> gap"
    (found,) = suggested(f"net N {{\n  {body}\n}}\n")
    assert (found.code, [h.edits for h in found.hints]) == ("dropout-before-norm", [()])


WITH_LAYERS = ("a = conv(8, 3)", "a = x -> relu -> conv(8, 3)", "a = Twice")
WITHOUT = ("a = x + 1", "conv(8, 3) as a", "share a = conv(8, 3)", "a = 3", "a, b = chunk(2, axis=1)")


@pytest.mark.parametrize("line", [*WITH_LAYERS, *WITHOUT])
def test_a_value_without_layers_is_not_said_to_have_some(line: str) -> None:
    body = f"  input x [3, 8, 8]\n  {line}\n  conv(3, 3) -> gap\n"
    found = check(f"block Twice {{\n  conv(4, 3) -> relu\n}}\n\nnet A {{\n{body}}}\n")
    (unused,) = [d for d in found if d.code == "unused-value"]
    assert ("its layers are counted" in unused.message) is (line in WITH_LAYERS)
