"""The result of comparing two nets, as values."""

from __future__ import annotations

from itertools import groupby
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.model import Definition, Value
from netdsl.ops.base import Op
from netdsl.sizes.dims import Dim

Kind = Literal["same", "resized", "changed", "added", "removed"]
"""The change of a step. `resized`: its text is the same, and only the shapes around it differ."""


class Cost(Struct, frozen=True):
    """Parameters (each where it is used first), MACs and bytes of activations of one step, or of a net."""

    params: int = 0
    macs: Dim = 0
    bytes: Dim = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs, self.bytes + other.bytes)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.params - other.params, self.macs - other.macs, self.bytes - other.bytes)


class Item(Struct, frozen=True, eq=False):
    """One step of a definition, on one side of a comparison.

    `name`: its layer, empty for an op without one, with the names of the blocks that were opened around it. `inputs`
    and `outs` are unique in the body it is compared in. `first`: whether it is the first use of its layer. `places`:
    the definition it stands in with its first value there, after those of the blocks that were opened around it.
    """

    name: str
    callee: Op | Definition
    inputs: tuple[Value, ...]
    outs: tuple[Value, ...]
    cost: Cost
    training: bool = False
    residual: bool = False
    first: bool = True
    places: tuple[tuple[Definition, str], ...] = ()

    @property
    def label(self) -> str:
        """The name of the block, or the kind of the op."""
        return self.callee.name if isinstance(self.callee, Definition) else self.callee.kind


class Field(Struct, frozen=True):
    """An argument, a shape or a connection that differs; None: it isn't there on that side."""

    name: str
    before: str | None
    after: str | None

    def mirrored(self) -> Field:
        return Field(self.name, self.after, self.before)


Owned = tuple[bool, bool]


class Entry(Struct, frozen=True, eq=False):
    """The change of one step. `fields`: what differs; `moved`: what a step that has moved read, and what it reads now;
    `arguments`: those of two blocks that differ; `body`: the comparison of what they hold."""

    kind: Kind
    before: Item | None
    after: Item | None
    fields: tuple[Field, ...] = ()
    moved: tuple[Field, ...] = ()
    body: Pair | None = None
    arguments: tuple[Field, ...] = ()

    def delta(self, owned: Owned = (True, True)) -> Cost:
        """The difference in cost. `owned`: whether what is around it has its own parameters, or shares them, on each
        side."""
        before, after = (_paid(item, own) for item, own in zip((self.before, self.after), owned, strict=True))
        return after - before

    def inside(self, owned: Owned) -> Owned:
        """Whether what it holds has its own parameters on each side: not in a later use of a shared layer."""
        before, after = self.before, self.after
        return owned[0] and before is not None and before.first, owned[1] and after is not None and after.first

    @property
    def renamed(self) -> bool:
        """Whether its layer has another name."""
        return self.before is not None and self.after is not None and self.before.name != self.after.name

    @property
    def differs(self) -> bool:
        """Whether a reader should be told of it: more than a shape, or a name, that follows from something else."""
        return self.kind not in ("same", "resized") or bool(self.moved)

    @property
    def items(self) -> tuple[Item, ...]:
        """The step on both sides, as far as it is there."""
        return tuple(i for i in (self.before, self.after) if i is not None)


class Pair(Struct, frozen=True, eq=False):
    """Two definitions, compared. `entries`: every step of both, in order; `fields`: what differs of their outputs."""

    before: Definition
    after: Definition
    entries: tuple[Entry, ...]
    fields: tuple[Field, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything in it should be told of."""
        return bool(self.fields) or any(e.differs for e in self.entries)

    @property
    def renames(self) -> bool:
        """Whether any layer in it has another name."""
        return any(e.renamed or (e.body is not None and e.body.renames) for e in self.entries)


class Tensor(Struct, frozen=True):
    """The change of a tensor of the state dict: its key on both sides, and whether its shape stays."""

    before: str | None
    after: str | None
    fits: bool = True


class Side(Struct, frozen=True):
    """One of two nets, in figures."""

    name: str
    cost: Cost
    field: str


class NetDiff(Struct, frozen=True, eq=False):
    """Two nets, compared. `fields`: what differs of their inputs and constraints."""

    before: Side
    after: Side
    pair: Pair
    tensors: tuple[Tensor, ...]
    fields: tuple[Field, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether they are the same net: layers, their names, and connections."""
        return not self.fields and not self.pair.differs and not self.pair.renames


class RecipeDiff(Struct, frozen=True):
    """Two recipes, compared field by field. `follows`: what else differs for that, such as the number of steps."""

    before: str
    after: str
    fields: tuple[Field, ...]
    follows: tuple[Field, ...] = ()

    @property
    def equal(self) -> bool:
        return not self.fields


def _paid(item: Item | None, owned: bool) -> Cost:
    """The cost of a step; parameters that are shared count elsewhere."""
    if item is None:
        return Cost()
    return item.cost if owned else Cost(0, item.cost.macs, item.cost.bytes)


def mirrored(pair: Pair, made: dict[Pair, Pair] | None = None) -> Pair:
    """The comparison in the other direction."""
    made = {} if made is None else made
    if pair not in made:
        entries = _gone_first([_mirrored(e, made) for e in pair.entries])
        made[pair] = Pair(pair.after, pair.before, entries, tuple(f.mirrored() for f in pair.fields))
    return made[pair]


def _mirrored(entry: Entry, made: dict[Pair, Pair]) -> Entry:
    kinds: dict[Kind, Kind] = {"added": "removed", "removed": "added"}
    return replace(
        entry,
        kind=kinds.get(entry.kind, entry.kind),
        before=entry.after,
        after=entry.before,
        fields=tuple(f.mirrored() for f in entry.fields),
        moved=tuple(f.mirrored() for f in entry.moved),
        arguments=tuple(f.mirrored() for f in entry.arguments),
        body=mirrored(entry.body, made) if entry.body else None,
    )


def _gone_first(entries: list[Entry]) -> tuple[Entry, ...]:
    """Entries with what is gone before what is new, wherever such stand together."""
    runs = groupby(entries, key=lambda e: e.kind in ("added", "removed"))
    return tuple(e for alone, run in runs for e in (sorted(run, key=lambda e: e.kind == "added") if alone else run))
