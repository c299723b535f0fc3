"""Tensors that a file holds twice because its net has a layer under two names (`self.conv1` and `self.net[0]`), or uses
a matrix twice: the head of a language model beside the table of words that it is tied to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from netdsl.weights.names import concepts
from netdsl.weights.slots import Shape


def repeated(tensors: Mapping[str, Any]) -> list[list[str]]:
    """Names of tensors that hold the same numbers, and not one number alone: what was never trained proves nothing."""
    alike: dict[object, list[str]] = {}
    for name, array in tensors.items():
        if array.ndim and array.size:
            alike.setdefault((array.shape, array.dtype.str, array[(0,) * array.ndim].tobytes()), []).append(name)
    return [g for names in alike.values() if len(names) > 1 for g in _groups(tensors, names) if len(g) > 1]


def _groups(tensors: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    """Names of equal tensors together; without those of one number alone."""
    found: list[list[str]] = []
    for name in (n for n in names if not _is_constant(tensors[n])):
        same = next((g for g in found if np.array_equal(tensors[g[0]], tensors[name])), None)
        if same is None:
            found.append([name])
        else:
            same.append(name)
    return found


def superfluous(tensors: Mapping[str, Any], own: Sequence[Shape]) -> set[str]:
    """The repeated tensors that a net whose tensors have these shapes has no place for, heads before tables, and what
    stands beside them: biases of zeros, counters."""
    extra = Counter(a.shape for a in tensors.values()) - Counter(own)
    found: dict[str, str] = {}
    for names in repeated(tensors):
        shape = tensors[names[0]].shape
        tables_first = sorted(names, key=lambda name: ("head" in concepts(name), name))
        dropped = tables_first[max(1, len(names) - extra[shape]) :]
        extra[shape] -= len(dropped)
        found |= dict.fromkeys(dropped, tables_first[0])
    for name, _ in _beside(tensors, found):
        shape = tensors[name].shape
        if extra[shape] > 0:
            extra[shape] -= 1
            found[name] = ""
    return set(found)


def copies(tensors: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Repeated tensors that are not known by name, and what stands beside them, each with one that is."""
    found: dict[str, str] = {}
    for names in repeated(tensors):
        first = next((n for n in names if n in known), None)
        if first is not None:
            found |= {n: first for n in names if n not in known}
    return found | {n: twin for n, twin in _beside(tensors, found) if n not in known and twin in known}


def _beside(tensors: Mapping[str, Any], twins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The other tensors of layers that are there twice, each with its equal. `twins`: those known to be, likewise."""
    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(_layer(name), []).append(name)
    for one, other in dict.fromkeys((_layer(a), _layer(b)) for a, b in twins.items()):
        for name in layers[one]:
            twin = other + name[len(one) :]
            if name not in twins and twin in tensors and np.array_equal(tensors[name], tensors[twin]):
                yield name, twin


def _layer(name: str) -> str:
    """The prefix of a layer's tensors, those of torch's parametrizations among them."""
    return name.rpartition(".")[0].removesuffix(".parametrizations.weight")


def _is_constant(array: Any) -> bool:
    return bool(np.all(array == array[(0,) * array.ndim]))
