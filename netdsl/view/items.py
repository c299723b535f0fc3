"""The items of a drawing: the steps of a definition, with equal neighbours folded and long bodies in segments."""

from __future__ import annotations

from collections import Counter

from netdsl.analysis import count
from netdsl.ir.model import Definition, Layer, Output, Step, Value
from netdsl.ops.arithmetic import Scalar
from netdsl.ops.base import Op, argument
from netdsl.sizes.dims import total
from netdsl.summary.rows import kind
from netdsl.view.folds import MOST, cycles, repeats, runs
from netdsl.view.gather import Gatherer
from netdsl.view.item import Body, Item
from netdsl.view.parallel import side_by_side
from netdsl.view.sums import sums

WORDS = 26
"""How much small print a box has at most, in characters."""


class Bodies:
    """Makes the items of definitions, each definition once. `mains`: nets; only of these several inputs or outputs may
    be drawn as one line, as a block is drawn within another."""

    def __init__(self, *mains: Definition) -> None:
        self._mains = mains
        self.costs: count.Memo = {}
        self._made: dict[Definition, Body] = {}

    def of(self, definition: Definition) -> Body:
        """The items of a definition, folded."""
        if definition not in self._made:
            self._made[definition] = self._body(definition)
        return self._made[definition]

    def _body(self, definition: Definition) -> Body:
        steps, outputs = _computing(definition)
        uses = Counter(v.name for s in steps for v in set(s.inputs))
        uses.update(o.value.name for o in outputs)
        free = {layer.name: layer for layer in definition.layers}  # a shared layer counts where it is used first
        items = sums([self._item(tuple(run), _owned(run, free)) for run in runs(steps, uses)], uses)
        gatherer = Gatherer(uses, definition.layers, self._made)
        results = [o.value for o in outputs]
        loose = (*definition.inputs, *results) if definition in self._mains else ()
        items = side_by_side(items, results, loose, gatherer.side_by_side)
        for gather in (repeats, cycles):
            if gather is repeats or len(items) > MOST:
                items = [gatherer.repeated(group, size) for group, size in gather(items, uses)]
        return gatherer.bundles.body(definition.inputs, gatherer.grouped(items), outputs)

    def _item(self, run: tuple[Step, ...], owned: list[Layer]) -> Item:
        first = run[0]
        body = first.callee if isinstance(first.callee, Definition) else None
        costs = [count.step_totals(s, self.costs) for s in run]
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
            sum(count.layer_totals(layer, self.costs).params for layer in owned),
            total(c.training_macs if s.training else c.macs for s, c in zip(run, costs, strict=True)),
            total(c.activation_bytes for c in costs),
        )


def _computing(definition: Definition) -> tuple[list[Step], tuple[Output, ...]]:
    """The steps of a definition without those that compute nothing, and its outputs."""
    same: dict[str, Value] = {}
    steps = []
    for step in definition.steps:
        inputs = tuple(same.get(v.name, v) for v in step.inputs)
        if isinstance(step.callee, Definition) and not step.callee.steps:
            given = {v.name: value for v, value in zip(step.callee.inputs, inputs, strict=True)}
            same |= {out.name: given[o.value.name] for out, o in zip(step.outs, step.callee.outputs, strict=True)}
        else:
            steps.append(Step(step.outs, step.callee, inputs, step.place, step.layer, step.training, step.residual))
    return steps, tuple(Output(o.name, same.get(o.value.name, o.value), o.training) for o in definition.outputs)


def _block_name(body: Definition, layer: str) -> str:
    """The name of a block; a labelled part of a net goes by its whole label (`stages.0`)."""
    return layer if body.name in layer.split(".") else body.name


def _owned(run: list[Step], free: dict[str, Layer]) -> list[Layer]:
    """The layers of steps, taken from those that are still free."""
    return [free.pop(s.layer) for s in run if s.layer in free]


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
    if isinstance(op, Definition):
        return ""
    pattern, reduction = argument(op, "pattern", ""), argument(op, "reduction", "")
    text = pattern.replace("->", "→") + (f", {reduction}" if pattern and reduction else "")
    return text if len(text) <= WORDS else ""


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
