"""The formatter: one style, the same meaning, every comment once, nothing left to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from generated_syntax import files
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paths import DATA
from paths import SPECS as SPECS_DIR

from netdsl.source import Source
from netdsl.syntax import ast, document
from netdsl.syntax.format import canonical_text, format_file, format_source, same
from netdsl.syntax.parse import parse, read

SPECS = sorted(SPECS_DIR.rglob("*.net"))
CASES = DATA / "format.net"
TEXTS = [path.read_text() for path in (CASES, *SPECS)]
SLOW = settings(max_examples=60)


def formatted(text: str) -> str:
    result, diagnostics = format_source(Source(text))
    assert not diagnostics, diagnostics[0].message
    assert result is not None
    return result


@contextmanager
def line_width(width: int) -> Iterator[None]:
    """Narrow lines break wherever they can."""
    before, document.WIDTH = document.WIDTH, width
    try:
        yield
    finally:
        document.WIDTH = before


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_specs_are_formatted(path: Path) -> None:
    text = path.read_text()
    assert formatted(text) == text


@SLOW
@given(files())
def test_any_tree_can_be_written_and_read(file: ast.File) -> None:
    text = format_file(file)
    again, diagnostics = read(Source(text))
    assert not diagnostics, text
    assert same(file, again), text
    assert format_file(again) == text


@SLOW
@given(files(), st.sampled_from((20, 50, 120)))
def test_what_is_written_is_already_formatted(file: ast.File, width: int) -> None:
    with line_width(width):
        text = formatted(format_file(file))
        assert formatted(text) == text
        assert canonical_text(read(Source(text))[0]) == canonical_text(file)


@SLOW
@given(st.data())
def test_comments_are_kept_wherever_they_stand(data: st.DataObject) -> None:
    text = TEXTS[data.draw(st.integers(0, len(TEXTS) - 1))]
    for number in range(data.draw(st.integers(1, 4))):
        places = [match.end() for match in re.finditer(r"[ \n(,\[{]", text)]
        at = places[data.draw(st.integers(0, len(places) - 1))]
        comment = data.draw(st.sampled_from((" # {}\n", "\n# {}\n", "#{}\n", "\n\n  # {}\n\n"))).format(f"c{number}")
        changed = text[:at] + comment + text[at:]
        text = text if read(Source(changed))[1] else changed
    with line_width(data.draw(st.sampled_from((40, 120)))):
        result = formatted(text)
    comments = [c.text.lstrip("# ") for c in read(Source(text))[0].comments]
    assert sorted(comments) == sorted(c.text.lstrip("# ") for c in read(Source(result))[0].comments)


@SLOW
@given(st.data())
def test_layout_does_not_matter(data: st.DataObject) -> None:
    """Newlines and blanks inside brackets come and go; what the file says does not, nor its canonical text."""
    text = TEXTS[data.draw(st.integers(0, len(TEXTS) - 1))]
    file, _ = read(Source(text))
    changed = re.sub(r", ", lambda m: data.draw(st.sampled_from((",", ", ", ",  "))), text)
    other, diagnostics = read(Source(changed))
    assume(not diagnostics)
    assert same(file, other)
    assert canonical_text(file) == canonical_text(other)


def test_examples() -> None:
    """`tests/data/format.net` is formatted, and `format_before.net` becomes it."""
    after = CASES.read_text()
    assert formatted(after) == after
    assert formatted(CASES.with_name("format_before.net").read_text()) == after


def test_tabs_and_a_byte_order_mark_are_tidied_and_lines_end_as_the_first_does() -> None:
    tidy = "net A {\r\n  conv(3)  # c\r\n\r\n  relu\r\n}\r\n"
    assert formatted("\ufeffnet A {\r\n\tconv(3) # c\r\n\r\n\r\n relu\r\n}\r\n") == tidy
    assert formatted(tidy) == tidy
    assert formatted("net A {\r\n  conv(3)\n}\n") == "net A {\r\n  conv(3)\r\n}\r\n"
    assert formatted("net A {\n  conv(3)\r\n}\r\n") == "net A {\n  conv(3)\n}\n"
    assert formatted("X=3") == "X = 3\n"


def test_mistakes_are_reported_and_nothing_is_formatted() -> None:
    text, diagnostics = format_source(Source("net A {"))
    assert text is None
    assert [d.code for d in diagnostics] == ["syntax"]


def test_an_unsafe_result_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdsl.syntax.format.format_file", lambda file, text="": "W = 4\n")
    text, diagnostics = format_source(Source("W = 3\n"))
    assert text is None
    assert [d.code for d in diagnostics] == ["format-unsafe"]


def test_canonical_text_knows_neither_comments_nor_layout() -> None:
    one = parse(Source("# a\nW = [1,\n 2,\n]\n\n\nnet A { conv(W, stride = 2) }\n"))[0]
    other = parse(Source("W = [1, 2]  # b\nnet A {\n  # c\n  conv(W, stride=2)\n}\n"))[0]
    assert canonical_text(one) == canonical_text(other)
    assert same(one, other)
    assert not same(one, parse(Source("W = [1, 3]\nnet A { conv(W, stride=2) }\n"))[0])


def test_the_work_of_a_long_list_is_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in documents that are looked at: rows of numbers and of pairs, twice as many cost twice as much."""
    counted = 0
    parts, flat = document._parts, document.Fill.flat

    def count(doc: Any, is_flat: bool) -> list[Any]:
        nonlocal counted
        found = parts(doc, is_flat)
        counted += 1 + len(found)
        return found

    def count_flat(self: document.Fill) -> list[Any]:
        nonlocal counted
        found = flat(self)
        counted += len(found)
        return found

    monkeypatch.setattr(document, "_parts", count)
    monkeypatch.setattr(document.Fill, "flat", count_flat)
    costs = []
    for rows in (50, 100):
        counted = 0
        line = ", ".join(["17", "(1, 2)", "-3"] * 5)
        assert format_source(Source("X = [\n" + f"{line},\n" * rows + "]\n"))[1] == ()
        costs.append(counted)
    assert costs[1] < 2.2 * costs[0]
