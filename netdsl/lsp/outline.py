"""The outline of a file: symbols, folding ranges and code lenses."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document
from netdsl.lsp.hover import head
from netdsl.lsp.lenses import Lens, lenses_of
from netdsl.lsp.occurrences import kind_of
from netdsl.syntax import ast

KINDS = types.SymbolKind
SYMBOLS = {
    "block": KINDS.Function, "net": KINDS.Class, "constant": KINDS.Constant, "recipe": KINDS.Struct,
    "experiment": KINDS.Event,
}  # fmt: skip

COMMANDS = {
    "summary": "netdsl.summary", "view": "netdsl.view", "train": "netdsl.train", "next": "netdsl.nextInstance",
}  # fmt: skip
"""What the editor is asked for by a click on a lens."""


def symbols(document: Document, analysis: Analysis) -> list[types.DocumentSymbol]:
    """The declarations of a file, with the labels inside."""
    found = []
    for node in analysis.checked.module.file.declarations:
        if isinstance(node, ast.Named):
            inside = [_label(document, label) for label in _labels(node)]
            detail = head(analysis.checked.module, node)
            found.append(_symbol(document, node.name, node, SYMBOLS[kind_of(node)], inside, detail))
    return found


def _symbol(
    document: Document, name: ast.Name, node: ast.Node, kind: types.SymbolKind,
    inside: list[types.DocumentSymbol], detail: str = "",
) -> types.DocumentSymbol:  # fmt: skip
    ranges = document.positions.range(node.at), document.positions.range(name.at)
    return types.DocumentSymbol(name.id, kind, *ranges, detail=detail or None, children=inside)


def _label(document: Document, label: ast.Label) -> types.DocumentSymbol:
    inside = [_label(document, inner) for inner in _labels(label.statement)]
    return _symbol(document, label.name, label, KINDS.Field, inside)


def _labels(node: ast.Node) -> Iterator[ast.Label]:
    """The labels inside a node that no other label is around."""
    for child in ast.children(node):
        if isinstance(child, ast.Label):
            yield child
        else:
            yield from _labels(child)


def workspace_symbols(documents: list[tuple[Document, Analysis]], query: str) -> list[types.WorkspaceSymbol]:
    """The declarations of files whose names hold a text."""
    return [
        types.WorkspaceSymbol(types.Location(document.uri, symbol.selection_range), symbol.name, symbol.kind)
        for document, analysis in documents
        for symbol in symbols(document, analysis)
        if query.lower() in symbol.name.lower()
    ]


def folds(document: Document, analysis: Analysis) -> list[types.FoldingRange]:
    """The ranges that can be folded: bodies, groups and longer comments."""
    found: list[types.FoldingRange] = []
    for node in ast.walk(analysis.checked.module.file):
        if isinstance(node, ast.Body | ast.Recipe | ast.Group | ast.Experiment):
            first, last = document.positions.position(node.at.start).line, document.positions.position(node.at.end).line
            if last > first:
                found.append(types.FoldingRange(first, last - 1))
    return sorted([*found, *_comments(document, analysis)], key=lambda f: (f.start_line, f.end_line))


def _comments(document: Document, analysis: Analysis) -> Iterator[types.FoldingRange]:
    """Comments that go over several lines."""
    lines = [document.positions.position(c.at.start).line for c in analysis.checked.module.file.comments if c.own_line]
    start = previous = -2
    for line in [*lines, -2]:
        if line != previous + 1:
            if previous > start >= 0:
                yield types.FoldingRange(start, previous, kind=types.FoldingRangeKind.Comment)
            start = line
        previous = line


def lenses(document: Document, analysis: Analysis) -> list[types.CodeLens]:
    """The lines above declarations, each with the command that a click runs."""
    return [
        types.CodeLens(document.positions.range(lens.at), _command(lens, document))
        for lens in lenses_of(analysis, document.chosen)
    ]


def _command(lens: Lens, document: Document) -> types.Command:
    return types.Command(lens.text, COMMANDS[lens.action], arguments=[document.uri, lens.name])
