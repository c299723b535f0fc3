"""The positions of a recipe's parts in the text."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from netdsl.source import Place


class Places(Struct, frozen=True, eq=False):
    """The places of fields, components and arguments by dotted path (`optimizer.lr`, `augment.crop.size`,
    `freeze.stem`), and of the recipe's own name."""

    written: Mapping[str, Place] = {}
    name: Place | None = None

    def at(self, *paths: str) -> Place | None:
        """The place of the first of the paths that is written, itself or a part it belongs to; else of the recipe's
        name."""
        for path in paths:
            parts = path.split(".")
            while parts:
                if ".".join(parts) in self.written:
                    return self.written[".".join(parts)]
                parts.pop()
        return self.name


NOWHERE = Places()
"""The places of a recipe that was not read from a text."""
