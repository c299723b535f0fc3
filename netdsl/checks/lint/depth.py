"""The number of ops of a kind in a row on the path of a signal, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import File
from netdsl.ir.model import Definition, Step
from netdsl.syntax import ast

BREAKS = (
    "bn", "groupnorm", "layernorm", "rmsnorm", "instancenorm", "lrn", "add", "sub", "concat", "selu", "scaled_conv",
)  # fmt: skip
"""What keeps the scale of the signal, or lets the gradient around the layers."""

Count = Callable[[Step], int]


class Depth(Struct, frozen=True):
    """The depth of an output: `own` at least, and `through[i]` more than input `i` has, of the inputs that reach it."""

    own: int
    through: Mapping[int, int]


class Depths(Struct, frozen=True):
    """The depths of a definition's outputs, and the largest of any value inside it."""

    outputs: tuple[Depth, ...]
    peak: int


Known = dict[Definition, Depths]


def deepest(file: File, block: ast.Block, count: Count, known: Known) -> int:
    """The longest row that a signal passes in the nets of a declaration. `known`: what was found for definitions."""
    return max((_depths(m, count, known).peak for m in file.mains.get(block.at, ())), default=0)


def _depths(definition: Definition, count: Count, known: Known) -> Depths:
    if definition not in known:
        peak = 0
        start = {v.name: Depth(0, {i: 0}) for i, v in enumerate(definition.inputs)}
        for step in definition.steps:
            given = [start[v.name] for v in step.inputs]
            inner = _inner(step, len(given), count, known)
            start.update((v.name, _after(d, given)) for v, d in zip(step.outs, inner.outputs, strict=True))
            peak = max(peak, inner.peak, *(start[v.name].own for v in step.outs))
        known[definition] = Depths(tuple(start[o.value.name] for o in definition.outputs), peak)
    return known[definition]


def _inner(step: Step, width: int, count: Count, known: Known) -> Depths:
    if isinstance(step.callee, Definition):
        return _depths(step.callee, count, known)
    reaching = 0 if kind_of(step) in BREAKS else width
    return Depths((Depth(0, dict.fromkeys(range(reaching), count(step))),) * len(step.outs), 0)


def _after(inner: Depth, given: list[Depth]) -> Depth:
    """The depth of what comes out, in the inputs of the definition around the step."""
    own = inner.own
    through: dict[int, int] = {}
    for index, more in inner.through.items():
        own = max(own, given[index].own + more)
        for i, before in given[index].through.items():
            through[i] = max(through.get(i, 0), before + more)
    return Depth(own, through)
