"""The common part of a file and a net where one has more than the other: heads, auxiliary outputs, other sizes.

Layers are compared by their signatures. What only one side has is set aside, whole prefixes at a time, so that what is
left is the same multiset of signatures on both sides. Layers that differ in one size only (classes, input channels,
positions) are the same layer in two sizes: they keep their place, with a signature of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from netdsl.weights.names import concepts
from netdsl.weights.slots import Signature, Source, Unit
from netdsl.weights.tree import Node, numbered, tree

Change = Literal["classes", "channels", "positions"]
CHANGES = ("classes", "channels", "positions")

MOST_CHANNELS = 16
"""A convolution over more input channels is not the first of a net."""

TABLES = re.compile(r"pos(ition)?s?(_|$|ition)|pos_?emb|relative_position_bias_table|rel_pos", re.I)


@dataclass
class Common:
    """Both sides with the same multiset of signatures, and what was set aside."""

    own: list[Unit]
    foreign: list[Unit]
    signatures: dict[Unit, Signature]
    missing: list[Unit] = field(default_factory=list)
    left_over: list[Unit] = field(default_factory=list)
    equal: bool = True


def reconcile(own: Sequence[Unit], foreign: Sequence[Unit], labels: dict[Unit, int]) -> Common:
    """Find the layers that both sides have in common. `labels`: layers that a mapping puts together have the same
    label."""
    foreign = _turned(own, foreign)
    own, foreign = _comparable(own, foreign)
    signatures = {u: (*u.signature, *_labelled(labels.get(u))) for u in (*own, *foreign)}
    common = Common(list(own), list(foreign), signatures)
    _resized(common)
    extra, short = _differences(common)
    common.left_over = _set_aside(common.foreign, signatures, extra)
    common.missing = _set_aside(common.own, signatures, short)
    gone = {*common.left_over, *common.missing}
    common.own = [u for u in common.own if u not in gone]
    common.foreign = [u for u in common.foreign if u not in gone]
    common.equal = not any(_differences(common))
    return common


def _labelled(label: int | None) -> Signature:
    return () if label is None else ((f"mapped {label}", ()),)


def _differences(common: Common) -> tuple[Counter[Signature], Counter[Signature]]:
    """Signatures that the file has more of, and those that the net has more of."""
    own = Counter(common.signatures[u] for u in common.own)
    foreign = Counter(common.signatures[u] for u in common.foreign)
    return foreign - own, own - foreign


def _turned(own: Sequence[Unit], foreign: Sequence[Unit]) -> list[Unit]:
    """The file's layers with matrices without biases turned where only the turned ones are those of the net."""
    wanted, given = Counter(u.signature for u in own), Counter(u.signature for u in foreign)
    found = []
    for unit in foreign:
        role, source = unit.parts[0]
        may_turn = len(unit.parts) == 1 and len(source.shape) == 2 and source.how != "transposed"
        if may_turn and not wanted[unit.signature]:
            turned = Unit(unit.path, ((role, source.transposed()),))
            if wanted[turned.signature] > given[turned.signature]:
                unit = turned
        found.append(unit)
    return found


def _comparable(own: Sequence[Unit], foreign: Sequence[Unit]) -> tuple[list[Unit], list[Unit]]:
    """Both sides, with layers that only one has in the pieces and the form of the other: a weight and a bias apart, a
    linear layer over a flattened map as the convolution it is."""
    flat = {u.signature for u in own} - {u.signature for u in foreign}
    foreign = [_flattened(u, flat) for u in foreign]
    only = {u.signature for u in own} ^ {u.signature for u in foreign}
    singles = {u.signature for u in (*own, *foreign) if len(u.parts) == 1}
    return _split(own, only, singles), _split(foreign, only, singles)


def _split(all_units: Sequence[Unit], only: set[Signature], singles: set[Signature]) -> list[Unit]:
    """The layers, those that only one side has in pieces where such pieces are layers somewhere."""
    found: list[Unit] = []
    for unit in all_units:
        pieces = _pieces(unit)
        apart = unit.signature in only and singles.issuperset(p.signature for p in pieces)
        found += pieces if apart else [unit]
    return found


def _pieces(unit: Unit) -> list[Unit]:
    """The tensors of a linear layer or convolution as layers of their own; other layers stay whole."""
    if {role for role, _ in unit.parts} != {"weight", "bias"}:
        return [unit]
    return [Unit((*unit.path, role), ((role, source),)) for role, source in unit.parts]


def _flattened(unit: Unit, wanted: set[Signature]) -> Unit:
    """A convolution over a whole map as the linear layer that the net has after `flatten`."""
    weight = dict(unit.parts).get("weight")
    if weight is None or len(weight.shape) < 3 or unit.signature in wanted:
        return unit
    flat = Source("as it is", (weight.shape[0], prod(weight.shape[1:])), inputs=(weight,))
    turned = Unit(unit.path, tuple((r, flat if r == "weight" else s) for r, s in unit.parts))
    return turned if turned.signature in wanted else unit


def _resized(common: Common) -> None:
    """Give layers that are the same but for one size a common signature."""
    extra, short = _differences(common)
    mine = _by_change([u for u in common.own if common.signatures[u] in short], named=False)
    theirs = _by_change([u for u in common.foreign if common.signatures[u] in extra], named=True)
    taken: set[Unit] = set()
    for change in sorted(mine.keys() & theirs.keys()):
        ours, others = ([u for u in side[change] if u not in taken] for side in (mine, theirs))
        if len(ours) == len(others):
            taken |= {*ours, *others}
            common.signatures.update(dict.fromkeys((*ours, *others), ((change, ()),)))


def _by_change(all_units: Sequence[Unit], named: bool) -> dict[str, list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for unit in all_units:
        for change in _changes(unit, named):
            found.setdefault(change, []).append(unit)
    return found


def _changes(unit: Unit, named: bool) -> list[str]:
    """Keys of a layer without one of its sizes: as a head but for its classes, a first convolution but for its
    channels."""
    parts = dict(unit.parts)
    roles = ", ".join(sorted(parts))
    found = [f"positions {width}" for width in _width_of_table(unit, named)]
    if "weight" in parts and set(parts) <= {"weight", "bias"}:
        shape = parts["weight"].shape
        if len(shape) >= 2 and prod(shape[2:]) == 1:
            found.append(f"classes over {shape[1]}: {roles}")
        if len(shape) > 2 and shape[1] <= MOST_CHANNELS:
            found.append(f"channels of {shape[0]} {shape[2:]}: {roles}")
    return found


def _width_of_table(unit: Unit, named: bool) -> list[int]:
    """How wide the rows of a table of positions are; nothing for other layers. The net's own need not be `named` so."""
    shape = unit.parts[0][1].shape
    is_table = len(unit.parts) == 1 and len(shape) > 1 and prod(shape[:-2]) == 1
    return [shape[-1]] if is_table and (not named or TABLES.search(".".join(unit.path[-2:]))) else []


def resized(own: Unit, foreign: Unit) -> Change | None:
    """In which size two layers of one name differ, if in one only."""
    theirs = _changes(foreign, named=True)
    return next((change_of(((c, ()),)) for c in _changes(own, named=False) if c in theirs), None)


def change_of(signature: Signature) -> Change | None:
    """In which size a layer of this signature differs between the sides."""
    first = signature[0][0].partition(" ")[0]
    return first if first in CHANGES else None  # type: ignore[return-value]


def _set_aside(all_units: Sequence[Unit], signatures: dict[Unit, Signature], excess: Counter[Signature]) -> list[Unit]:
    """The layers that one side has more of: single ones that the other has none of, and whole prefixes."""
    total = Counter(signatures[u] for u in all_units)
    alone = [u for u in all_units if excess[signatures[u]] == total[signatures[u]]]
    rest = excess - Counter(signatures[u] for u in alone)
    if not rest:
        return alone
    numbers = numbered([signatures[u] for u in all_units])
    root = tree(all_units, {u: numbers[signatures[u]] for u in all_units})
    chosen: list[Unit] = []
    for prefix in _prefixes(root, set(alone), signatures, excess):
        chosen += prefix
    gone = Counter(signatures[u] for u in dict.fromkeys((*alone, *chosen)))
    return [*dict.fromkeys((*alone, *chosen))] if gone == excess else alone


def _prefixes(
    root: Node, alone: set[Unit], signatures: dict[Unit, Signature], excess: Counter[Signature]
) -> list[list[Unit]]:
    """The largest prefixes that are wholly in excess; where they are too many, those that hold what the other side
    has none of, or are called auxiliary."""
    found = _wholly_in(root, signatures, excess)
    if Counter(signatures[u] for node in found for u in node.units()) == excess:
        return [node.units() for node in found]
    return [node.units() for node in found if alone.intersection(node.units()) or _is_auxiliary(node)]


def _wholly_in(node: Node, signatures: dict[Unit, Signature], excess: Counter[Signature]) -> list[Node]:
    """The largest prefixes whose layers are all in excess."""
    if Counter(signatures[u] for u in node.units()) <= excess:
        return [node]
    return [found for child in node.children.values() for found in _wholly_in(child, signatures, excess)]


def _is_auxiliary(node: Node) -> bool:
    return any("aux" in concepts(part) for part in node.path)
