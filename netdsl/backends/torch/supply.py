"""Sizes that a block is told from outside: one that lays tokens out in rows needs `H`, which its tokens do not tell.

The class of such a block takes a tensor that has the size, as a further input of its forward method, and so does every
block between it and the one where there is such a tensor. Keys of the state dict stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from typing import Any

from msgspec.structs import replace

from netdsl.backends.torch.body import AUTOMATIC
from netdsl.backends.torch.sizes import found_in
from netdsl.backends.torch.tree import Node, walk
from netdsl.ir.model import Definition, Layer, Program, Step, Value
from netdsl.ops.base import Call
from netdsl.sizes.dims import Size, symbols
from netdsl.tensors import TensorType

SIZED = "sized"
"""What such an input is called where the author gave its tensor no name."""


def supplied(program: Program) -> Program:
    """The program with an input more for each definition whose sizes are not in its inputs; itself where there is
    none. What is nowhere to be found stays missing."""
    if not any(v.type.names for v in program.main.inputs):
        return program
    supply = _Supply()
    supply.missing(program.main)
    if not any(supply.known.values()):
        return program
    return replace(program, main=supply.rebuilt(program.main, ()))


class _Scope:
    """The values that a step may read, and the names in use."""

    def __init__(self, inputs: Sequence[Value], steps: Iterable[Step]) -> None:
        self.inputs = list(inputs)
        self.values = list(inputs)
        self.taken = {v.name for v in inputs} | {v.name for s in steps for v in s.outs}

    def fresh(self, name: str) -> str:
        """A name that no value has yet."""
        found = next(n for n in chain([name], (f"{name}{i}" for i in count(2))) if n not in self.taken)
        self.taken.add(found)
        return found

    def made(self, step: Step) -> None:
        """Let later steps read the values of this one."""
        self.values += () if step.training else step.outs

    def chosen(self, sizes: Iterable[Size]) -> tuple[Value, ...]:
        """Values from which sizes can be read, each where it is said most shortly."""
        chosen: dict[Value, None] = {}
        for size in sizes:
            if found_in(size, _types(chosen)) is None:
                chosen |= dict.fromkeys(self._having(size))
        return tuple(chosen)

    def _having(self, size: Size) -> list[Value]:
        first = {v.type: v for v in reversed(self.values) if symbols(size) & v.type.names}
        trees = [(v, found_in(size, _types([v]))) for v in reversed(first.values())]
        said = [(v, tree) for v, tree in trees if tree is not None]
        if said:
            return [min(said, key=lambda found: _length(found[1]))[0]]
        together = [v for v in self.inputs if symbols(size) & v.type.names]
        return together if found_in(size, _types(together)) is not None else []


class _Supply:
    def __init__(self) -> None:
        self.known: dict[Definition, tuple[Size, ...]] = {}
        self.copies: dict[tuple[Definition, tuple[TensorType, ...]], Definition] = {}

    def missing(self, definition: Definition) -> tuple[Size, ...]:
        """The sizes that a definition needs and that cannot be read from its inputs."""
        if definition not in self.known:
            self.known[definition] = tuple(dict.fromkeys(self._missing(definition)))
        return self.known[definition]

    def _missing(self, definition: Definition) -> Iterator[Size]:
        scope = _Scope(definition.inputs, ())
        for step in definition.steps:
            if isinstance(step.callee, Definition):
                yield from (s for s in self.missing(step.callee) if not scope.chosen([s]))
            else:
                own = _types([*step.inputs, *definition.inputs])
                yield from (s for s in _sizes_of(step) if found_in(s, own) is None)
            scope.made(step)

    def is_open(self, definition: Definition) -> bool:
        """Whether a chain is none with its layers' further inputs; then its steps take its place."""
        inner = [s.callee for s in definition.steps if isinstance(s.callee, Definition)]
        return definition.chain and any(self.missing(d) or self.is_open(d) for d in inner)

    def rebuilt(self, definition: Definition, given: Sequence[Value]) -> Definition:
        """A definition that is given further values; itself where nothing is new."""
        key = definition, tuple(v.type for v in given)
        if key not in self.copies:
            self.copies[key] = self._rebuilt(definition, given)
        return self.copies[key]

    def _rebuilt(self, definition: Definition, given: Sequence[Value]) -> Definition:
        scope = _Scope(definition.inputs, definition.steps)
        names = [SIZED if AUTOMATIC.fullmatch(v.name) else v.name for v in given]
        own = [Value(scope.fresh(name), v.type) for name, v in zip(names, given, strict=True)]
        inputs = (*definition.inputs, *own)
        scope.inputs, scope.values = list(inputs), list(inputs)
        steps = tuple(new for step in definition.steps for new in self._steps(step, scope))
        if not own and steps == definition.steps:
            return definition
        return replace(definition, inputs=inputs, steps=steps, layers=tuple(_layers(definition.layers, steps)))

    def _steps(self, step: Step, scope: _Scope) -> Iterator[Step]:
        if isinstance(step.callee, Definition) and self.is_open(step.callee):
            yield from self._opened(step, step.callee, scope)
            return
        if isinstance(step.callee, Definition):
            given = scope.chosen(self.missing(step.callee))
            callee = self.rebuilt(step.callee, given)
            if callee is not step.callee:
                step = replace(step, callee=callee, inputs=(*step.inputs, *given))
        scope.made(step)
        yield step

    def _opened(self, step: Step, opened: Definition, scope: _Scope) -> Iterator[Step]:
        """The steps of a chain in the place of its call, with the layers they had: `branch.0`, `branch.1`."""
        read = step.inputs
        for inner in opened.steps:
            outs = tuple(Value(scope.fresh("x"), v.type) for v in inner.outs)
            outs = step.outs if inner is opened.steps[-1] else outs
            layer = f"{step.layer}.{inner.layer}" if step.layer and inner.layer else None
            moved = replace(inner, inputs=read, outs=outs, layer=layer, training=step.training)
            yield from self._steps(moved, scope)
            read = outs


def _layers(layers: Iterable[Layer], steps: Sequence[Step]) -> Iterator[Layer]:
    """The layers of steps in the order of those they were; a chain that was opened has its own in its place."""
    first = {str(s.layer): s for s in reversed(steps)}
    called = list(dict.fromkeys(str(s.layer) for s in steps))
    for layer in layers:
        for name in called if layer.name not in first else (layer.name,):
            if name == layer.name or name.startswith(f"{layer.name}."):
                step = first[name]
                former = layer.former if name == layer.name else ""
                yield Layer(name, step.callee, tuple(v.type for v in step.inputs), former)


def _types(values: Iterable[Value]) -> dict[int, TensorType]:
    return {i: v.type for i, v in enumerate(values)}


def _length(tree: Node) -> int:
    return sum(1 for _ in walk(tree))


def _sizes_of(step: Step) -> Iterator[Size]:
    """The named sizes in the expression of an op."""
    assert not isinstance(step.callee, Definition)
    if any(v.type.names for v in (*step.inputs, *step.outs)):
        yield from _named(step.callee.torch(*(v.type for v in step.inputs)).expression)


def _named(item: Any) -> Iterator[Size]:
    match item:
        case Size():
            yield item
        case tuple() | list():
            for inner in item:
                yield from _named(inner)
        case Call(_, args, kwargs):
            yield from _named(args)
            yield from _named([value for _, value in kwargs])
