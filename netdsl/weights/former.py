"""Keys of the previous release (0.2): what the layers of a net were called in the weights that it saved.

Release 0.3 names layers by what they are (`pwconv1` for a pointwise `linear1`), counts the branches of an `if` that
are not taken, and writes a block around a single layer as that layer. Elaboration keeps both names of every layer
(`Layer.former`); this table of them serves state dicts, checkpoints, run directories and ONNX files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from netdsl.analysis.count import join
from netdsl.ir.model import Definition
from netdsl.weights.slots import slots

T = TypeVar("T")
Table = Mapping[str, str]
"""The path of each layer today by the one it had."""

NONE: Table = MappingProxyType({})
"""The table of a net that calls everything as before."""
PREFIX = re.compile(r"\w+/")
"""What stands before the keys of a checkpoint (`model/`, `average/`)."""
SLOW = "slow."
"""What stands before the slow weights in a checkpoint's averages."""


def former_paths(main: Definition) -> Table:
    """The path of every layer of a net by the one it had in the previous release."""
    return dict(_paths(main, {}))


def _paths(definition: Definition, memo: dict[Definition, list[tuple[str, str]]]) -> list[tuple[str, str]]:
    if definition not in memo:
        found: list[tuple[str, str]] = []
        for layer in definition.layers:
            former = layer.former or layer.name
            found.append((former, layer.name))
            if isinstance(layer.callee, Definition):
                inner = _paths(layer.callee, memo)
                found += [(join(former, old), join(layer.name, new)) for old, new in inner]
        memo[definition] = found
    return memo[definition]


def renamed(name: str, table: Table) -> str:
    """A name that begins with the path of a layer, with the layer's path of today."""
    end = len(name)
    while end > 0:
        if name[:end] in table:
            return table[name[:end]] + name[end:]
        end = name.rfind(".", 0, end)
    return name


def current(main: Definition, tensors: Mapping[str, T]) -> dict[str, T]:
    """Tensors of a state dict or a checkpoint by the keys of today, whichever release they are from."""
    table = former_paths(main)
    own = {slot.key for slot in slots(main)}
    names = {name: _renamed(name, table) for name in tensors}
    if _count(own, names.values()) <= _count(own, tensors):
        return dict(tensors)
    return {names[name]: tensor for name, tensor in tensors.items()}


def former(main: Definition, tensors: Mapping[str, T]) -> dict[str, T]:
    """Tensors of a state dict by the keys of the previous release."""
    table = {new: old for old, new in former_paths(main).items()}
    return {renamed(name, table): tensor for name, tensor in tensors.items()}


def is_former(main: Definition, names: Iterable[str]) -> bool:
    """Whether names of tensors are those of the previous release, and not those of today."""
    names = dict.fromkeys(names)
    return current(main, names).keys() != names.keys()


def _renamed(name: str, table: Table) -> str:
    found = PREFIX.match(name)
    prefix, key = name[: found.end() if found else 0], name[found.end() if found else 0 :]
    if prefix and key.startswith(SLOW) and SLOW[:-1] not in table:
        prefix, key = prefix + SLOW, key.removeprefix(SLOW)
    return prefix + renamed(key, table)


def _count(own: set[str], names: Iterable[str]) -> int:
    """How many of the net's keys are among some names."""
    return len(own.intersection(PREFIX.sub("", name, count=1) for name in names))
