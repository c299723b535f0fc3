"""Texts with wide characters, other ends of lines, tabs and a mark at their beginning: every feature of the server says
the same of them, at the same places, as of the plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pygls", reason="the language server needs `pip install 'netdsl[lsp]'`")
pytest.importorskip("pytest_lsp", reason="the client of these tests is pytest-lsp")

from editor import Editor
from lsprotocol import types
from lsprotocol.converters import get_converter

from netdsl.lsp.positions import Positions

TEXT = """\
block Unit(c, stride=1) = conv(c, 3, stride=stride) -> relu
net Small(classes=10) {
  input image [3, 8, 8]
  require classes > 1, "at least two"
  stem: Unit(8) -> Unit(16, stride=2)
  residual { conv(16, 3) -> relo }
  linear(classes)
}
recipe Short for Small {
  data = digits()
  optimizer = sgd(lr=0.1)
  group bias { weight_decay = 0 }
}
"""

WIDE = {
    "mark": [(r"\A", "\ufeff")],
    "ends of lines": [(r"\n", "\r")],
    "comments": [(r"(?<=\{)(?=\n)", "  # 😀 \u2028 \x0b"), (r"\A", "# 😀é\n\n")],
    "texts": [(r'(?<=")(?=at)', "😀é")],
    "blanks": [(r"^(?=  )", "\t"), (r"(?<=-> )(?=[a-z]+\()", "\u00a0")],
}
"""What is put into the text, and where; it never goes between a name and what follows."""

ASKED = ("stride=stride", "Unit(16", "16, stride=2", "classes)\n}", "bias {", "lr=")
WHOLE = types.Range(types.Position(0, 0), types.Position(9999, 0))
EVERYWHERE = ("documentSymbol", "codeLens", "inlayHint", "codeAction", "semanticTokens/full")
PLACED = ("hover", "completion", "signatureHelp", "definition", "references", "documentHighlight", "rename")
MORE: dict[str, dict[str, Any]] = {
    "inlayHint": {"range": WHOLE},
    "codeAction": {"range": WHOLE, "context": types.CodeActionContext([])},
    "references": {"context": types.ReferenceContext(True)},
    "rename": {"new_name": "Other"},
}


def plain(value: Any, positions: Positions, original: list[int]) -> Any:
    """An answer with offsets of the plain text in the place of positions, and without addresses."""
    if isinstance(value, dict) and set(value) == {"line", "character"}:
        return original[positions.offset(types.Position(**value))]
    if isinstance(value, dict):
        dropped = ("uri", "codeDescription", "documentation", "arguments")
        pairs = ((re.sub("^file:.*", "", k), v) for k, v in value.items() if k not in dropped)
        return {k: plain(v, positions, original) for k, v in pairs}
    if isinstance(value, list | tuple):
        return [plain(item, positions, original) for item in value]
    return value


def colours(data: list[int], positions: Positions, original: list[int]) -> Iterator[tuple[int, int, int]]:
    line = column = 0
    for lines, columns, length, *kind in zip(*[iter(data)] * 5, strict=True):
        line, column = line + lines, columns if lines else column + columns
        start, end = (positions.offset(types.Position(line, c)) for c in (column, column + length))
        yield original[start], original[end], kind[0]


def said(editor: Editor, name: str, text: str, original: list[int]) -> dict[str, Any]:
    """Everything that the server says of a text. `original`: the offset in the plain text for each of its own."""
    unstructure, positions = get_converter().unstructure, Positions(text)
    found = {"diagnostics": plain(unstructure(editor.open(name, text)), positions, original)}
    for feature in EVERYWHERE:
        answer = unstructure(editor.ask(f"textDocument/{feature}", name, **MORE.get(feature, {})))
        tokens = answer["data"] if feature.startswith("semantic") else None
        found[feature] = (
            plain(answer, positions, original) if tokens is None else list(colours(tokens, positions, original))
        )
    for place in (TEXT.index(word) + 1 for word in ASKED):
        position = positions.position(len(original) - 1 - original[::-1].index(place))
        for feature in PLACED:
            answer = editor.ask(f"textDocument/{feature}", name, position=position, **MORE.get(feature, {}))
            found[f"{feature} at {place}"] = plain(unstructure(answer), positions, original)
    return found


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with Editor(tmp_path_factory.mktemp("specs")) as open_editor:
        yield open_editor


@pytest.fixture(scope="module")
def wanted(editor: Editor) -> dict[str, Any]:
    return said(editor, "plain.net", TEXT, list(range(len(TEXT) + 1)))


@pytest.mark.parametrize("kind", [*WIDE, "all"])
def test_positions_are_those_of_the_plain_text(kind: str, editor: Editor, wanted: dict[str, Any]) -> None:
    text, original = TEXT, list(range(len(TEXT) + 1))
    for pattern, inserted in [p for k, patterns in WIDE.items() if kind in (k, "all") for p in patterns]:
        for match in reversed(list(re.finditer(pattern, text, re.MULTILINE))):
            at = match.start()
            text = text[:at] + inserted + text[at:]
            original[at:at] = [original[at]] * len(inserted)
    found = said(editor, f"{kind}.net", text, original)
    for what, answer in found.items():
        assert answer == wanted[what], what
