"""Signature help: the arguments of what is being called."""

from __future__ import annotations

from lsprotocol import types

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.context import typing
from netdsl.lsp.documents import Document
from netdsl.lsp.hover import component_of, op_pages
from netdsl.lsp.occurrences import block
from netdsl.ops import REGISTRY

Parameters = list[tuple[str, str]]


def signature(document: Document, analysis: Analysis, offset: int) -> types.SignatureHelp | None:
    """The arguments of the innermost call around the cursor, the one that is being given marked."""
    now = typing(document.source.text, offset)
    if not now.call:
        return None
    doc, found = _arguments(now.call, now.field, analysis)
    if not found:
        return None
    names = [text.partition("=")[0] for text, _ in found]
    active = names.index(now.named) if now.named in names else min(now.given, len(names) - 1)
    label = f"{now.call}({', '.join(text for text, _ in found)})"
    parameters = [types.ParameterInformation(text, documentation=more or None) for text, more in found]
    return types.SignatureHelp([types.SignatureInformation(label, doc or None, parameters)], 0, active)


def _arguments(name: str, field: str, analysis: Analysis) -> tuple[str, Parameters]:
    """A description of something callable, and its arguments: as they are written, and what they mean."""
    if field:
        component = component_of(field, name)
        if component is None:
            return "", []
        given = [(a.name if a.written is None else f"{a.name}={a.written}", a.doc) for a in component.arguments]
        return component.doc, given
    known = block(analysis.checked.module, name)
    if known is not None:
        module, declared = known
        return declared.doc, [(module.place(p.at).text, "") for p in declared.parameters]
    if name in REGISTRY:
        page = op_pages()[name]
        operands = [(o, "a tensor") for o in page.inputs if o != "it"]
        given = [(a.name if a.default is None else f"{a.name}={a.default}", a.type) for a in page.arguments]
        return page.doc, operands + given
    return "", []
