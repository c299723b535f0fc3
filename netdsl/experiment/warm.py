"""A spec that a worker keeps: runs of one experiment share its nets, which are elaborated and printed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.given import Expression
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

MOST = 32
"""Nets that are kept."""


class Warm(Spec):
    """A spec that gives the same net again to who asks for the same."""

    def __init__(self, text: str, name: str) -> None:
        self.imported: dict[tuple[str, str], str | None] = {}
        self.kept: dict[Any, Net] = {}
        super().__init__(Source(text, name), self._import)

    def _import(self, module: str, importer: Source) -> Source | None:
        found = read_import(module, importer)
        self.imported[module, importer.name] = _text(found)
        return found

    def still_holds(self) -> bool:
        """Whether every import gives the text that it gave."""
        return all(_text(read_import(m, Source("", name))) == text for (m, name), text in self.imported.items())

    def net(
        self,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        options: Options | None = None,
    ) -> Net:
        given = arguments or {}
        if not all(isinstance(v, Expression) for v in given.values()):
            return super().net(name, arguments, sizes, options)
        texts = tuple(sorted((n, str(v)) for n, v in given.items()))
        key = name, texts, tuple(sorted((sizes or {}).items())), repr(options or Options())
        if key not in self.kept:
            if len(self.kept) >= MOST:
                del self.kept[next(iter(self.kept))]
            self.kept[key] = super().net(name, arguments, sizes, options)
        return self.kept[key]


def _text(source: Source | None) -> str | None:
    return None if source is None else source.text


_latest: dict[object, Warm] = {}


def warm(text: str, name: str, *more: object) -> Warm:
    """The spec of a text, kept from the run before where that was of the same text, imports and `more`."""
    key = (text, name, *more)
    found = _latest.get(key)
    if found is None or not found.still_holds():
        _latest.clear()
        found = _latest[key] = Warm(text, name)
    found.elaborator = Elaborator()  # what a run may spend is not what is left by those before
    return found
