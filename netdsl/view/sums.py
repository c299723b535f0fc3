"""Sums of many values, which a net adds one after another, as one item."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from netdsl.ir.model import Definition, Step, Value
from netdsl.sizes.dims import total
from netdsl.view.folds import ALIKE
from netdsl.view.item import Item

NAMES = {"add": "sum", "mul": "product"}


class _Whole(Struct, eq=False):
    """Additions that only lead to the last one of them, and what they read from elsewhere, in the order of the sum."""

    parts: list[int]
    terms: list[Value]


def sums(items: list[Item], uses: Counter[str]) -> list[Item]:
    """Items with additions of additions that nothing else reads as one of all their terms, where these stand side by
    side; products likewise."""
    long = _long(items, uses)
    made = {w.parts[-1]: _sum([items[i] for i in w.parts], w.terms) for w in long}
    within = {i for w in long for i in w.parts[:-1]}
    return [made.get(i, item) for i, item in enumerate(items) if i not in within]


def _long(items: list[Item], uses: Counter[str]) -> list[_Whole]:
    """The sums with many terms that only they read."""
    branches = {item.outs[0].name for item in items if len(item.outs) == 1 and uses[item.outs[0].name] == 1}
    return [w for w in _wholes(items, uses) if len([v for v in w.terms if v.name in branches]) >= ALIKE]


def _wholes(items: list[Item], uses: Counter[str]) -> list[_Whole]:
    """All additions, those that lead to one another together."""
    found: dict[str, _Whole] = {}
    for i, item in enumerate(items):
        if _is_term(item):
            whole = _Whole([], [])
            for value in item.inputs:
                inner = found.get(value.name) if uses[value.name] == 1 else None
                if inner and _is_alike(items[inner.parts[-1]].steps[0], item.steps[0]):
                    whole = _joined(whole, found.pop(value.name))
                else:
                    whole.terms.append(value)
            whole.parts.append(i)
            found[item.outs[0].name] = whole
    return list(found.values())


def _joined(whole: _Whole, inner: _Whole) -> _Whole:
    """Both together; a long sum is not copied for each of its terms."""
    return _Whole(whole.parts + inner.parts, whole.terms + inner.terms) if whole.terms else inner


def _is_term(item: Item) -> bool:
    step = item.steps[0]
    return len(item.steps) == 1 and not isinstance(step.callee, Definition) and step.callee.kind in NAMES


def _is_alike(a: Step, b: Step) -> bool:
    """Whether two steps compute the same, for as long; the end of a residual link is drawn by itself."""
    return a.callee == b.callee and a.training == b.training and not a.residual and not b.residual


def _sum(parts: list[Item], terms: list[Value]) -> Item:
    last = parts[-1]
    return Item(
        last.name,
        f"{NAMES[last.label]} of {len(terms):,}",
        "",
        last.family,
        tuple(s for item in parts for s in item.steps),
        tuple(terms),
        last.outs,
        macs=total(i.macs for i in parts),
        bytes=total(i.bytes for i in parts),
    )
