"""Flattening: a program of nested definitions becomes one list of op calls, with paths and unique values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from netdsl.ir.model import Definition, Output, Program, Step, Value
from netdsl.ops.base import Op
from netdsl.source import Place
from netdsl.tensors import UNCLEAR, TensorType


class Node(Struct, frozen=True, eq=False):
    """One op call.

    `path` is unique: the dotted path of the instance, `f@2` inside the second call of a shared layer `f`. `layer_path`
    is the path that owns the parameters (the prefix of their state-dict keys). Values have names unique in the net.
    """

    path: str
    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layer_path: str
    place: Place
    training: bool = False
    residual: bool = False

    @property
    def types(self) -> tuple[TensorType, ...]:
        """The types of the inputs: what every facet of the op is given."""
        return tuple(v.type for v in self.inputs)


class Flat(Struct, frozen=True, eq=False):
    """A flat net: iterating it gives its nodes in order."""

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)


MOST_CALLS = 1_000_000
"""How many op calls a net may have. What walks through every instance ends in bounded time and memory below that."""


def count_calls(definition: Definition, memo: dict[Definition, int] | None = None) -> int:
    """How many op calls a definition comes to, of which blocks that are nested may hold any number."""
    memo = {} if memo is None else memo
    if definition not in memo:
        callees = [step.callee for step in definition.steps]
        memo[definition] = sum(count_calls(c, memo) if isinstance(c, Definition) else 1 for c in callees)
    return memo[definition]


def flatten(program: Program, training: bool = False, drop_vanishing: bool = False) -> Flat:
    """The op calls of a net: every instance of a definition is walked.

    The evaluation form (`training=False`) has neither outputs nor steps that exist only while training, and no step
    whose result nothing reads. `drop_vanishing` also leaves out ops that are the identity at inference (dropout).
    """
    walk = _Walk(training, drop_vanishing)
    main = program.main
    walk.definition(main, "", "", main.inputs)
    outputs = tuple(
        Output(o.name, walk.values[o.value.name], o.training) for o in main.outputs if training or not o.training
    )
    nodes = tuple(walk.nodes) if training else _live(walk.nodes, outputs)
    return Flat(main.inputs, nodes, outputs)


class _Walk:
    """Collects the nodes. `values`: the flat values of the definition being walked, by their names in it."""

    def __init__(self, training: bool, drop_vanishing: bool) -> None:
        self.training = training
        self.drop_vanishing = drop_vanishing
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}

    def definition(self, definition: Definition, path: str, layer_path: str, inputs: tuple[Value, ...]) -> None:
        self.values = {v.name: _taken(given, v) for v, given in zip(definition.inputs, inputs, strict=True)}
        for step, name in zip(definition.steps, step_names(definition), strict=True):
            if step.training and not self.training:
                continue
            given = tuple(self.values[v.name] for v in step.inputs)
            results = self._call(step, path + name, layer_path + (step.layer or name), given)
            self.values.update((v.name, r) for v, r in zip(step.outs, results, strict=True) if r is not None)

    def _call(self, step: Step, path: str, layer_path: str, inputs: tuple[Value, ...]) -> tuple[Value | None, ...]:
        callee = step.callee
        if isinstance(callee, Definition):
            outer = self.values
            self.definition(callee, path + ".", layer_path + ".", inputs)
            results = tuple(self.values.get(o.value.name) for o in callee.outputs)
            self.values = outer
            return results
        if callee.vanishes and self.drop_vanishing:
            return inputs[:1]
        many = len(step.outs) > 1
        outputs = tuple(Value(f"{path}.out{i + 1 if many else ''}", v.type) for i, v in enumerate(step.outs))
        self.nodes.append(Node(path, callee, inputs, outputs, layer_path, step.place, step.training, step.residual))
        return outputs


def _taken(given: Value, own: Value) -> Value:
    """A value as a definition takes it: its signature may say where the features of its input are."""
    told = own.type.features
    if told is None or told == given.type.features or given.type.features not in (None, UNCLEAR):
        return given
    return Value(given.name, given.type.with_features(told))


def step_names(definition: Definition) -> list[str]:
    """The last part of each step's path: its layer's name, else the kind of what it calls, numbered if it repeats."""
    kinds = [s.layer or (s.callee.kind if isinstance(s.callee, Op) else s.callee.name) for s in definition.steps]
    taken = {layer.name for layer in definition.layers}
    count, seen = Counter(kinds), Counter[str]()
    names = []
    for step, kind in zip(definition.steps, kinds, strict=True):
        seen[kind] += 1
        if step.layer is not None:
            names.append(kind if seen[kind] == 1 else f"{kind}@{seen[kind]}")
            continue
        name = kind if count[kind] == 1 and kind not in taken else f"{kind}{seen[kind]}"
        while name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return names


def _live(nodes: list[Node], outputs: tuple[Output, ...]) -> tuple[Node, ...]:
    """The nodes that some output depends on."""
    needed = {o.value.name for o in outputs}
    kept = []
    for node in reversed(nodes):
        if any(v.name in needed for v in node.outputs):
            needed.update(v.name for v in node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
