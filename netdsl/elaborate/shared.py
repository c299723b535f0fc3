"""Shared layers: what `share` declared has one set of weights, and each use of it adds a step that calls it.

A use may give further tensors (`cell(h0=h, c0=c)`, `decode(memory=m)`): operands of an op, or arguments of a block.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from netdsl.diagnostics.diagnostic import Fault, Label, did_you_mean, fault
from netdsl.elaborate import calls
from netdsl.elaborate.build import freeze
from netdsl.elaborate.builder import Builder, Context
from netdsl.elaborate.made import make
from netdsl.elaborate.scope import LayerBuilder, Scope, Wire
from netdsl.elaborate.values import (
    BlockArrow,
    CallPlace,
    It,
    OpArrow,
    Shared,
    SharedCall,
    Tensor,
    describe,
    leaves,
    place_of,
)
from netdsl.ir.model import Definition
from netdsl.ops.base import Op, feature_axis
from netdsl.source import Place
from netdsl.tensors import TensorType


class Steps(Protocol):
    """Whoever adds steps to a scope."""

    def one(self, arrow: Any, flow: Any, context: Context) -> Wire:
        """Apply an arrow that gives one tensor."""

    def step(self, op: Op, inputs: list[Wire], context: Context, at: Place, layer: LayerBuilder | None) -> Any:
        """Add a step that computes an op."""

    def call(
        self, callee: Op | Definition, inputs: list[Wire], context: Context, at: Place, layer: LayerBuilder | None
    ) -> Any:
        """Add a step that calls a definition."""


class SharedLayers:
    """Uses of shared layers. `declared` holds what each was declared as."""

    def __init__(self, builder: Builder, steps: Steps) -> None:
        self.builder = builder
        self.steps = steps
        self.declared: dict[LayerBuilder, Any] = {}
        self._anonymous_made: dict[tuple[LayerBuilder, TensorType], Definition] = {}
        self._given: dict[LayerBuilder, frozenset[str]] = {}
        """The names of the tensors that the first use of a shared block gives it."""

    def use(self, arrow: Shared | SharedCall, flow: Any, context: Context) -> Any:
        """Add a step that calls a shared layer on the value that flows, and on the tensors that a use gives it."""
        shared, given = (arrow, ()) if isinstance(arrow, Shared) else (arrow.shared, arrow.operands)
        layer = shared.layer
        declared = self.declared[layer]
        self._check_given(arrow, layer, declared, dict(given))
        x = self.builder.one(flow, arrow.at if given else place_of(declared))
        context.scope.use(layer)
        if isinstance(declared, OpArrow) and not declared.operands:
            names = [n for n in operands_of(declared) if n in dict(given)]
            inputs = [x, *[self.steps.one(dict(given)[n], flow, context) for n in names]]
            return self._op(declared, layer, inputs, context)
        definition, inputs = self._definition(declared, layer, x, self._tensors(arrow, flow, context), context)
        return self.steps.call(definition, inputs, context, place_of(declared), layer)

    def _check_given(
        self, arrow: Shared | SharedCall, layer: LayerBuilder, declared: Any, given: dict[str, Any]
    ) -> None:
        """Raise Fault for values that a shared layer does not take, and where it lacks one."""
        places = arrow.at.arguments if isinstance(arrow.at, CallPlace) else {}
        known = operands_of(declared)
        for name in given.keys() - set(known):
            raise _not_taken(declared, layer, name, known, places[name])
        waiting = [n for n in calls.missing(declared) if n not in given]
        if waiting:
            raise _lacking(declared, layer, waiting, arrow.at)
        if isinstance(declared, OpArrow) and given:
            self._check_states(arrow, layer, declared, given)
        if isinstance(declared, BlockArrow):
            first = self._given.setdefault(layer, frozenset(given))
            for name in sorted(first ^ given.keys()):
                raise _given_once(layer, name, name in first, arrow.at)

    @staticmethod
    def _check_states(arrow: Any, layer: LayerBuilder, declared: OpArrow, given: dict[str, Any]) -> None:
        """Raise Fault for states that come without those before them, or to a layer that does not give its own."""
        optional, unpacked = declared.op.optional_operands, declared.op.unpacked
        late = next((n for n in optional if n in given), None)
        if late is not None and late != optional[0]:
            message = f"{describe(declared)} needs `{optional[0]}` beside `{late}`"
            raise fault("missing-argument", message, arrow.at)
        if unpacked and not dict(declared.arguments).get(unpacked):
            message = f"`{layer.base}` is shared without its states"
            hint = f"`share {layer.base} = {declared.op.kind}(..., {unpacked}=true)` gives them"
            raise fault("argument-conflict", message, arrow.at, hint)

    def _tensors(self, arrow: Shared | SharedCall, flow: Any, context: Context) -> list[calls.Given]:
        """The tensors that a use gives to a block. Raises Fault for a layer, which every use would build."""
        if isinstance(arrow, Shared):
            return []
        places = arrow.at.arguments if isinstance(arrow.at, CallPlace) else {}
        found = []
        for name, value in arrow.operands:
            at = places.get(name, arrow.at)
            if not isinstance(value, Tensor | It):
                message = f"`{name}` of a shared block must be a tensor, found {describe(value)}"
                hint = f"a layer is given where `{arrow.shared.layer.base}` is declared; of a value, name it before"
                raise fault("argument-type", message, at, hint)
            found.append(calls.Given(name, Tensor(self.steps.one(value, flow, context)), at))
        return found

    def _op(self, declared: OpArrow, layer: LayerBuilder, inputs: list[Wire], context: Context) -> Any:
        first, made = layer.inputs, make(declared)
        result = self.steps.step(made, inputs, context, declared.at, layer if made.is_layer else None)
        op = context.scope.drafts[-1].callee
        assert isinstance(op, Op)
        if first and op.params(*[w.type for w in inputs]) != layer_params(layer, first):
            raise _other_weights(layer, inputs, declared.at)
        return result

    def _definition(
        self, declared: Any, layer: LayerBuilder, x: Wire, given: list[calls.Given], context: Context
    ) -> tuple[Definition, list[Wire]]:
        """The definition of a shared block for these values; its weights must be those of the first use."""
        if isinstance(declared, BlockArrow) and not list(leaves(tuple(v for _, v in declared.arguments))):
            bound = calls.bind(declared, given, declared.at) if given else declared
            assert isinstance(bound, BlockArrow)
            definition, inputs = self.builder.block(bound, x, context, apart=True)
        else:
            key = (layer, x.type)
            if key not in self._anonymous_made:
                self._anonymous_made[key] = self._anonymous(declared, layer, x)
            definition, inputs = self._anonymous_made[key], [x]
        if layer.callee is None:
            layer.callee, layer.inputs = definition, tuple(w.type for w in inputs)
        elif definition is not layer.callee and _weights(definition) != _weights(layer.callee):
            raise _other_weights(layer, inputs, place_of(declared))
        return definition, inputs

    def _anonymous(self, declared: Any, layer: LayerBuilder, x: Wire) -> Definition:
        """The definition of a shared arrow that is not a block: `share f = conv(8, 3) -> relu`."""
        at = place_of(declared)
        for leaf in leaves(declared):
            if isinstance(leaf, Shared):
                message = f"`{layer.base}` cannot hold `{leaf.layer.base}`, which is shared beside it"
                raise fault("misplaced", message, at, f"`share {leaf.layer.base}` inside a block that `share` names")
            raise fault("misplaced", "a shared layer cannot depend on a tensor", at, _as_input(declared, layer, leaf))
        scope = Scope(layer.base, at)
        start = scope.add_input(x.type, x.place)
        wire = self.steps.one(declared, start, Context(scope, scope))
        scope.outputs = [("output", wire, False)]
        return freeze(scope)


def operands_of(declared: Any) -> tuple[str, ...]:
    """The names of the tensors that a use may give to what was shared."""
    if isinstance(declared, OpArrow):
        return () if declared.operands else (*declared.op.operands, *declared.op.optional_operands)
    if isinstance(declared, BlockArrow):
        taken = {n for n, _ in declared.arguments}
        return tuple(n for n in calls.block_parameters(declared.block) if n not in taken)
    return ()


def waiting_for_numbers(declared: Any) -> list[str]:
    """The arguments that an op lacks where it is shared, beside tensors. A block may be given tensors for all."""
    known = operands_of(declared)
    return [n for n in calls.missing(declared) if n not in known]


def _not_taken(declared: Any, layer: LayerBuilder, name: str, known: Iterable[str], at: Place) -> Fault:
    message = f"{describe(declared)} takes no value `{name}`"
    if isinstance(declared, BlockArrow) and name in dict(declared.arguments):
        message = f"`{name}` is given where `{layer.base}` is declared"
        return fault("duplicate-argument", message, at, "leave it out there, or here")
    listed = ", ".join(f"`{k}=`" for k in known)
    hint = did_you_mean(name, known) or (f"it takes {listed}" if listed else "a block takes tensors as its arguments")
    return fault("unknown-argument", message, at, hint)


def _lacking(declared: Any, layer: LayerBuilder, waiting: list[str], at: Place) -> Fault:
    """The mistake of a use that does not give a tensor, or of a declaration without a number."""
    names = ", ".join(f"`{n}`" for n in waiting)
    told = ", ".join(f"{n}=..." for n in waiting)
    use = f"`{layer.base}({told})` gives {'it' if len(waiting) == 1 else 'them'}"
    if isinstance(declared, OpArrow):
        return fault("missing-argument", f"{describe(declared)} needs {names}", at, use)
    numbers = calls.completed(place_of(declared).text, waiting)
    hint = f"a number or a layer is given here{f', {numbers}' if numbers else ''}; where it is a tensor, {use}"
    return fault("missing-argument", f"{describe(declared)} needs {names} to be shared", place_of(declared), hint)


def _given_once(layer: LayerBuilder, name: str, first: bool, at: Place) -> Fault:
    """The mistake of a shared block that computes with a tensor in one use and without it in another."""
    uses = (
        ("was first used with", "is used without it here") if first else ("was first used without", "is given it here")
    )
    hint = f"give `{name}=` in every use, or in none: a shared block is one function of the same tensors"
    return fault("argument-conflict", f"`{layer.base}` {uses[0]} `{name}`, and {uses[1]}", at, hint)


def _as_input(declared: Any, layer: LayerBuilder, leaf: Any) -> str:
    """How a shared layer is given a tensor: in its uses, as an operand, or as the argument of a block."""
    of = dict(declared.operands if isinstance(declared, OpArrow) else ())
    of |= dict(declared.arguments if isinstance(declared, BlockArrow) else ())
    name = next((n for n, v in of.items() if v == leaf), None)
    if name is None:
        return "it takes the value that flows, and a block further ones as its arguments"
    return f"give it where it is used: `{layer.base}({name}=...)`"


def _weights(callee: Any) -> list[tuple[str, tuple[int, ...]]]:
    from netdsl.analysis.count import parameters

    assert isinstance(callee, Definition)
    return [(p.path, p.shape) for p in parameters(callee)]


def layer_params(layer: LayerBuilder, types: tuple[TensorType, ...]) -> Any:
    assert isinstance(layer.callee, Op)
    return layer.callee.params(*types)


def _other_weights(layer: LayerBuilder, inputs: list[Wire], at: Place) -> Fault:
    """The mistake of a shared layer on a value that other weights fit."""
    pairs = [(first, wire) for first, wire in zip(layer.inputs, inputs, strict=False) if first != wire.type]
    first, wire = pairs[0] if pairs else (layer.inputs[0], inputs[0])
    second, hint = wire.type, None
    said = [str(first), str(second)]
    if first.rank == second.rank and feature_axis(first) != feature_axis(second):
        said = [f"{t.marked} with its features on axis {feature_axis(t)}" for t in (first, second)]
        hint = (
            "`permute` brings the features of one to where those of the other are, or `axis=` says which axis is meant"
        )
    message = f"`{layer.base}` was first used on {said[0]}, and its weights do not fit {said[1]}"
    return fault("shape-mismatch", message, at, hint, Label("this is the second input", wire.place))
