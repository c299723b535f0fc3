"""Mistakes as an editor shows them."""

from __future__ import annotations

from lsprotocol import types

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document, uri_of
from netdsl.lsp.pages import code_page
from netdsl.lsp.positions import positions_in
from netdsl.source import Place, Span

SEVERITY = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "note": types.DiagnosticSeverity.Information,
}


def published(document: Document, analysis: Analysis) -> types.PublishDiagnosticsParams:
    """All that is wrong with a text, for the editor to underline."""
    found = [shown(d, document, analysis) for d in analysis.diagnostics]
    return types.PublishDiagnosticsParams(document.uri, found, document.version)


def shown(found: Diagnostic, document: Document, analysis: Analysis) -> types.Diagnostic:
    """One diagnostic. What lies in a file that this one imports is shown at the import, with its place beside it."""
    labels = [(label.message, label.at) for label in found.labels]
    at, message = found.at, found.message
    if at is not None and at.source is not analysis.source:
        labels.insert(0, (message, at))
        message = f"{message} (line {at.line} of {at.source.name})"
        at = analysis.import_of(at)
    span = at.span if at is not None else Span(0, 0)
    link = code_page(found.code)
    hints = [f"hint: {hint.message}" for hint in found.hints]
    return types.Diagnostic(
        document.positions.range(_visible(span, analysis.source.text)),
        "\n".join([message, *found.notes, *hints]),
        severity=SEVERITY[found.severity],
        code=found.code,
        code_description=types.CodeDescription(link) if link else None,
        source="netdsl",
        related_information=[_related(words, place, document, analysis) for words, place in labels] or None,
    )


def _visible(span: Span, text: str) -> Span:
    """The span, or the character before where it is empty at the end of a text."""
    return span if span.end > span.start or not text else Span(max(0, min(span.start, len(text) - 1)), span.start + 1)


def _related(words: str, at: Place, document: Document, analysis: Analysis) -> types.DiagnosticRelatedInformation:
    own = at.source is analysis.source
    positions = document.positions if own else positions_in(at.source.text)
    uri = document.uri if own else uri_of(at.source, analysis)
    return types.DiagnosticRelatedInformation(types.Location(uri, positions.range(at.span)), words)
