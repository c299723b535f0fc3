"""Matching: the tensor of a foreign state dict for each tensor of a net, with the reason.

In this order: what a mapping says; equal keys; then the alignment of the file's prefixes with the net's order of use
(`align`), after what only one side has is set aside (`reconcile`). What evidence leaves open stays open: a match is
complete or refused, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

from msgspec import Struct

from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.weights.align import Alignment, align
from netdsl.weights.former import NONE, Table, former_paths, renamed
from netdsl.weights.joins import INTERLEAVED, joined, upright
from netdsl.weights.orders import Exhausted
from netdsl.weights.reconcile import Change, Common, change_of, reconcile, resized
from netdsl.weights.slots import Slot, Source, Unit, plain, slots, units
from netdsl.weights.tree import numbered, tree
from netdsl.weights.unwrap import WeightsError
from netdsl.weights.use import Use, attention_parts


class Match(Struct, frozen=True):
    """The tensors of one layer: each of `own` (pieces of one tensor, stacked) is computed by `foreign`.

    `why` is the evidence; `change`: in which size they differ.
    """

    own: Source
    foreign: Source
    why: str
    change: Change | None = None


class Open(Struct, frozen=True):
    """Layers that could be several of the file: keys of the net, and keys of the file in the same order of use."""

    own: tuple[str, ...]
    candidates: tuple[str, ...]


class Matching(Struct, frozen=True):
    """The result of matching: matched, missing, unused and ambiguous tensors.

    `filled`: tensors of the net that no file need have (counters, tables of indices, statistics of the data);
    `spared`: missing ones that only outputs while training need, or that were excluded.
    `reasons`: why nothing could be aligned.
    """

    matches: tuple[Match, ...]
    missing: tuple[Slot, ...]
    left_over: tuple[Slot, ...]
    open: tuple[Open, ...] = ()
    filled: tuple[Slot, ...] = ()
    spared: tuple[Slot, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor of the net is decided, and has the net's number of classes."""
        return not self.missing and not self.open and not self.resized("classes")

    def resized(self, change: Change) -> list[Match]:
        return [m for m in self.matches if m.change == change]


Mapping = Sequence[tuple[str, str]]


def match(program: Program, foreign: Sequence[Slot], mapping: Mapping = (), hints: Mapping = ()) -> Matching:
    """The tensors of a file for those of a net.

    `mapping`: pairs of a foreign and an own key, or prefix of keys. `hints`: the same for a layout that the file may or
    may not have. A foreign prefix may stand behind what all keys of the file begin with. Raises WeightsError.
    """
    own = slots(program.main)
    shared = _shared(foreign)
    pairs = [_spelled(pair, shared, foreign) for pair in mapping]
    _known(pairs, own, foreign)
    found = Draft(own, foreign)
    if mapping or not found.take(_equal(found.own, found.foreign) or _former(found, program)):
        spelled = (_spelled(pair, shared, foreign) for pair in hints)
        pairs += [p for p in spelled if _is_known(p[0], foreign) and _is_known(p[1], own)]
        found.take(_named(found.own, found.foreign, pairs))
        _align(found, program, pairs)
    return found.result(_at_inference(program))


def _spelled(pair: tuple[str, str], shared: str, foreign: Sequence[Slot]) -> tuple[str, str]:
    """A pair of a mapping with its foreign key as the file spells it."""
    return pair if _is_known(pair[0], foreign) else (shared + pair[0], pair[1])


def _is_known(key: str, all_slots: Sequence[Slot]) -> bool:
    return any(_below(s.key, key) for s in all_slots)


def _at_inference(program: Program) -> frozenset[str]:
    """The paths of the layers that the evaluation form of a net uses."""
    return frozenset(node.layer_path for node in flatten(program))


class Draft:
    """A matching on its way: slots that are still free on both sides, and what was decided."""

    def __init__(self, own: Sequence[Slot], foreign: Sequence[Slot]) -> None:
        self.all_own = {s.key: s for s in own}
        self.all_foreign = {s.key: s for s in foreign}
        self.own = [s for s in own if not s.constant]
        self.foreign = [s for s in foreign if not s.constant]
        self.matches: list[Match] = []
        self.open: list[Open] = []
        self.reasons: list[str] = []

    def take(self, matches: Sequence[Match]) -> bool:
        """Add what was decided; whether there was anything."""
        self.matches += matches
        own = {k for m in matches for k in m.own.keys}
        foreign = {k for m in matches for k in m.foreign.keys}
        self.own = [s for s in self.own if s.key not in own]
        self.foreign = [s for s in self.foreign if s.key not in foreign]
        return bool(matches)

    def result(self, needed: frozenset[str]) -> Matching:
        """The matching. Layers that no output at inference needs (`needed`: all others) may be missing."""
        self.matches += list(self._counters())
        taken = {k for m in self.matches for k in m.own.keys}
        is_open = {k for o in self.open for k in (*o.own, *o.candidates)}
        places = {key: i for i, key in enumerate(self.all_own)}
        lacking = _but(self.own, is_open)
        missing = [s for s in lacking if _is_needed(s.key, needed)]
        return Matching(
            tuple(sorted(self.matches, key=lambda m: places[m.own.keys[0]])),
            tuple(missing),
            _but(self.foreign, is_open),
            tuple(self.open),
            _but([s for s in self.all_own.values() if s.constant], taken),
            _but(lacking, {s.key for s in missing}),
            tuple(self.reasons),
        )

    def _counters(self) -> Iterable[Match]:
        """The counters beside the statistics that were matched."""
        for found in self.matches:
            mine, theirs = (
                (k.removesuffix("running_mean") + "num_batches_tracked" if k.endswith(".running_mean") else "")
                for k in (found.own.key, found.foreign.key)
            )
            if mine in self.all_own and theirs in self.all_foreign:
                yield Match(plain(self.all_own[mine]), plain(self.all_foreign[theirs]), found.why)


def _but(all_slots: Sequence[Slot], keys: set[str]) -> tuple[Slot, ...]:
    return tuple(s for s in all_slots if s.key not in keys)


def _is_needed(key: str, needed: frozenset[str]) -> bool:
    parts = key.split(".")
    return any(".".join(parts[:depth]) in needed for depth in range(len(parts) + 1))


def _known(mapping: Mapping, own: Sequence[Slot], foreign: Sequence[Slot]) -> None:
    for old, new in mapping:
        for what, key, known in (("file", old, foreign), ("net", new, own)):
            if not _is_known(key, known):
                hint = "a mapping pairs keys, or prefixes of keys, of both sides"
                raise WeightsError("bad-mapping", f"the {what} has no tensor `{key}`, and none below it", hint)


def _below(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


def _equal(own: Sequence[Slot], foreign: Sequence[Slot], table: Table = NONE, why: str = "equal keys") -> list[Match]:
    """Equal keys, but for a prefix of all keys of the file, where one side has all those of the other."""
    known = {s.key: s for s in own}
    for prefix in dict.fromkeys(("", _shared(foreign))):
        named = {renamed(s.key.removeprefix(prefix), table): s for s in foreign if s.key.startswith(prefix)}
        both = known.keys() & named.keys()
        if both and len(both) in (len(known), len(named)):
            found = [_pair(known[k], named[k], why) for k in known if k in both]
            if all(found):
                return [m for m in found if m]
    return []


def _former(found: Draft, program: Program) -> list[Match]:
    """Keys of the previous release."""
    return _equal(found.own, found.foreign, former_paths(program.main), "keys of release 0.2")


def _pair(own: Slot, foreign: Slot, why: str) -> Match | None:
    """Two tensors of one name; None where their shapes are neither the same nor those of one layer in two sizes."""
    one, two = units([own])[0], units([foreign])[0]
    if one.signature == two.signature:
        return Match(plain(own), plain(foreign), why)
    change = resized(one, two)
    return Match(plain(own), plain(foreign), why, change) if change else None


def _shared(all_slots: Sequence[Slot]) -> str:
    """The dotted prefix that all keys share, with its dot."""
    split = [s.key.split(".")[:-1] for s in all_slots]
    low, high = min(split, default=[]), max(split, default=[])
    depth = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return "".join(f"{part}." for part in low[:depth])


def _named(own: Sequence[Slot], foreign: Sequence[Slot], mapping: Mapping) -> list[Match]:
    """Equal keys, after the longest foreign prefix of the mapping has been replaced."""
    known = {s.key: s for s in own}
    found = []
    for slot in foreign:
        pair = _longest(slot.key, mapping, 0)
        target = known.get(pair[1] + slot.key[len(pair[0]) :]) if pair else None
        matched = _pair(target, slot, "mapping") if target is not None else None
        found += [matched] if matched else []
    return found


def _longest(key: str, mapping: Mapping, side: int) -> tuple[str, str] | None:
    """The pair of the mapping with the longest prefix of a key on one side."""
    fitting = [pair for pair in mapping if _below(key, pair[side])]
    return max(fitting, key=lambda pair: len(pair[side]), default=None)


def _align(found: Draft, program: Program, mapping: Mapping) -> None:
    """Decide what is still free by the order of use, shapes and names."""
    common = _in_common(units(found.own), units(found.foreign), program, mapping)
    if not common.own:
        return
    numbers = numbered(list(common.signatures.values()))
    marks = {unit: numbers[signature] for unit, signature in common.signatures.items()}
    use = Use(common.own, program)
    try:
        aligned = align(tree(common.foreign, marks), use, marks) if common.equal else None
    except Exhausted:
        found.reasons.append("too many orders of its layers fit the net, and no names or numbers tell them apart")
        return
    if aligned is None:
        found.reasons += _differences(common) or ["the layers are the same, but not in the same order of use"]
        return
    _record(found, aligned, use, common)


def _in_common(own: Sequence[Unit], foreign: Sequence[Unit], program: Program, mapping: Mapping) -> Common:
    """The common part of both sides, with query, key and value fused, or apart where only so they have the same."""
    fused = (joined(own, attention_parts(program)), joined(foreign))
    found = []
    for mine, theirs in (fused, (own, foreign)):
        upper = [u for u in upright(theirs) if u.path[-1] not in INTERLEAVED]
        found.append(reconcile(mine, upper, _labels(mine, upper, mapping)))
        if found[-1].equal:
            return found[-1]
    return found[0]


def _labels(own: Sequence[Unit], foreign: Sequence[Unit], mapping: Mapping) -> dict[Unit, int]:
    """Layers below the two prefixes of a pair have the pair's number."""
    found = {}
    for side, all_units in ((0, foreign), (1, own)):
        for unit in all_units:
            pair = _longest(unit.keys[0], mapping, side)
            if pair is not None:
                found[unit] = list(mapping).index(pair)
    return found


def _record(found: Draft, aligned: Alignment, use: Use, common: Common) -> None:
    pairs = [(number, use.units[number], foreign) for number, foreign in aligned.pairs.items()]
    found.take(
        [
            Match(
                a, b, aligned.why[number], change_of(common.signatures[own]) if prod(a.shape) != prod(b.shape) else None
            )
            for number, own, foreign in pairs
            for a, b in _parts(own, foreign)
        ]
    )
    for numbers, candidates in aligned.open:
        own_keys = tuple(k for n in numbers for k in use.units[n].keys)
        found.open.append(Open(own_keys, tuple(k for unit in candidates for k in unit.keys)))


def _parts(own: Unit, foreign: Unit) -> list[tuple[Source, Source]]:
    """The tensors of two layers by role; the only one of each where they have one."""
    if len(own.parts) == 1:
        return [(own.parts[0][1], foreign.parts[0][1])]
    return [(source, foreign.part(role)) for role, source in own.parts]


def _differences(common: Common) -> list[str]:
    """Describe what the two sides do not have in common, a line for each kind of layer."""
    own, foreign = (Counter(common.signatures[u] for u in side) for side in (common.own, common.foreign))
    lines = []
    for signature in sorted((own - foreign) | (foreign - own)):
        kind = ", ".join(f"{role or 'tensor'} {[*shape]}" for role, shape in signature)
        lines.append(f"the net has {own[signature]} and the file {foreign[signature]} of {kind}")
    return lines
