"""The weights of a file under the keys of the spec that was lifted from it.

The spec, compiled, is the lifted graph again, with its calls in another order and under the names of its layers. The
two are laid over each other from the inputs on; where two calls read the same values, what reads them decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from netdsl.ir.flatten import Flat, Node
from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import COMMUTES
from netdsl.lift.model import Call, Lifted, LiftError
from netdsl.ops.base import Op, argument
from netdsl.ops.linear import TiedLinear


def weights(net: Lifted, flat: Flat) -> dict[str, Any]:
    """The state dict: the arrays of the file by the keys of the spec. Raises LiftError where the two differ."""
    ours = [_Side(exact(c), c.inputs, c.outputs) for c in net.calls]
    theirs = [_Side(n.op, n.inputs, n.outputs) for n in flat]
    waiting = _by_key(ours, _after(ours, [o.value for o in net.outputs]))
    same = {b.name: a.name for a, b in zip(net.inputs, flat.inputs, strict=True)}
    state: dict[str, Any] = {}
    for node, side, after in zip(flat, theirs, _after(theirs, [o.value for o in flat.outputs]), strict=True):
        found = waiting.get(side.key([same[v.name] for v in side.inputs], after))
        if not found:
            message = f"the spec has a `{node.op.kind}` at `{node.path}` that the file has not"
            raise LiftError(message, hint="this is a defect of lifting, please report it")
        call = net.calls[found.pop(0) if len(found) > 1 else found[0]]
        same.update((b.name, a.name) for a, b in zip(call.outputs, node.outputs, strict=True))
        state.update({} if isinstance(node.op, TiedLinear) else _arrays(call, node))
    return state


def in_order(net: Lifted, flat: Flat) -> dict[str, Any]:
    """The state dict by the order of use: the n-th layer of the file is the n-th of the spec, whatever computes what
    lies between them. Only runs of both can prove it. Raises LiftError where numbers or sizes differ."""
    calls = [c for c in net.calls if c.weights]
    nodes = [n for n in flat if n.op.params(*n.types) or any(b.persistent for b in n.op.buffers(*n.types).values())]
    if len(calls) != len(nodes):
        raise LiftError(f"the file has {len(calls)} layers with weights, the spec {len(nodes)}")
    state: dict[str, Any] = {}
    for call, node in zip(calls, nodes, strict=True):
        state.update(_arrays(call, node))
    return state


def exact(call: Call) -> Op:
    """The op with the arguments that the compiler gives it."""
    return call.op.resolve(*call.types) if call.inputs else call.op


def _by_key(sides: Sequence[_Side], after: Sequence[int]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for index, side in enumerate(sides):
        found.setdefault(side.key([v.name for v in side.inputs], after[index]), []).append(index)
    return found


class _Side:
    """A call of one of the two graphs."""

    def __init__(self, op: Any, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
        self.op, self.inputs, self.outputs = op, inputs, outputs
        shapes = tuple((n, p.shape) for n, p in op.params(*(v.type for v in inputs)).items())
        self.said = (op.kind, *(str(v.type) for v in (*inputs, *outputs)), shapes)
        self.commutes = op.kind in COMMUTES

    def key(self, inputs: list[str], after: int) -> Any:
        return (self.said, tuple(sorted(inputs) if self.commutes else inputs), after)


def _after(sides: Sequence[_Side], ends: Sequence[Value]) -> list[int]:
    """For each call, a hash of what becomes of its results: who reads them, at which place."""
    read: dict[str, list[Any]] = {}
    for place, value in enumerate(ends):
        read.setdefault(value.name, []).append(("end", place))
    found = [0] * len(sides)
    for index in reversed(range(len(sides))):
        side = sides[index]
        found[index] = hash((side.said, tuple(tuple(sorted(map(hash, read.get(v.name, ())))) for v in side.outputs)))
        for place, value in enumerate(side.inputs):
            read.setdefault(value.name, []).append((found[index], 0 if side.commutes else place))
    return found


def _arrays(call: Call, node: Node) -> Mapping[str, Any]:
    """The arrays of a layer by their keys, in the shapes of the spec."""
    wanted = {n: p.shape for n, p in node.op.params(*node.types).items()}
    dtypes = dict.fromkeys(wanted, "float32")
    for name, buffer in node.op.buffers(*node.types).items():
        if buffer.persistent:
            wanted[name], dtypes[name] = buffer.shape, buffer.dtype
    found = {}
    weights = _with_eps(call, node)
    for name, shape in wanted.items():
        if name not in weights:
            raise LiftError(f"the file has no `{name}` for `{node.path}`: a defect of lifting", call.node)
        array = np.asarray(weights[name], dtypes[name])
        if array.size != prod(shape):
            raise LiftError(f"its `{name}` is {[*array.shape]} where {[*shape]} is needed", call.node)
        array = array.reshape(shape)
        found[f"{node.layer_path}.{name}" if name else node.layer_path] = array
    return found


def _with_eps(call: Call, node: Node) -> Mapping[str, Any]:
    """The weights of a call for a layer that may have another `eps`: a difference too small for the comparisons. A
    folded norm has the `eps` of its layer. Raises LiftError where the file has another one."""
    mine, eps = (argument(op, "eps") for op in (call.op, node.op))
    if mine == eps or call.kind != node.op.kind:
        return call.weights
    variance = call.weights.get("running_var")
    if variance is None or eps is None or not (variance == np.float32(1) - np.float32(mine)).all():
        raise LiftError(f"`eps` is {mine} in the file and {eps} in the spec", call.node)
    return {**call.weights, "running_var": np.ones_like(variance) - np.float32(eps)}
