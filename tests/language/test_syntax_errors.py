"""Mistakes in syntax: any text gives a tree or diagnostics, one mistake one message, and what it says."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import TESTS

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.syntax import ast
from netdsl.syntax.parse import MOST_MISTAKES, parse, read

TEXTS = [path.read_text() for path in (TESTS / "data" / "format.net", *sorted((TESTS.parent / "specs").rglob("*.net")))]
LINES = TESTS / "data" / "slips.txt"
MANY = settings(max_examples=100)
TOKEN = re.compile(r'[A-Za-z0-9_.]+|"[^"\n]*"|->|[=!<>]=|\*\*|//|[^\s]')
PIECES = (
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "->",
    "=",
    "==",
    ":",
    ",",
    "|",
    "\n",
    "\n",
    "#",
    '"',
    "'",
    "x",
    "3",
    "net",
    "if",
    "é",
)


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    return read(Source(text))[1]


def nodes(node: ast.Node) -> Iterator[ast.Node]:
    yield node
    for child in ast.children(node):
        yield from nodes(child)


def check_any(text: str) -> tuple[Diagnostic, ...]:
    """A tree or diagnostics, and every span inside the text."""
    file, diagnostics = read(Source(text))
    assert len(diagnostics) <= MOST_MISTAKES
    spans = [node.at for node in nodes(file)]
    for diagnostic in diagnostics:
        assert diagnostic.code == "syntax"
        assert diagnostic.at is not None
        spans += [diagnostic.at.span, *(note.at.span for note in diagnostic.labels)]
    assert all(0 <= span.start <= span.end <= len(text) for span in spans)
    return diagnostics


@MANY
@given(st.text())
def test_any_text_gives_a_tree_or_diagnostics(text: str) -> None:
    check_any(text)


@MANY
@given(st.lists(st.sampled_from(PIECES)))
def test_any_tokens_give_a_tree_or_diagnostics(tokens: list[str]) -> None:
    check_any(" ".join(tokens))


@MANY
@given(st.data())
def test_damaged_specs_give_a_tree_and_diagnostics(data: st.DataObject) -> None:
    text = TEXTS[data.draw(st.integers(0, len(TEXTS) - 1))]
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.sampled_from((0, 1, 3, 40))))
        junk = data.draw(st.text(st.sampled_from("(){}[]->=|,:#\"'\n ;ab3é\x01"), max_size=3))
        text = text[:start] + junk + text[end:]
    check_any(text)


def test_one_mistake_gives_one_message() -> None:
    """A token left out, or written twice: at most one message, but for one mistake in a hundred."""
    rng = random.Random(0)
    found = []
    for _ in range(400):
        text = rng.choice(TEXTS)
        code = [m for m in TOKEN.finditer(text) if "#" not in text[text.rfind("\n", 0, m.start()) + 1 : m.start() + 1]]
        token = rng.choice(code)
        twice = f"{token[0]} {token[0]}" if rng.random() < 0.5 else ""
        found.append(len(check_any(text[: token.start()] + twice + text[token.end() :])))
    assert sum(count > 1 for count in found) <= len(found) / 100
    assert max(found) <= 3
    assert sum(count == 1 for count in found) > len(found) / 2


def test_what_is_right_beside_a_mistake_is_read() -> None:
    file, diagnostics = read(Source("net A {\n  conv(3)\n  x = = 3\n  relu\n}\nB = )\nC = 3\nD => 4\n"))
    assert [d.at.line for d in diagnostics if d.at] == [3, 6, 8]
    assert [d.name.id for d in file.declarations] == ["A", "C"]  # type: ignore[union-attr]
    assert len(file.declarations[0].body.statements) == 2  # type: ignore[union-attr]


def test_messages_of_common_slips(update_golden: bool) -> None:
    """`tests/data/slips.txt`: each wrong line with what is said of it. A file of messages to be read, and improved."""
    shown = []
    for line in [part.split("\n")[0] for part in LINES.read_text().split("\n\n") if part]:
        kind, _, wrong = line.partition(": ")
        text = f"net A {{\n  conv(1)\n  {wrong}\n  conv(2)\n}}\n" if kind == "body" else f"A = 1\n{wrong}\nB = 2\n"
        found = [(d, f"\n  at `{d.at.text}`" if d.at and d.at.text else "") for d in mistakes(text)]
        said = [f"  {d.message}{at}" + (f"\n  hint: {d.hint}" if d.hint else "") for d, at in found]
        shown.append("\n".join([line, *said]))
    written = "\n\n".join(shown) + "\n"
    if update_golden:
        LINES.write_text(written)
    assert written == LINES.read_text()


# Limits


MUCH = 10_000
EXTREMES = {
    "opened": "A = " + "(" * MUCH,
    "parentheses": "A = " + "(" * MUCH + "1" + ")" * MUCH,
    "lists": "A = " + "[" * MUCH + "]" * MUCH,
    "calls": "A = " + "f(" * MUCH + ")" * MUCH,
    "nots": "A = " + "not " * MUCH + "x",
    "signs": "A = " + "-" * MUCH + "x",
    "closed": "}" * MUCH,
    "sum": "A = 1" + " + 1" * MUCH,
    "braces": "net A " + "{" * MUCH,
    "labels": "net A { " + "a: " * MUCH + "b }",
    "branches": "net A { if a {}" + " else if a {}" * MUCH + "}",
    "digits": "A = " + "9" * MUCH,
    "binary": "\0\x01\x02",
    "empty": "",
    "blank": "\n \n",
    "hash": "#",
    "mark": "\ufeff",
    "quote": "A = 'x",
    "surrogate": "A = \ud800",
}


@pytest.mark.parametrize("text", EXTREMES.values(), ids=list(EXTREMES))
def test_extremes(text: str) -> None:
    file, diagnostics = parse(Source(text))
    assert isinstance(file, ast.File)
    assert all(d.message for d in diagnostics)


@pytest.mark.parametrize("line", ["net A {\n  conv(3) -> relu  # c\n}\n\n", "A == 1\n", "# c\n", "A = [1, 2, 3]\n"])
def test_time_grows_with_length(line: str) -> None:
    def seconds(copies: int) -> float:
        text = line * copies
        start = time.process_time()
        read(Source(text))
        return time.process_time() - start

    seconds(10)
    assert seconds(4000) < 10 * max(seconds(1000), 0.01)


@pytest.mark.parametrize(
    "line", ["a := 3", "input image 3", "conv 64 3", "import a", "outputs { a: relu }", "let a = 3"]
)
def test_comments_above_a_statement_change_no_hint(line: str) -> None:
    """What a statement begins with is what stands behind its comments."""
    plain, below = (
        Spec(Source(f"net A {{\n  input x [3, 8, 8]\n{above}  {line}\n}}\n"), read_import).diagnostics
        for above in ("", "  # one\n\n  # two\n")
    )
    assert [(d.message, d.hint) for d in plain] == [(d.message, d.hint) for d in below]
    assert plain[0].hint is not None


@pytest.mark.parametrize(
    "line", ["z = ones * 2 3", "w = zeros ones", "z = x ? ones : zeros", "z = (ones", "p = nn.Parameter(torch.ones(8))"]
)
def test_words_that_damaged_text_only_uses_hide_nothing(line: str) -> None:
    """What a line that cannot be read may name are the words before its `=`; it names nothing for the lines above."""
    body = f"  p = param((8,), init=ones)\n  q = param((8,), init=zeros)\n  {line}\n  linear(3)\n"
    found = Spec(Source(f"net A {{\n  input x [4, 8]\n{body}}}\n", "a.net"), lambda *_: None).diagnostics
    assert [d.at.line for d in found if d.code == "unknown-name" and d.at][:2] == [3, 4]


def test_a_recipe_that_binds_arguments_of_its_net_says_what_does() -> None:
    text = "net A(width=3) {\n  input x [4]\n  linear(width)\n}\nrecipe R for A(width=8) {\n  epochs = 3\n}\n"
    (found,) = Spec(Source(text), read_import).diagnostics
    assert found.hint == "a variant has a name: `net Small = Net(width=8)`, then `recipe ... for Small`"
