"""The similarity of two steps, from 0 to 1 and independent of their widths, by which steps are matched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction

from netdsl.diff.model import Item
from netdsl.ir.model import Definition
from netdsl.ops.base import Op
from netdsl.tensors import TensorType
from netdsl.view.items import family

SHORTCUT = "shortcut"
"""The name of the layer that a residual link has beside its branch."""

ENOUGH = 0.3
"""From which likeness on one step can have become another."""

SAME_KIND, SAME_FAMILY = 0.5, 0.35
"""Ops of one kind that differ in every argument; ops of one family (two activations)."""

OTHER_ROLE = 0.6
"""How much of a likeness remains between the shortcut of a residual link and a step of a branch."""

NAME = 0.2
"""The part of the likeness of two blocks that is their name."""

TRAITS, SHAPES, KINDS, FAMILIES = 0.2, 0.3, 0.3, 0.2
"""What of the insides of two blocks counts how much: equal ops, equal but for their widths, of one kind, of one
family."""

HEAVY, HEAVIER = ("map", "attention"), 3
"""Families of the ops that a block is made for, and how much more than others they count."""

Trait = tuple[Hashable, ...]
Leaves = Counter[Trait]


class Likeness:
    """Compares steps."""

    def __init__(self) -> None:
        self._leaves: dict[Definition, Leaves] = {}
        self._traits: dict[tuple[Op, tuple[TensorType, ...]], Trait] = {}
        self._numbers: dict[object, int] = {}

    def of(self, a: Item, b: Item) -> float:
        """How alike two steps are; steps whose layers bear one name a little more so, hardly where it is a number."""
        if isinstance(a.callee, Definition) != isinstance(b.callee, Definition):
            return 0.0
        found = self._compared(a, b)
        if a.training != b.training or a.residual != b.residual:
            found *= 0.9
        if (a.name == SHORTCUT) != (b.name == SHORTCUT):
            found *= OTHER_ROLE
        share = 0.01 if a.name[-1:].isdigit() else 0.1
        return (1 - share) * found + share * (a.name == b.name) if found else 0.0

    def numbers(self, items: Sequence[Item]) -> list[int]:
        """Equal numbers for steps whose likeness to any other is the same, but for whether their names are."""
        return [self._numbers.setdefault(self._all(i), len(self._numbers)) for i in items]

    def _all(self, item: Item) -> object:
        """All that a likeness depends on."""
        name = bool(item.name), item.name == SHORTCUT, item.name[-1:].isdigit()
        return self._key(item), item.training, item.residual, name

    def families(self, item: Item) -> Leaves:
        """How many ops of each family a step holds."""
        return _by(self.leaves(item), 1)

    def leaves(self, item: Item) -> Leaves:
        """The ops of a step by their traits."""
        if isinstance(item.callee, Definition):
            return self._inside(item.callee)
        return Counter([self._trait(item.callee, tuple(v.type for v in item.inputs))])

    def _key(self, item: Item) -> object:
        callee = item.callee
        return callee if isinstance(callee, Definition) else self._trait(callee, tuple(v.type for v in item.inputs))

    def _compared(self, a: Item, b: Item) -> float:
        if isinstance(a.callee, Definition) or isinstance(b.callee, Definition):
            ours, theirs = self.leaves(a), self.leaves(b)
            inside = TRAITS * _shared(ours, theirs) + SHAPES * _shared(_without_widths(ours), _without_widths(theirs))
            inside += KINDS * _shared(_by(ours, 2), _by(theirs, 2)) + FAMILIES * _shared(_by(ours, 1), _by(theirs, 1))
            return NAME * (a.label == b.label) + (1 - NAME) * inside
        return op_likeness(self._key(a), self._key(b))  # type: ignore[arg-type]

    def _inside(self, definition: Definition) -> Leaves:
        if definition not in self._leaves:
            found: Leaves = Counter()
            for step in definition.steps:
                if isinstance(step.callee, Definition):
                    found += self._inside(step.callee)
                else:
                    found[self._trait(step.callee, tuple(v.type for v in step.inputs))] += 1
            self._leaves[definition] = found
        return self._leaves[definition]

    def _trait(self, op: Op, types: tuple[TensorType, ...]) -> Trait:
        if (op, types) not in self._traits:
            self._traits[op, types] = _trait(op, types)
        return self._traits[op, types]


def op_likeness(a: Trait, b: Trait) -> float:
    """How alike two ops are by their traits."""
    if a[:2] == b[:2]:
        ours, theirs = a[2:], b[2:]
        most = max(len(ours), len(theirs))  # a linear map with the weight of another layer has a field more
        equal = sum(x == y for x, y in zip(ours, theirs, strict=False))
        return SAME_KIND + (1 - SAME_KIND) * (equal / most if most else 1.0)
    return SAME_FAMILY if a[0] == b[0] != "shape" else 0.0


def _trait(op: Op, types: tuple[TensorType, ...]) -> Trait:
    """The family of an op (convolutions and linear maps are one), its kind, and its arguments, widths as ratios."""
    width = _width(types[0]) if types else 0
    values = (_relative(name, getattr(op, name), width) for name in op.__struct_fields__)
    group = family(op)
    return "map" if group in ("conv", "linear") else group, op.kind, *values


def _relative(name: str, value: object, width: int) -> Hashable:
    if isinstance(value, int) and not isinstance(value, bool) and width:
        if name.startswith("out_"):
            return Fraction(value, width)
        if name == "groups" and value == width:
            return "each"
    return value if isinstance(value, Hashable) else repr(value)


def _width(given: TensorType) -> int:
    """The channels or features of a value; 0 where they have a name."""
    size = given.shape[-1 if given.rank == 2 else 0] if given.shape else 0
    return size if isinstance(size, int) else 0


def _by(leaves: Leaves, parts: int) -> Leaves:
    """Ops by the first parts of their traits: families (1), kinds (2)."""
    found: Leaves = Counter()
    for trait, number in leaves.items():
        found[trait[:parts]] += number
    return found


def _without_widths(leaves: Leaves) -> Leaves:
    found: Leaves = Counter()
    for trait, number in leaves.items():
        found[tuple(t for t in trait if not isinstance(t, Fraction))] += number
    return found


def _shared(a: Leaves, b: Leaves) -> float:
    """The ops that two blocks have in common, over those that either has."""
    every = _weight(a | b)
    return _weight(a & b) / every if every else 1.0


def _weight(leaves: Leaves) -> int:
    return sum(number * (HEAVIER if trait[0] in HEAVY else 1) for trait, number in leaves.items())
