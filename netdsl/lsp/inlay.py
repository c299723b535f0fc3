"""Inlay hints, as an editor takes them."""

from __future__ import annotations

from lsprotocol import types

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document
from netdsl.lsp.hints import hints_of
from netdsl.source import Span


def inlay_hints(document: Document, analysis: Analysis, span: Span) -> list[types.InlayHint]:
    """The hints in a span."""
    return [
        types.InlayHint(
            document.positions.position(h.offset), h.text, types.InlayHintKind.Type, padding_left=True,
            tooltip=h.more or None,
        )
        for h in hints_of(analysis, document.good, span, document.chosen)
    ]  # fmt: skip
