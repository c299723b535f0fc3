"""The ops of the language. Every module beside this one is a family: a new family is one new file.

A family is imported when one of its ops is first asked for. Which file holds which op is read from their texts: what
`@register("name")` says there. A family that makes ops of the rows of a table is imported instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module

from netdsl.ops.base import REGISTERED, Op

NAMED = b'\n@register("'
"""Before the name of an op."""
TABLE = b"elementwise("
"""In a family that makes ops of rows."""


class Registry(Mapping[str, type[Op]]):
    """Every op of the language by name."""

    def __init__(self, folder: str) -> None:
        families = sorted(f[:-3] for f in os.listdir(folder) if f.endswith(".py") and not f.startswith("_"))
        self._index = {kind: family for family in families for kind in self._kinds(folder, family)}

    def _kinds(self, folder: str, family: str) -> list[str]:
        """The ops of a family."""
        with open(os.path.join(folder, f"{family}.py"), "rb") as file:
            text = file.read()
        if TABLE in text:
            module = f"{__name__}.{family}"
            import_module(module)
            return [kind for kind, op in REGISTERED.items() if op.__module__ == module]
        return [part[: part.index(b'"')].decode() for part in text.split(NAMED)[1:]]

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
