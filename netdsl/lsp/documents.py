"""The open texts of an editor, and the checks of them: one at a time, in the background, cancelled by the next edit."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from pygls.uris import from_fs_path, to_fs_path

from netdsl.checks.unchanged import Memory
from netdsl.garbage import is_due
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.hints import Glance, Hint, common, glance_at, kept
from netdsl.lsp.positions import Positions
from netdsl.lsp.workspace import Workspace
from netdsl.source import Source
from netdsl.syntax import ast

SLOW = 0.1
"""Seconds of a check from which on the declaration that is being edited is looked at first."""

IDLE = 1.0
"""Seconds without an edit before garbage is collected."""

DEBOUNCE = 0.03
"""Seconds without an edit before a text is checked by itself."""

STACK = 64 * 1024 * 1024
"""Bytes of stack of the thread that checks: specs nest deeper than the 512 KiB that some systems give."""


class Document:
    """One open text. `last` is its newest finished analysis, which may be of an older text; `good` of one that could
    be read to its end. `edited` is where the newest edit begins; `glance` what is seen there before the check is done,
    and `glanced` whether the editor was told."""

    def __init__(self, uri: str, text: str, version: int | None) -> None:
        self.uri = uri
        self.name = path_of(uri)
        self.chosen: dict[str, int] = {}
        self.memory = Memory()
        self.last: Analysis | None = None
        self.good: Analysis | None = None
        self.task: asyncio.Task[Analysis] | None = None
        self.current: Analysis | None = None
        self.waiting: asyncio.TimerHandle | None = None
        self.glance: asyncio.Future[Glance | None] | None = None
        self.glanced = False
        self.looking: Analysis | None = None
        self.edited = 0
        self.source = Source("", self.name)
        self.set(text, version)

    def set(self, text: str, version: int | None) -> None:
        """Take a new text."""
        self.edited = common(self.source.text, text)
        self.source = Source(text, self.name)
        self.positions = Positions(text)
        self.version = version

    @property
    def key(self) -> str:
        return os.path.realpath(self.name)

    def cancel(self) -> None:
        """End what is being checked or will be."""
        if self.waiting is not None:
            self.waiting.cancel()
        for analysis in (self.current, self.looking):
            if analysis is not None:
                analysis.cancel()
        self.task = self.current = self.waiting = self.glance = self.looking = None


class Documents:
    """All open texts. `publish` is called with each finished check."""

    def __init__(self, publish: Callable[[Document, Analysis], None]) -> None:
        self.publish = publish
        self.by_uri: dict[str, Document] = {}
        self.tidying: asyncio.TimerHandle | None = None
        self.workspace = Workspace()
        before = threading.stack_size(STACK)
        self.worker = ThreadPoolExecutor(1, "netdsl-check")
        self.worker.submit(int).result()  # starts the thread, with that stack
        threading.stack_size(before)

    def open(self, uri: str, text: str, version: int | None) -> None:
        """Take a text that was opened or edited, and check it soon."""
        document = self.by_uri.get(uri)
        if document is None:
            document = self.by_uri[uri] = Document(uri, text, version)
        else:
            document.cancel()
            document.set(text, version)
        self.soon(document)
        self._dependents(document)

    def close(self, uri: str) -> Document | None:
        """Forget a text; files that import it are checked again."""
        document = self.by_uri.pop(uri, None)
        if document is not None:
            document.cancel()
            self._dependents(document)
        return document

    def refresh(self) -> None:
        """Check everything again: files have changed on the disk."""
        for document in self.by_uri.values():
            document.cancel()
            self.soon(document)

    def soon(self, document: Document) -> None:
        """Check a text as soon as nobody has edited it for a moment."""
        loop = asyncio.get_running_loop()
        document.waiting = loop.call_later(DEBOUNCE, lambda: self.task(document))

    def _dependents(self, changed: Document) -> None:
        """Check the open files that import something again."""
        for other in self.by_uri.values():
            if other is not changed and (other.last is None or other.last.spec is None or _imports(other.last)):
                other.cancel()
                self.soon(other)

    def task(self, document: Document) -> asyncio.Task[Analysis]:
        """The check of a text as it is now, begun where it has not been."""
        if document.waiting is not None:
            document.waiting.cancel()
            document.waiting = None
        if document.task is None:
            unsaved = {d.key: d.source for d in self.by_uri.values()}
            if document.last is not None and document.last.seconds > SLOW:
                self._look(document, unsaved)
            document.current = Analysis(document.source, unsaved, document.memory)
            document.current.addresses = {d.key: d.uri for d in self.by_uri.values()}
            document.task = asyncio.ensure_future(self._check(document, document.current))
        return document.task

    def _look(self, document: Document, unsaved: Mapping[str, Source]) -> None:
        """Begin to look at what is being edited; the one worker does that before the check."""
        loop = asyncio.get_running_loop()
        document.looking = Analysis(document.source, unsaved)
        chosen = dict(document.chosen)
        document.glance = loop.run_in_executor(self.worker, glance_at, document.looking, document.edited, chosen)

    async def glance(self, uri: str) -> tuple[Document, list[Hint]] | None:
        """The hints of a text whose check takes long, as far as they are known; None where the check is done, or soon
        will be."""
        document = self.by_uri.get(uri)
        if document is None or self.task(document).done() or document.glance is None:
            return None
        found = await document.glance
        if found is None or self.by_uri.get(uri) is not document or document.glance is None:
            return None
        document.glanced = True
        span, here = found
        good = document.good
        others = kept(good, document.source.text, document.chosen) if good is not None else ()
        return document, [*here, *(h for h in others if not span.start <= h.offset <= span.end)]

    def _tidy_soon(self) -> None:
        """Collect garbage as soon as nothing is typed for a while."""
        if self.tidying is not None:
            self.tidying.cancel()
        loop = asyncio.get_running_loop()
        tidy = partial(loop.run_in_executor, self.worker, gc.collect)
        self.tidying = loop.call_later(IDLE, tidy) if is_due() else None

    async def _check(self, document: Document, analysis: Analysis) -> Analysis:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.worker, _run, analysis)
        self._tidy_soon()
        if not analysis.cancelled:
            document.last = analysis
            if analysis.is_readable:
                document.good = analysis
            self.publish(document, analysis)
        return analysis

    async def analysis(self, uri: str) -> tuple[Document, Analysis] | None:
        """A text and its finished check; None where it is not open (any more)."""
        while (document := self.by_uri.get(uri)) is not None:
            with suppress(asyncio.CancelledError):
                analysis = await self.task(document)
                if not analysis.cancelled:
                    return document, analysis
        return None

    async def all(self, paths: Iterable[str], word: str = "") -> list[tuple[Document, Analysis]]:
        """Every open text with its check, then the specs of some paths that hold a word, only read."""
        found = [await self.analysis(uri) for uri in list(self.by_uri)]
        unsaved = {d.key: d.source for d in self.by_uri.values()}
        loop = asyncio.get_running_loop()
        closed = await loop.run_in_executor(self.worker, self.workspace.specs, paths, unsaved, word)
        others = [(Document(uri_of(a.source, a), a.source.text, None), a) for a in closed]
        return [pair for pair in (*found, *others) if pair is not None and pair[1].spec is not None]


def _run(analysis: Analysis) -> None:
    if not analysis.cancelled:
        analysis.run()


def _imports(analysis: Analysis) -> bool:
    return any(isinstance(d, ast.Import) for d in analysis.checked.module.file.declarations)


def path_of(uri: str) -> str:
    """The file that a URI means; for what is no file, the URI itself."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return path or uri


def uri_of(source: Source, analysis: Analysis) -> str:
    """The URI of a source, as the editor writes it where the text is open."""
    known = analysis.addresses.get(os.path.realpath(source.name))
    return known or from_fs_path(os.path.abspath(source.name)) or source.name
