"""Inlay hints, as an editor takes them."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document
from netdsl.lsp.hints import Hint, hints_of
from netdsl.source import Span


def inlay_hints(document: Document, analysis: Analysis, span: Span) -> list[types.InlayHint]:
    """The hints in a span."""
    return shown(document, hints_of(analysis, document.good, span, document.chosen))


def shown(document: Document, hints: Iterable[Hint]) -> list[types.InlayHint]:
    """Hints as an editor takes them."""
    return [
        types.InlayHint(
            document.positions.position(h.offset), h.text, types.InlayHintKind.Type, padding_left=True,
            tooltip=h.more or None,
        )
        for h in hints
    ]  # fmt: skip
