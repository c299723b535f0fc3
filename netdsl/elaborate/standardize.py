"""Preprocessing as part of a net: the program with its images standardised, so that it takes raw pixels, and with its
outputs in the units of what it predicts."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.ir.model import Definition, Layer, Program, Step, Value
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op

NAME = "standardize"
UNITS = "units"
"""The layer that gives outputs in their own units."""


def standardized(program: Program, mean: Any, std: Any, per: str = "channel") -> Program:
    """The program with `standardize(mean, std, per)` as the first step on its first input, and on others of its type
    (the two images of a Siamese net).

    An input keeps its name and type; everything that read it reads the standardised value. Where the net standardises
    its input itself, its statistics are replaced.
    """
    main = program.main
    source = main.inputs[0]
    if (own := _own(main, source)) is not None:
        return replace(program, main=_with_statistics(main, own, mean, std, per))
    op = REGISTRY[NAME](mean=mean, std=std, per=per).resolve(source.type)
    name = _free(NAME, {layer.name for layer in main.layers})
    layers = (Layer(name, op, (source.type,)),) if op.is_layer else ()
    values = {v: Value(_free_name(f"{v.name}_standard", main), v.type) for v in main.inputs if v.type.same(source.type)}
    first = (Step((value,), op, (v,), main.place, name if layers else None) for v, value in values.items())
    reads = (replace(s, inputs=tuple(values.get(v, v) for v in s.inputs)) for s in main.steps)
    outputs = tuple(replace(o, value=values.get(o.value, o.value)) for o in main.outputs)
    changed = replace(main, layers=(*layers, *main.layers), steps=(*first, *reads), outputs=outputs)
    return replace(program, main=changed)


def _own(main: Definition, source: Value) -> Step | None:
    """The step with which a net standardises its input itself."""
    for step in main.steps:
        if step.inputs == (source,) and isinstance(step.callee, Op) and step.callee.kind == NAME:
            return step
    return None


def in_units(program: Program, mean: tuple[float, ...], std: tuple[float, ...]) -> Program:
    """The program whose main output, and others of its type, are `y * std + mean`: it learns standardised targets and
    gives them in their own units. Written with the inverse statistics, `(y - (-mean / std)) / (1 / std)`. There are as
    many as the output has channels or, of a row for each of several graphs or nodes, columns."""
    main = program.main
    kind = next(o for o in main.outputs if not o.training).value.type
    op = _inverse(mean, std, axis=0 if kind.shape[0] == len(mean) else -1).resolve(kind)
    name = _free(UNITS, {layer.name for layer in main.layers})
    values = {
        o.value: Value(_free_name(f"{o.value.name}_units", main), kind) for o in main.outputs if o.value.type.same(kind)
    }
    kept = {o.value for o in main.outputs if not o.training}
    steps = (Step((new,), op, (v,), main.place, name, training=v not in kept) for v, new in values.items())
    changed = replace(
        main,
        layers=(*main.layers, Layer(name, op, (kind,))),
        steps=(*main.steps, *steps),
        outputs=tuple(replace(o, value=values.get(o.value, o.value)) for o in main.outputs),
    )
    return replace(program, main=changed)


def gives_units(step: Step) -> bool:
    """Whether a step is the one that gives outputs in their own units."""
    named = step.layer is not None and step.layer.rstrip("_") == UNITS
    return named and isinstance(step.callee, Op) and step.callee.kind == NAME


def _inverse(mean: tuple[float, ...], std: tuple[float, ...], axis: int) -> Op:
    """`standardize` with the statistics that undo those given."""
    shift = tuple(-m / s for m, s in zip(mean, std, strict=True))
    return REGISTRY[NAME](mean=shift, std=tuple(1 / s for s in std), axis=axis)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _with_statistics(main: Definition, own: Step, mean: Any, std: Any, per: str) -> Definition:
    op = replace(own.callee, mean=mean, std=std, per=per)
    layers = tuple(replace(x, callee=op) if x.name == own.layer else x for x in main.layers)
    return replace(main, layers=layers, steps=tuple(replace(s, callee=op) if s is own else s for s in main.steps))


def _free_name(name: str, definition: Definition) -> str:
    return _free(name, {v.name for s in definition.steps for v in s.outs} | {v.name for v in definition.inputs})
