"""Semantic tokens: colours that follow what names mean, not what they look like."""

from __future__ import annotations

from lsprotocol import types

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document

TYPES = ("class", "function", "variable", "parameter", "property", "enumMember", "type", "label", "macro")
MODIFIERS = ("declaration", "defaultLibrary")
LEGEND = types.SemanticTokensLegend(list(TYPES), list(MODIFIERS))

KINDS = {
    "net": "class", "block": "class", "recipe": "class", "experiment": "class", "entry": "property",
    "measure": "property", "constant": "variable", "local": "variable", "op": "function",
    "builtin": "function", "argument": "parameter", "field": "property", "component": "function", "selector": "label",
    "label": "label", "output": "label", "type": "type", "word": "enumMember",
}  # fmt: skip
"""The colour of each kind of name."""

LIBRARY = ("op", "builtin", "component", "word", "type")


def tokens(document: Document, analysis: Analysis) -> types.SemanticTokens:
    """The names of a text, each relative to the one before, as the protocol has it."""
    data: list[int] = []
    line = column = 0
    for o in analysis.occurrences:
        if o.kind not in KINDS:
            continue
        start, end = document.positions.position(o.at.start), document.positions.position(o.at.end)
        if start.line != end.line or (start.line, start.character) < (line, column):
            continue
        before = column if start.line == line else 0
        modifiers = o.declares + 2 * (o.kind in LIBRARY)
        kind = TYPES.index(KINDS[o.kind])
        data += [start.line - line, start.character - before, end.character - start.character, kind, modifiers]
        line, column = start.line, start.character
    return types.SemanticTokens(data)
