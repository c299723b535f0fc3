"""Fixes: what a diagnostic's hints can do by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from lsprotocol import types

from netdsl.diagnostics.diagnostic import Diagnostic, Hint
from netdsl.fixes.suggest import Limit
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.diagnostics import shown
from netdsl.lsp.documents import Document, uri_of
from netdsl.lsp.positions import positions_in
from netdsl.source import Span


def actions(document: Document, analysis: Analysis, span: Span) -> list[types.CodeAction]:
    """The code actions in a span: every fix of every mistake there, as far as the work for one text goes, and the
    line that allows a warning."""
    found: list[types.CodeAction] = []
    limit = Limit()
    for index, d in enumerate(analysis.diagnostics):
        at = d.at
        if at is not None and at.source is analysis.source and at.span.start <= span.end and span.start <= at.span.end:
            found += _mend(analysis.mended(index, limit), document, analysis)
            if d.severity == "warning":
                found.append(_allow(d, document, analysis))
    return found


def _mend(d: Diagnostic, document: Document, analysis: Analysis) -> Iterator[types.CodeAction]:
    fixes = [hint for hint in d.hints if hint.edits]
    for hint in fixes:
        yield types.CodeAction(
            hint.message[:1].upper() + hint.message[1:],
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[shown(d, document, analysis)],
            is_preferred=hint.safe and len(fixes) == 1,
            edit=_edit(hint, document, analysis),
        )


def _edit(hint: Hint, document: Document, analysis: Analysis) -> types.WorkspaceEdit:
    changes: dict[str, list[types.TextEdit]] = defaultdict(list)
    for edit in hint.edits:
        own = edit.at.source is analysis.source
        positions = document.positions if own else positions_in(edit.at.source.text)
        uri = document.uri if own else uri_of(edit.at.source, analysis)
        changes[uri].append(types.TextEdit(positions.range(edit.at.span), edit.text))
    return types.WorkspaceEdit(dict(changes))


def _allow(d: Diagnostic, document: Document, analysis: Analysis) -> types.CodeAction:
    """The comment above a line that allows what it is warned of there."""
    assert d.at is not None
    line = d.at.source.line(d.at.line)
    indent = line[: len(line) - len(line.lstrip())]
    start = d.at.source.line_starts[d.at.line - 1]
    at = document.positions.range(Span(start, start))
    text = types.TextEdit(at, f"{indent}# netdsl: allow {d.code}: {document.source.newline}")
    return types.CodeAction(
        f"Allow `{d.code}` here, with a reason",
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[shown(d, document, analysis)],
        edit=types.WorkspaceEdit({document.uri: [text]}),
    )
