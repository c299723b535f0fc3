"""Which tensor of a foreign state dict belongs to which of a net's.

By name where a mapping is given; otherwise by order within the same kind (weight, bias, running mean ...) and the same
shape, a pointwise convolution counting as a linear. Two nets that register the same layers in the same order
correspond tensor by tensor. Where the orders differ (a layer scale registered before its block), a tensor that stands
elsewhere is only accepted if it is the only one of its kind and shape in its block: otherwise shapes cannot tell which
is which, and the match is refused rather than guessed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from netdsl.analysis.count import tensors
from netdsl.ir.model import Definition
from netdsl.ops.base import Buffer, Op, Param

STATE = ("running_mean", "running_var", "num_batches_tracked")


class Slot(Struct, frozen=True):
    """A tensor of a state dict: its key and its shape."""

    key: str
    shape: tuple[int, ...]

    @property
    def kind(self) -> tuple[str, tuple[int, ...]]:
        """What makes two tensors alike: their role by name, and their shape without axes of size 1."""
        name = self.key.rpartition(".")[2]
        if name in STATE or "_ih_" in name or "_hh_" in name:
            role = name
        else:
            role = next((r for r in ("weight", "bias") if name == r or name.endswith(f"_proj_{r}")), "tensor")
        return role, tuple(n for n in self.shape if n != 1)


class Match(Struct, frozen=True):
    """`own` takes the values of `foreign`, reshaped where the shapes differ by axes of size 1."""

    own: Slot
    foreign: Slot

    @property
    def reshaped(self) -> bool:
        return self.own.shape != self.foreign.shape


class Matching(Struct, frozen=True):
    """What was matched, what the net still misses, what is left over, and what cannot be told apart."""

    matches: tuple[Match, ...]
    missing: tuple[Slot, ...]
    left_over: tuple[Slot, ...]
    ambiguous: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.missing and not self.ambiguous


def slots(definition: Definition) -> tuple[Slot, ...]:
    """Every tensor of a net's state dict, in order."""

    def own(op: Op, types: tuple[object, ...]) -> dict[str, Param | Buffer]:
        state = {n: b for n, b in op.buffers(*types).items() if b.persistent}  # type: ignore[arg-type]
        return {**op.params(*types), **state}  # type: ignore[arg-type]

    return tuple(Slot(path, tensor.shape) for path, tensor, _ in tensors(definition, own, {}))


def match(own: Sequence[Slot], foreign: Sequence[Slot], mapping: Sequence[tuple[str, str]] = ()) -> Matching:
    """The tensors of `foreign` for those of `own`. `mapping`: pairs of a foreign and an own prefix of keys."""
    foreign = [s for s in foreign if s.kind[0] != "num_batches_tracked" or _counts(own)]
    by_name = _named(own, foreign, mapping)
    rest_own = [s for s in own if s not in by_name]
    taken = set(by_name.values())
    rest_foreign = [s for s in foreign if s not in taken]
    by_order, ambiguous = _ordered(rest_own, rest_foreign)
    pairs = by_name | by_order
    used = set(pairs.values())
    return Matching(
        tuple(Match(s, pairs[s]) for s in own if s in pairs),
        tuple(s for s in own if s not in pairs),
        tuple(s for s in foreign if s not in used),
        tuple(ambiguous),
    )


def _counts(own: Sequence[Slot]) -> bool:
    return any(s.kind[0] == "num_batches_tracked" for s in own)


def _named(own: Sequence[Slot], foreign: Sequence[Slot], mapping: Sequence[tuple[str, str]]) -> dict[Slot, Slot]:
    """Matches by name: equal keys, after the longest foreign prefix of the mapping has been replaced."""
    if not mapping:
        return {}
    prefixes = sorted(mapping, key=lambda pair: -len(pair[0]))
    known = {s.key: s for s in own}
    found: dict[Slot, Slot] = {}
    for slot in foreign:
        for old, new in prefixes:
            if slot.key == old or slot.key.startswith(f"{old}."):
                target = known.get(new + slot.key[len(old) :])
                if target is not None and target.kind[1] == slot.kind[1]:
                    found[target] = slot
                break
    return found


def _ordered(own: Sequence[Slot], foreign: Sequence[Slot]) -> tuple[dict[Slot, Slot], list[str]]:
    """Matches by order within each kind, and why some cannot be told apart."""
    own_kinds, foreign_kinds = _by_kind(own), _by_kind(foreign)
    pairs: dict[int, int] = {}
    ambiguous: list[str] = []
    for kind, mine in own_kinds.items():
        theirs = foreign_kinds.get(kind, [])
        if len(mine) == len(theirs):
            pairs.update(zip(mine, theirs, strict=True))
        elif theirs:
            role, shape = kind
            ambiguous.append(f"the net has {len(mine)} and the file {len(theirs)} of kind {role} {[*shape]}")
    ambiguous += _displaced(pairs, own, foreign)
    return {own[i]: foreign[j] for i, j in pairs.items()}, ambiguous


def _by_kind(all_slots: Sequence[Slot]) -> Mapping[tuple[str, tuple[int, ...]], list[int]]:
    kinds: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for index, slot in enumerate(all_slots):
        kinds[slot.kind].append(index)
    return kinds


def _displaced(pairs: Mapping[int, int], own: Sequence[Slot], foreign: Sequence[Slot]) -> list[str]:
    """Tensors that stand elsewhere in the file and are not the only one of their kind in their block."""
    order = sorted(pairs)
    kept = _increasing([pairs[i] for i in order])
    found: list[str] = []
    for i in order:
        if pairs[i] in kept:
            continue
        block = _block(i, pairs, own, foreign)
        if sum(own[k].kind == own[i].kind for k in block) > 1:
            key, guess = own[i].key, foreign[pairs[i]].key
            found.append(f"`{key}` could be `{guess}`, but others of its shape stand before or after it")
    return found


def _block(i: int, pairs: Mapping[int, int], own: Sequence[Slot], foreign: Sequence[Slot]) -> list[int]:
    """The tensors of the smallest block around one that is a block in the file as well; all, where there is none."""
    parts = own[i].key.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        inside = [k for k in range(len(own)) if own[k].key.split(".")[:depth] == parts[:depth]]
        theirs = [pairs[k] for k in inside if k in pairs]
        prefix = _common([foreign[k].key for k in theirs])
        beside = [k for k, slot in enumerate(foreign) if slot.key.startswith(prefix)]
        if len(inside) > 1 and prefix and sorted(theirs) == beside:
            return inside
    return list(range(len(own)))


def _common(keys: Sequence[str]) -> str:
    """The longest dotted prefix of all keys, with its dot; empty for none."""
    split = [key.split(".")[:-1] for key in keys]
    shared: list[str] = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}." for part in shared)


def _increasing(numbers: Sequence[int]) -> set[int]:
    """The members of a longest increasing subsequence."""
    tails: list[int] = []
    at: list[int] = []
    previous: dict[int, int] = {}
    for number in numbers:
        place = bisect_left(tails, number)
        if place == len(tails):
            tails.append(number)
            at.append(number)
        else:
            tails[place] = at[place] = number
        if place:
            previous[number] = at[place - 1]
    found: set[int] = set()
    current: int | None = at[-1] if at else None
    while current is not None:
        found.add(current)
        current = previous.get(current)
    return found
