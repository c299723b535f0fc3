"""Names of classes, columns and files, and what specs say, are text in every output: whatever they hold, a page, a
drawing, a card or a table is the same one but for what it says."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from base64 import b64decode
from collections.abc import Callable
from gzip import decompress
from html.parser import HTMLParser
from typing import Any
from xml.dom import minidom

import pytest
from foreign import TEXTS
from hypothesis import given, settings
from msgspec.structs import replace

from netdsl.experiment.table import written_in_latex
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.probe.model import Finding, Plot, Probed
from netdsl.probe.page import page as page_of_probe
from netdsl.publish.card import code, yaml
from netdsl.render.figure import Chart, Mark, Series, draw
from netdsl.render.markup import escape, packed
from netdsl.render.output import csv_text, marked
from netdsl.render.table import markdown
from netdsl.source import Source
from netdsl.training.report.svg import curves, matrix, scatter
from netdsl.view import page
from netdsl.view.drawing import Drawing, Drawings
from netdsl.view.svg import svg
from netdsl.view.tikz import escaped, tikz

CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
SEEN = re.compile(f"[^{CONTROL}\ud800-\udfff\ufffe\uffff]*")
"""Text without control characters, marks of direction and what XML has not."""


class Parsed(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(" ".join([tag, *sorted(name for name, _ in attrs)]))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.tags.append("!")

    def handle_data(self, data: str) -> None:
        self.text += data


def drawn(word: str) -> Drawing:
    """The drawing of a small net, on all boxes, lines and ports of which a word stands."""
    found = Drawings().of(SMALL.checked.main, 1)
    boxes = tuple(replace(b, item=replace(b.item, label=word, detail=word)) for b in found.boxes)
    lines = tuple(replace(line, shape=word, labelled=True) for line in found.lines)
    inputs = tuple(replace(p, name=word) for p in found.inputs)
    return replace(found, boxes=boxes, lines=lines, inputs=inputs)


SMALL = Spec(Source("net A {\n  input x [4]\n  linear(2) -> relu -> linear(3)\n}\n", "a.net"), read_import).net("A")


def chart(word: str) -> Chart:
    marks = (Mark(1, 2, 0.1, word, word), Mark(2, 3, 0.2, word, word))
    series = (Series(word, marks), Series(f"{word}2", marks, dashed=True))
    return Chart(title=word, across=word, up=word, series=series, names=(word, "b"), legend=word)


def probed(word: str) -> str:
    plot = Plot(word, word, word, {word: [(1, 2), (2, 3)]})
    return page_of_probe(Probed(word, (word,), (Finding(word, (word,), (word, "n"), ((word, 1.0),), (plot,)),)))


DRAWINGS: dict[str, Callable[[str], str]] = {
    "a figure": lambda word: draw(chart(word), alone=True),
    "a net": lambda word: svg(drawn(word), word),
    "curves": lambda word: curves(word, {word: [(1, 2), (2, 3)], "b": [(1, 1), (2, 2)]}),
    "a scatter": lambda word: scatter(word, [1, 2], [2, 1]),
}
PAGES: dict[str, Callable[[str], str]] = {
    "a confusion matrix": lambda word: matrix([[1, 2], [3, 4]], (word, "b")),
    "a sentence": lambda word: f"<p>{marked(word.replace('`', ''))}</p>",
    "a net": lambda word: page(replace(SMALL.checked, doc=f"x {word}"), "A"),
    "a probe": lambda word: probed(word.replace("`", "")),
}


@pytest.mark.parametrize("kind", DRAWINGS)
@given(TEXTS)
@settings(deadline=None, max_examples=60)
def test_a_drawing_is_well_formed(kind: str, word: str) -> None:
    text, plain = DRAWINGS[kind](word), DRAWINGS[kind]("word")
    minidom.parseString(text.encode())
    assert set(Parsed(text).tags) <= set(Parsed(plain).tags)
    assert SEEN.fullmatch(text)


@pytest.mark.parametrize("kind", PAGES)
@given(TEXTS)
@settings(deadline=None, max_examples=30)
def test_a_page_has_the_elements_that_it_has_for_a_word(kind: str, word: str) -> None:
    text = PAGES[kind](word)
    text.encode()
    assert Parsed(text).tags == Parsed(PAGES[kind]("word")).tags
    assert SEEN.fullmatch(text)


@given(TEXTS)
@settings(deadline=None)
def test_markup_is_the_text(word: str) -> None:
    (element,) = minidom.parseString(
        f"<a b='{escape(word)}' c=\"{escape(word)}\">.{escape(word)}</a>".encode()
    ).childNodes
    kept = "".join(c if SEEN.fullmatch(c) else "\N{REPLACEMENT CHARACTER}" for c in word)
    assert "".join(child.data for child in element.childNodes) == f".{kept}"
    assert html.unescape(escape(word)) == kept
    assert {element.getAttribute("b"), element.getAttribute("c")} == {re.sub("[\t\n]", " ", kept)}


@given(TEXTS)
@settings(deadline=None)
def test_tex_prints_the_text(word: str) -> None:
    for text in (escaped(word), written_in_latex(word)):
        told = re.sub(r"\\text[a-z]+\{\}|\$(\\[a-z]+|[<>|])\$|\\[&%$#_{}]", "", text)
        assert not re.search(r"[\\&%$#_{}~^]", told), text
        assert all(c.isprintable() for c in text), text


@given(TEXTS)
@settings(deadline=None, max_examples=30)
def test_tikz_draws_what_it_draws_for_a_word(word: str) -> None:
    def commands(text: str) -> list[str]:
        return re.findall(r"\\(?:node|draw|begin|end|definecolor|input|write|usepackage)\b", text)

    text = tikz(drawn(word or "x"), word)
    assert commands(text) == commands(tikz(drawn("word"), "word"))
    assert len(text.splitlines()) == len(tikz(drawn("word"), "word").splitlines())


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_csv_gives_the_cells_back(name: str, word: str) -> None:
    text = csv_text([{"a": 1, f"{name}.": word}, {"a": word}])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["a", f"{name}."], ["1", word], [word, ""]]


@given(TEXTS)
@settings(deadline=None)
def test_a_table_in_markdown_keeps_its_cells(word: str) -> None:
    lines = markdown(["a", word], [[word, "b"]], "<<").split("\n")
    assert [len(re.findall(r"(?<!\\)\|", line.replace(r"\\", ""))) for line in lines] == [3, 3, 3]
    assert all(line.isprintable() for line in lines)
    assert not re.search(r"(?<!\\)<", lines[2])


@given(TEXTS)
@settings(deadline=None)
def test_a_card_holds_the_text_as_text(word: str) -> None:
    parser: Any = pytest.importorskip("yaml")
    line = f"name: {yaml({'a': word, 'b': [word]})}"
    line.encode()
    kept = word.encode("utf-8", "replace").decode()
    assert parser.safe_load(f"{line}\nmore: 1\n") == {"name": {"a": kept, "b": [kept]}, "more": 1}
    assert code(word).isprintable()


@given(TEXTS)
@settings(deadline=None)
def test_the_data_of_a_page_come_back(word: str) -> None:
    text = packed({word: [word]})
    kept = word.encode("utf-8", "replace").decode()
    assert json.loads(decompress(b64decode(text))) == {kept: [kept]}
    assert re.fullmatch("[A-Za-z0-9+/=]*", text)
