"""Matrices that a file holds twice because its net uses them twice: the head of a language model beside the table of
words that it is tied to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from netdsl.weights.names import concepts
from netdsl.weights.slots import Shape


def repeated(tensors: Mapping[str, Any]) -> list[list[str]]:
    """Names of matrices that hold the same numbers, and not one number alone: what was never trained proves nothing."""
    alike: dict[object, list[str]] = {}
    for name, array in tensors.items():
        if array.ndim > 1 and array.size:
            alike.setdefault((array.shape, array.dtype.str, array[(0,) * array.ndim].tobytes()), []).append(name)
    return [g for names in alike.values() if len(names) > 1 for g in _groups(tensors, names) if len(g) > 1]


def _groups(tensors: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    """Names of equal matrices together; without those of one number alone."""
    found: list[list[str]] = []
    for name in (n for n in names if not _is_constant(tensors[n])):
        same = next((g for g in found if np.array_equal(tensors[g[0]], tensors[name])), None)
        if same is None:
            found.append([name])
        else:
            same.append(name)
    return found


def superfluous(tensors: Mapping[str, Any], own: Sequence[Shape]) -> set[str]:
    """The repeated matrices that a net whose tensors have these shapes has no place for, heads before tables."""
    extra = Counter(a.shape for a in tensors.values()) - Counter(own)
    found: set[str] = set()
    for names in repeated(tensors):
        shape = tensors[names[0]].shape
        tables_first = sorted(names, key=lambda name: "head" in concepts(name))
        dropped = tables_first[max(1, len(names) - extra[shape]) :]
        extra[shape] -= len(dropped)
        found.update(dropped)
    return found


def copies(tensors: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Repeated matrices that are not known by name, each with one that is."""
    found: dict[str, str] = {}
    for names in repeated(tensors):
        first = next((n for n in names if n in known), None)
        if first is not None:
            found |= {n: first for n in names if n not in known}
    return found


def _is_constant(array: Any) -> bool:
    return bool(np.all(array == array[(0,) * array.ndim]))
