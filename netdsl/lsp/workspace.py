"""The specs of the workspace that are not open: they may use what an open one declares."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice

from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import beside, load_source, specs_below
from netdsl.lsp.analysis import Analysis
from netdsl.source import Source

MOST = 2_000
"""How many specs are looked at."""

FOLDERS = 5_000
"""How many folders are looked into: an editor may have opened a whole disk."""


class Workspace:
    """The specs on the disk. A file is read again when it has changed. For one thread."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[tuple[int, int], Source]] = {}

    def specs(self, paths: Iterable[str], unsaved: Mapping[str, Source], word: str = "") -> list[Analysis]:
        """The specs of some paths that hold a word, read but not checked; none that is open (`unsaved`)."""
        holds = re.compile(rf"\b{re.escape(word)}\b").search
        paths = dict.fromkeys(os.path.realpath(path) for path in islice(paths, MOST))
        sources = [self._source(path) for path in paths if path not in unsaved]
        return [Analysis(s, unsaved).read() for s in sources if s is not None and holds(s.text)]

    def _source(self, path: str) -> Source | None:
        """The text of a file; None where it cannot be read."""
        with suppress(OSError, Fault):
            found = os.stat(path)
            stamp = found.st_mtime_ns, found.st_size
            known = self.kept.get(path)
            if known is None or known[0] != stamp:
                known = self.kept[path] = stamp, load_source(path)
            return known[1]
        return None


def around(file: str, folders: Iterable[str]) -> Iterator[str]:
    """The paths of the specs that may import a file: those beside it, then those below some folders."""
    yield from (os.path.join(os.path.dirname(file), f"{name}.net") for name in beside(file))
    yield from below(folders)


def below(folders: Iterable[str]) -> Iterator[str]:
    """The paths of the specs below some folders."""
    for folder in folders:
        yield from specs_below(folder, FOLDERS)
