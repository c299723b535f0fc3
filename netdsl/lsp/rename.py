"""Rename: another name in every place that means the same, where it means the same there too."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import defaultdict

from lsprotocol import types

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.documents import Document, uri_of
from netdsl.lsp.navigation import modules, same
from netdsl.lsp.occurrences import Occurrence, occurrences
from netdsl.lsp.positions import positions_in
from netdsl.source import Source, Span

NAME = re.compile(r"[A-Za-z_]\w*")


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
    """The edits that give a name to everything that means the same; an import that renames keeps its own name.

    Raises Refused where the name cannot stand there, or would mean something else.
    """
    found = analysis.occurrence(offset)
    if renamable(document, analysis, offset) is None or found is None:
        return None
    if not NAME.fullmatch(name):
        raise Refused(f"`{name}` is no name: names are letters, digits and `_`")
    everything = [analysis, *analyses]
    before = list(same(found, everything))
    if not _means_the_same(Renaming(before, found, name), everything):
        raise Refused(
            f"`{name}` is a word of the language, or means something else in a place where `{found.name}` stands"
        )
    changes: dict[str, list[types.TextEdit]] = defaultdict(list)
    for source, o in before:
        if o.name == found.name:
            changes[uri_of(source, analysis)].append(types.TextEdit(positions_in(source.text).range(o.at), name))
    return types.WorkspaceEdit(dict(changes))


class Refused(Exception):  # noqa: N818 - an answer, in words
    """A rename that would change what a spec means."""


class Renaming:
    """The places that mean the same, by the real paths of their files, and their texts with another name."""

    def __init__(self, places: list[tuple[Source, Occurrence]], found: Occurrence, name: str) -> None:
        self.longer = len(name) - len(found.name)
        self.edited: dict[str, list[Span]] = defaultdict(list)
        self.sources: dict[str, Source] = {}
        for source, o in places:
            path = os.path.realpath(source.name)
            self.sources[path] = source
            if o.name == found.name:
                self.edited[path].append(o.at)
        for spans in self.edited.values():
            spans.sort(key=_start)
        self.places = {(path, self.moved(path, o.at.start)) for (s, o) in places for path in [os.path.realpath(s.name)]}
        self.texts = {path: self._renamed(path, name) for path in self.edited}

    def moved(self, path: str, offset: int) -> int:
        """An offset of a file, after the rename."""
        return offset + self.longer * bisect_left(self.edited.get(path, ()), offset, key=_start)

    def _renamed(self, path: str, name: str) -> Source:
        source, parts, end = self.sources[path], [], 0
        for at in self.edited[path]:
            parts += [source.text[end : at.start], name]
            end = at.end
        return Source("".join([*parts, source.text[end:]]), source.name)


def _start(at: Span) -> int:
    return at.start


def _means_the_same(renaming: Renaming, analyses: list[Analysis]) -> bool:
    """Whether the renamed places are still those that mean one thing, and all texts can be read as before."""
    after = []
    for old in analyses:
        source = renaming.texts.get(os.path.realpath(old.source.name), old.source)
        new = Analysis(source, {**old.unsaved, **renaming.texts}).read()
        if new.spec is None or old.spec is None or len(new.spec.mistakes) > len(old.spec.mistakes):
            return False
        after.append(new)
    path, start = min(renaming.places)
    by_path = {os.path.realpath(m.source.name): m for m in modules(after, os.path.realpath)}
    found = next((o for o in occurrences(by_path[path]) if o.at.start == start), None)
    if found is None:
        return False
    return {(os.path.realpath(s.name), o.at.start) for s, o in same(found, after)} == renaming.places
