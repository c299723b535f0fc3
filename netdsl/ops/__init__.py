"""The ops of the language. Every module beside this one is a family: a new family is one new file.

A family is imported when one of its ops is first asked for. Which file holds which op is found by importing them all
once, and kept in the cache folder for as long as the files stay the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib import import_module

from msgspec import msgpack

from netdsl.cache import remember, remembered
from netdsl.ops.base import REGISTERED, Op


class Registry(Mapping[str, type[Op]]):
    """Every op of the language by name."""

    def __init__(self, folder: str) -> None:
        self._families = sorted(f[:-3] for f in os.listdir(folder) if f.endswith(".py") and not f.startswith("_"))
        self._index: dict[str, str] = self._kept(folder) or {}

    def _kept(self, folder: str) -> dict[str, str]:
        """Op name to family, from the cache folder or by importing every family."""
        stamps = [(f, os.stat(os.path.join(folder, f"{f}.py"))) for f in self._families]
        key = repr([(folder, f, s.st_mtime_ns, s.st_size) for f, s in stamps])
        name = f"{sha256(key.encode()).hexdigest()}.ops"
        kept = remembered(name)
        if kept is not None:
            return msgpack.decode(kept, type=dict[str, str])
        index: dict[str, str] = {}
        for family in self._families:
            import_module(f"{__name__}.{family}")
            index |= {kind: family for kind in REGISTERED if kind not in index}
        remember(name, msgpack.encode(index))
        return index

    def add(self, op: type[Op]) -> None:
        """Add an op of a plug-in, which is in no family."""
        REGISTERED[op.kind] = op
        self._index[op.kind] = op.__module__

    def remove(self, name: str) -> None:
        """Take an op of a plug-in out again."""
        del REGISTERED[name], self._index[name]

    def __getitem__(self, name: str) -> type[Op]:
        if name not in REGISTERED:
            import_module(f"{__name__}.{self._index[name]}")
        return REGISTERED[name]

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


REGISTRY = Registry(__path__[0])

__all__ = ["REGISTRY", "Registry"]
