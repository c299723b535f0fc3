"""Definition, references and highlights: the places that mean the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from lsprotocol import types

from netdsl.elaborate.modules import Module
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document, uri_of
from netdsl.lsp.occurrences import Occurrence, occurrences
from netdsl.lsp.positions import positions_in
from netdsl.source import Source, Span
from netdsl.syntax import ast


def definition(document: Document, analysis: Analysis, offset: int) -> types.Location | None:
    """Where the name under the cursor is declared, in this file or another; the file of an import."""
    for node in analysis.checked.module.file.declarations:
        if isinstance(node, ast.Import) and node.module_at.start <= offset <= node.module_at.end:
            other = analysis.checked.module.imports.get(node.module)
            return location(other.source, Span(0, 0), analysis) if other else None
    found = analysis.occurrence(offset)
    if found is None or found.target is None:
        return None
    module, span = found.target
    return location(module.source, span, analysis)


def location(source: Source, span: Span, analysis: Analysis) -> types.Location:
    """A place of any file."""
    return types.Location(uri_of(source, analysis), positions_in(source.text).range(span))


def same(found: Occurrence, analyses: Iterable[Analysis]) -> Iterator[tuple[Source, Occurrence]]:
    """Every place in the open files, and in those they import, that means what a name means."""
    if found.target is None:
        return
    real = cache(os.path.realpath)
    wanted = real(found.target[0].source.name), found.target[1]
    for module in modules(analyses, real):
        for o in occurrences(module):
            if o.target and (real(o.target[0].source.name), o.target[1]) == wanted:
                yield module.source, o


def modules(analyses: Iterable[Analysis], real: Callable[[str], str]) -> list[Module]:
    """The modules of texts, then those that they import; each file once."""
    found: dict[str, Module] = {}
    for analysis in analyses:
        module = analysis.checked.module
        found.setdefault(real(module.source.name), module)
    for analysis in analyses:
        for other in analysis.checked.module.below().values():
            found.setdefault(real(other.source.name), other)
    return list(found.values())


def references(
    analysis: Analysis, offset: int, analyses: list[Analysis], declaration: bool = True
) -> list[types.Location]:
    """Every place that means the same; without `declaration`, those that use it."""
    found = analysis.occurrence(offset)
    if found is None:
        return []
    places = sorted(same(found, [analysis, *analyses]), key=lambda p: (p[0].name, p[1].at.start))
    return [location(source, o.at, analysis) for source, o in places if declaration or not o.declares]


def highlights(document: Document, analysis: Analysis, offset: int) -> list[types.DocumentHighlight]:
    """The places of this file that mean the same."""
    found = analysis.occurrence(offset)
    if found is None:
        return []
    alike = [o for o in analysis.occurrences if o.target is not None and o.target == found.target] or [found]
    kinds = types.DocumentHighlightKind
    return [
        types.DocumentHighlight(document.positions.range(o.at), kinds.Write if o.declares else kinds.Read)
        for o in alike
    ]
