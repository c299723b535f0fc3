"""The items of a drawing: the steps of a definition, with equal neighbours folded and long bodies in segments."""

from __future__ import annotations

from collections import Counter

from netdsl.analysis import count
from netdsl.ir.model import Definition, Layer, Output, Step, Value
from netdsl.ops.arithmetic import Scalar
from netdsl.ops.base import Op, argument
from netdsl.ops.einops import Reduce
from netdsl.sizes.dims import Dim, total
from netdsl.summary.rows import kind
from netdsl.view.folds import LONG, MOST, PERIOD, blocks_alike, cycles, repeats, runs, segments
from netdsl.view.item import Body, Item

WORDS = 26
"""How much small print a box has at most, in characters."""


class Bodies:
    """Makes the items of definitions, each definition once."""

    def __init__(self) -> None:
        self._costs: count.Memo = {}
        self._made: dict[Definition, Body] = {}

    def of(self, definition: Definition) -> Body:
        """The items of a definition, folded."""
        if definition not in self._made:
            self._made[definition] = self._body(definition)
        return self._made[definition]

    def _body(self, definition: Definition) -> Body:
        same: dict[str, Value] = {}
        steps = []
        for step in definition.steps:
            inputs = tuple(same.get(v.name, v) for v in step.inputs)
            if isinstance(step.callee, Definition) and not step.callee.steps:
                given = {v.name: value for v, value in zip(step.callee.inputs, inputs, strict=True)}
                same |= {out.name: given[o.value.name] for out, o in zip(step.outs, step.callee.outputs, strict=True)}
                continue
            steps.append(Step(step.outs, step.callee, inputs, step.place, step.layer, step.training, step.residual))
        outputs = tuple(Output(o.name, same.get(o.value.name, o.value), o.training) for o in definition.outputs)
        uses = Counter(v.name for s in steps for v in set(s.inputs))
        uses.update(o.value.name for o in outputs)
        items = self._items(steps, uses, {layer.name: layer for layer in definition.layers})
        return Body(definition.inputs, items, outputs)

    def _items(self, steps: list[Step], uses: Counter[str], layers: dict[str, Layer]) -> tuple[Item, ...]:
        free = dict(layers)  # a shared layer counts where it is used first
        items = [self._item(tuple(run), _owned(run, free)) for run in runs(steps, uses)]
        for gather in (repeats, cycles):
            if gather is repeats or len(items) > MOST:
                items = [_repeated(g, size, layers) if size < len(g) else g[0] for g, size in gather(items, uses)]
        return self._grouped(items, uses, layers)

    def _grouped(self, items: list[Item], uses: Counter[str], layers: dict[str, Layer]) -> tuple[Item, ...]:
        """Items, several in a row as one where there are many. What is inside of that one is known already."""
        for gather in (blocks_alike, segments):
            groups = gather(items, uses) if len(items) > LONG else []
            if 1 < len(groups) < len(items):
                items = []
                for group in groups:
                    items.append(group[0] if len(group) == 1 else _gathered(group, uses, layers))
                    body = items[-1].body
                    if body is not None and len(group) > 1:
                        self._made[body] = Body(body.inputs, self._grouped(group, uses, layers), body.outputs)
        return tuple(items)

    def _item(self, run: tuple[Step, ...], owned: list[Layer]) -> Item:
        first = run[0]
        body = first.callee if isinstance(first.callee, Definition) else None
        costs = [count.step_totals(s, self._costs) for s in run]
        return Item(
            first.layer or "",
            _block_name(body, first.layer or "") if body else _op_name(first),
            _arguments(body) if body else _channels(first) or _pattern(first.callee),
            family(first.callee),
            run,
            first.inputs,
            run[-1].outs,
            len(run),
            body,
            sum(count.layer_totals(layer, self._costs).params for layer in owned),
            total(c.training_macs if s.training else c.macs for s, c in zip(run, costs, strict=True)),
            total(c.activation_bytes for c in costs),
        )


def _block_name(body: Definition, layer: str) -> str:
    """The name of a block; a labelled part of a net goes by its whole label (`stages.0`)."""
    return layer if body.name in layer.split(".") else body.name


def _owned(run: list[Step], free: dict[str, Layer]) -> list[Layer]:
    """The layers of steps, taken from those that are still free."""
    return [free.pop(s.layer) for s in run if s.layer in free]


def _repeated(group: list[Item], size: int, layers: dict[str, Layer]) -> Item:
    """One item for `size` blocks that come several times; its body is those of the first time."""
    first, times = group[:size], len(group) // size
    steps = tuple(s for i in first for s in i.steps)
    labels = [i.label for i in first]
    label = ", ".join(labels) if size <= PERIOD else f"{labels[0]} ... {labels[-1]}"
    body = _enclosed(steps, {v.name for v in first[-1].outs}, f"{len(steps):,} steps: {label}", layers)
    params, macs, memory = _costs(group)
    every = tuple(s for i in group for s in i.steps)
    return Item(
        first[0].name, label, "", "block", every, body.inputs, group[-1].outs, times, body, params, macs, memory
    )


def _gathered(group: list[Item], uses: Counter[str], layers: dict[str, Layer]) -> Item:
    """One item for several in a row; its body is a definition of their steps."""
    first, steps = group[0], tuple(s for i in group for s in i.steps)
    alike = len({i.label for i in group}) == 1
    label = first.label if alike else f"{first.label} ... {group[-1].label}"
    inside = Counter(v.name for s in steps for v in set(s.inputs))
    read = {v.name for s in steps for v in s.outs if uses[v.name] > inside[v.name]}
    body = _enclosed(steps, read, f"{len(steps):,} steps: {label}", layers)
    detail, number = ("of several sizes", len(steps)) if alike else (f"{len(steps):,} steps", 1)
    outs = tuple(o.value for o in body.outputs)
    params, macs, size = _costs(group)
    return Item(first.name, label, detail, "block", steps, body.inputs, outs, number, body, params, macs, size)


def _costs(group: list[Item]) -> tuple[int, Dim, Dim]:
    """The parameters, MACs and activation bytes of items together."""
    return sum(i.params for i in group), total(i.macs for i in group), total(i.bytes for i in group)


def _enclosed(steps: tuple[Step, ...], read: set[str], name: str, layers: dict[str, Layer]) -> Definition:
    """A definition of steps that stood in another one; `read`: what is used outside of them.

    The name is no block's, so that the definition does not pass for one around its like.
    """
    made = {v.name: v for s in steps for v in s.outs}
    inputs = {v.name: v for s in steps for v in s.inputs if v.name not in made}
    owned = tuple(dict.fromkeys(layers[s.layer] for s in steps if s.layer in layers))
    outputs = tuple(Output(name, value) for name, value in made.items() if name in read)
    return Definition(name, tuple(inputs.values()), owned, steps, outputs, steps[0].place)


def _arguments(body: Definition) -> str:
    """The plain arguments of a block in a few words: `c=64, stride=2`."""
    shown = [f"{n}={v}" for n, v in body.arguments if isinstance(v, int | float | str) and not isinstance(v, bool)]
    text = ""
    for word in shown:
        longer = f"{text}, {word}" if text else word
        if len(longer) > WORDS:
            return text
        text = longer
    return text


def _channels(step: Step) -> str:
    """The channels or features a layer with weights goes from and to."""
    if isinstance(step.callee, Definition) or not step.inputs or not step.callee.is_layer:
        return ""
    before, after = step.inputs[0].type, step.outs[0].type
    axis = 0 if before.rank != 2 else -1
    if not before.shape or not after.shape or before.shape[axis] == after.shape[axis]:
        return ""
    return f"{before.shape[axis]} → {after.shape[axis]}"


def _op_name(step: Step) -> str:
    """An op in a word or two; arithmetic with a number as it is written: `1 - x`."""
    op = step.callee
    if not isinstance(op, Scalar):
        return kind(step)
    number = f"{op.value:.6g}"
    return f"{number} {op.operator} x" if op.reverse else f"x {op.operator} {number}"


def _pattern(op: Op | Definition) -> str:
    """The pattern of an op of named axes, if it is short."""
    pattern: str = argument(op, "pattern", "") if isinstance(op, Op) else ""
    text = pattern.replace("->", "→") + (f", {op.reduction}" if isinstance(op, Reduce) else "")
    return text if pattern and len(text) <= WORDS else ""


FAMILIES = {
    "conv": "conv", "scaledconv": "conv", "linear": "linear", "product": "linear", "normalization": "norm",
    "standardization": "norm", "featurenorm": "norm", "layerscale": "norm", "activation": "activation",
    "softmax": "activation", "pool": "pool", "globalpool": "pool", "subsampling": "pool", "resizing": "pool",
    "attention": "attention", "windowbias": "attention", "recurrent": "attention", "parameter": "weights",
    "embedding": "weights", "dropout": "dropout", "arithmetic": "merge", "joining": "merge",
}  # fmt: skip
"""The colour of an op by the file that holds it; all others only rearrange."""


def family(callee: Op | Definition) -> str:
    """The kind of what a step calls, in a word: it decides the colour."""
    if isinstance(callee, Definition):
        return "block"
    file = type(callee).__module__.rpartition(".")[2]
    if file == "elementwise" and argument(callee, "module", False):
        return "activation"  # a function of each number that is a class of PyTorch
    return FAMILIES.get(file, "shape")
