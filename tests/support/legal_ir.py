"""The rules of legal IR, on which every pass relies; a test checks every elaborated program against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netdsl.ir.model import Definition, Program, Step, Value
from netdsl.ops.base import Op
from netdsl.tensors import TensorType


def violations(program: Program) -> list[str]:
    """Every way in which a program is not legal; empty for a legal one."""
    seen: set[Definition] = set()
    found: list[str] = []

    def visit(definition: Definition) -> None:
        if definition in seen:
            return
        seen.add(definition)
        found.extend(f"{definition.name}: {v}" for v in _definition(definition))
        for step in definition.steps:
            if isinstance(step.callee, Definition):
                visit(step.callee)

    visit(program.main)
    return found


def _definition(definition: Definition) -> Iterator[str]:
    known: dict[str, Value] = {}
    layers = {layer.name: layer for layer in definition.layers}
    if len(layers) != len(definition.layers):
        yield "two layers bear one name"
    for value in definition.inputs:
        yield from _bind(value, known)
    for step in definition.steps:
        yield from (f"{v.name} is read before it is made" for v in step.inputs if known.get(v.name) != v)
        yield from _step(step, layers)
        for value in step.outs:
            yield from _bind(value, known)
    yield from (f"output {o.name} is never made" for o in definition.outputs if known.get(o.value.name) != o.value)
    yield from (f"layer {n} is never called" for n in layers.keys() - {s.layer for s in definition.steps})
    if definition.chain and [s.layer for s in definition.steps] != [str(i) for i in range(len(definition.steps))]:
        yield "a chain's layers are not numbered"


def _bind(value: Value, known: dict[str, Value]) -> Iterator[str]:
    if value.name in known:
        yield f"{value.name} is made twice"
    known[value.name] = value


def _step(step: Step, layers: Mapping[str, object]) -> Iterator[str]:
    if step.layer is not None and step.layer not in layers:
        yield f"no layer {step.layer}"
    types = tuple(v.type for v in step.inputs)
    if isinstance(step.callee, Definition):
        if not _are_those(types, step.callee.inputs):
            yield f"{step.callee.name} is called with other types than its own"
        if [v.type for v in step.outs] != [o.value.type for o in step.callee.outputs]:
            yield f"{step.callee.name} gives other types than its own"
        return
    if step.layer is None and _owns_something(step.callee, step):
        yield f"{step.callee.kind} has weights and no layer"


def _owns_something(op: Op, step: Step) -> bool:
    types = [v.type for v in step.inputs]
    return bool(op.params(*types) or op.buffers(*types))


def _are_those(types: tuple[TensorType, ...], own: tuple[Value, ...]) -> bool:
    """Whether types are those of a definition's own inputs, wherever their features are."""
    return len(types) == len(own) and all(t.same(v.type) for t, v in zip(types, own, strict=True))
