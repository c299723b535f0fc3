"""One item for several: those that repeat, those that stand side by side, parts of a long body."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from netdsl.ir.model import Definition, Layer, Output, Step, Value
from netdsl.sizes.dims import total
from netdsl.view.bundles import Bundles, span
from netdsl.view.folds import LONG, PERIOD, blocks_alike, segments
from netdsl.view.item import Body, Gate, Item
from netdsl.view.parallel import WIDE, Branch, parted


class Gatherer:
    """Makes items of the items of one definition, and the bodies that opening them shows."""

    def __init__(self, uses: Counter[str], layers: Iterable[Layer], made: dict[Definition, Body]) -> None:
        self.bundles = Bundles()
        self._uses, self._made = uses, made
        self._layers = {layer.name: layer for layer in layers}

    def repeated(self, group: Sequence[Item], size: int) -> Item:
        """One item for `size` blocks that come several times; its body is those of the first time."""
        first = group[:size]
        if size == len(group):
            return first[0]
        label = _label(first)
        body = self._enclosed(first, first[-1].outs, label)
        return _item(group, label, "", self._inputs(body), group[-1].outs, len(group) // size, body)

    def grouped(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Items, several in a row as one where there are many. What is inside of that one is known already."""
        for gather in (blocks_alike, segments):
            groups = gather(items, self._uses) if len(items) > LONG else []
            if 1 < len(groups) < len(items):
                items = [group[0] if len(group) == 1 else self._gathered(group) for group in groups]
        return tuple(items)

    def _gathered(self, group: Sequence[Item]) -> Item:
        """One item for several in a row; its body is a definition of their steps."""
        steps = [s for i in group for s in i.steps]
        inside = Counter(v.name for s in steps for v in set(s.inputs))
        read = tuple(v for i in group for v in i.outs if self._uses[v.name] > inside[v.name])
        label, alike = _span_of([i.label for i in group])
        body = self._enclosed(group, read, label, self.grouped(group))
        detail, number = ("of several sizes", len(steps)) if alike else (f"{len(steps):,} steps", 1)
        return _item(group, label, detail, self._inputs(body), read, number, body)

    def side_by_side(self, branches: Sequence[Branch], same: bool) -> Item:
        """One item for branches; where they are the `same`, its body is the first one."""
        if same:
            return self._same(branches)
        while len(branches) > WIDE:
            branches = [self._part(piece) for piece in parted(branches)]
        return self._row(branches)

    def _part(self, branches: Sequence[Branch]) -> Branch:
        """A part of a row as one branch."""
        item = self._row(branches)
        own = [v for b in branches for v in b.own]
        return Branch((), (item,), item.outs[0], tuple(map(self.bundles.first, own[:1])))

    def _same(self, branches: Sequence[Branch]) -> Item:
        first, every = branches[0], [i for b in branches for i in b.items]
        (alone, *others) = first.items
        if others or alone.count > 1:
            label = _label(first.items)
            body = self._enclosed(first.items, (first.value,), label)
            made = _item(every, label, "in parallel", self._inputs(body), (first.value,), len(branches), body)
        else:
            detail = f"{alone.detail}, in parallel" if alone.detail else "in parallel"
            made = _item(every, alone.label, detail, alone.inputs, alone.outs, len(branches), alone.body)
            made = replace(made, family=alone.family)
        for own in zip(*(b.own for b in branches), strict=True):
            self.bundles.tie(own)
        self.bundles.tie(b.value for b in branches)
        return replace(made, parallel=True)

    def _row(self, branches: Sequence[Branch]) -> Item:
        own = [v for b in branches for v in b.own]
        if own:
            self.bundles.tie(own)
        every = [i for b in branches for i in b.items]
        values = [b.value for b in branches]
        label, alike = _span_of([_label(b.items) for b in branches])
        inside = [replace(i, inputs=tuple(map(self.bundles.first, i.inputs))) for i in every]
        body = self._enclosed(every, values, label, inside)
        self._made[body] = replace(self._made[body], outputs=(Gate(span([v.name for v in values]), tuple(values)),))
        number = sum(map(_number, branches))
        detail = "in parallel, of several sizes" if alike else f"{number:,} in parallel"
        made = _item(every, label, detail, self._inputs(body), tuple(values[:1]), number if alike else 1, body)
        self.bundles.tie(values)
        return replace(made, parallel=True)

    def _inputs(self, body: Definition) -> tuple[Value, ...]:
        return tuple(v for gate in self._made[body].inputs for v in gate.values)

    def _enclosed(
        self, items: Sequence[Item], read: Iterable[Value], label: str, inside: Sequence[Item] = ()
    ) -> Definition:
        """A definition of items that stood in another one; `read`: what is used outside of them; `inside`: what it
        shows, where that is not the items.

        The name is no block's, so that the definition does not pass for one around its like.
        """
        steps = tuple(s for i in items for s in i.steps)
        inputs = _read_from_outside(steps)
        owned = tuple(dict.fromkeys(self._layers[s.layer] for s in steps if s.layer in self._layers))
        outputs = tuple(Output(v.name, v) for value in read for v in self.bundles.all(value))
        name = f"{len(steps):,} steps: {label}"
        body = Definition(name, inputs, owned, steps, outputs, steps[0].place)
        self._made[body] = self.bundles.body(inputs, tuple(inside or items), outputs)
        return body


def _read_from_outside(steps: Sequence[Step]) -> tuple[Value, ...]:
    made = {v.name for s in steps for v in s.outs}
    return tuple({v.name: v for s in steps for v in s.inputs if v.name not in made}.values())


def _number(branch: Branch) -> int:
    """How many branches one stands for."""
    (first, *others) = branch.items
    return first.count if first.parallel and not others else 1


def _label(items: Sequence[Item]) -> str:
    """The label of items in a row: all of a few labels, the ends of many."""
    labels = [i.label for i in items]
    return ", ".join(labels) if len(labels) <= PERIOD else f"{labels[0]} ... {labels[-1]}"


def _span_of(labels: list[str]) -> tuple[str, bool]:
    """The label of many, and whether they all have it."""
    alike = len(set(labels)) == 1
    return labels[0] if alike else span(labels), alike


def _item(
    group: Sequence[Item],
    label: str,
    detail: str,
    inputs: tuple[Value, ...],
    outs: tuple[Value, ...],
    count: int,
    body: Definition | None,
) -> Item:
    """One item with the steps and the costs of several."""
    return Item(
        group[0].name,
        label,
        detail,
        "block",
        tuple(s for i in group for s in i.steps),
        inputs,
        outs,
        count,
        body,
        sum(i.params for i in group),
        total(i.macs for i in group),
        total(i.bytes for i in group),
    )
