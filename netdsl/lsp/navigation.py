"""Definition, references, highlights and rename: the places that mean the same."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from lsprotocol import types

from netdsl.elaborate.modules import Module
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document, uri_of
from netdsl.lsp.occurrences import Occurrence, occurrences
from netdsl.lsp.positions import Positions
from netdsl.source import Source, Span
from netdsl.syntax import ast

NAME = re.compile(r"[A-Za-z_]\w*")


def definition(document: Document, analysis: Analysis, offset: int) -> types.Location | None:
    """Where the name under the cursor is declared, in this file or another; the file of an import."""
    for node in analysis.checked.module.file.declarations:
        if isinstance(node, ast.Import) and node.module_at.start <= offset <= node.module_at.end:
            other = analysis.checked.module.imports.get(node.module)
            return location(other.source, Span(0, 0)) if other else None
    found = analysis.occurrence(offset)
    if found is None or found.target is None:
        return None
    module, span = found.target
    return location(module.source, span)


def location(source: Source, span: Span) -> types.Location:
    """A place of any file."""
    return types.Location(uri_of(source), Positions(source.text).range(span))


def same(found: Occurrence, analyses: Iterable[Analysis]) -> Iterator[tuple[Source, Occurrence]]:
    """Every place in the open files, and in those they import, that means what a name means."""
    if found.target is None:
        return
    wanted = found.target[0].source.name, found.target[1]
    seen: set[tuple[str, Span]] = set()
    for module in _modules(analyses):
        for o in occurrences(module):
            target = (o.target[0].source.name, o.target[1]) if o.target else None
            if target == wanted and (module.source.name, o.at) not in seen:
                seen.add((module.source.name, o.at))
                yield module.source, o


def _modules(analyses: Iterable[Analysis]) -> list[Module]:
    found: dict[str, Module] = {}
    for analysis in analyses:
        module = analysis.checked.module
        found[module.source.name] = module
    for analysis in analyses:
        for other in analysis.checked.module.below().values():
            found.setdefault(other.source.name, other)
    return list(found.values())


def references(
    analysis: Analysis, offset: int, analyses: list[Analysis], declaration: bool = True
) -> list[types.Location]:
    """Every place that means the same; without `declaration`, those that use it."""
    found = analysis.occurrence(offset)
    if found is None:
        return []
    places = sorted(same(found, [analysis, *analyses]), key=lambda p: (p[0].name, p[1].at.start))
    return [location(source, o.at) for source, o in places if declaration or not o.declares]


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


def renamable(document: Document, analysis: Analysis, offset: int) -> types.Range | None:
    """The name under the cursor, where this project declares it."""
    found = analysis.occurrence(offset)
    if found is None or found.target is None or found.target[0].source.name not in _writable(analysis):
        return None
    return document.positions.range(found.at)


def _writable(analysis: Analysis) -> set[str]:
    """The files that may be changed: not those of the standard library."""
    from netdsl.loader import library

    names = {m.source.name for m in (analysis.checked.module, *analysis.checked.module.below().values())}
    return {n for n in names if n == analysis.source.name or not n.startswith(library())}


def rename(
    document: Document, analysis: Analysis, offset: int, name: str, analyses: list[Analysis]
) -> types.WorkspaceEdit | None:
    """The edits that give a name to everything that means the same; an import that renames keeps its own name."""
    found = analysis.occurrence(offset)
    if renamable(document, analysis, offset) is None or found is None or not NAME.fullmatch(name):
        return None
    changes: dict[str, list[types.TextEdit]] = defaultdict(list)
    for source, o in same(found, [analysis, *analyses]):
        if o.name == found.name:
            changes[uri_of(source)].append(types.TextEdit(Positions(source.text).range(o.at), name))
    return types.WorkspaceEdit(dict(changes))
