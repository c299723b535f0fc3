"""Tied weights: what a file reads in several layers is one layer, used several times.

Layers of one kind that read the same initialisers are one shared layer. Exporters also store equal numbers once: layers
of nothing but ones and zeros are shared only beside layers that are. A `linear` that reads the rows of an embedding or
of another `linear` is written by its weight; one that reads the weight the other way round, as a product with a
parameter that both read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.model import Call, Lifted
from netdsl.lift.names import free
from netdsl.ops.arithmetic import Add
from netdsl.ops.base import Op, OpError
from netdsl.ops.einsum import Einsum
from netdsl.ops.embedding import Embed
from netdsl.ops.linear import Linear, TiedLinear
from netdsl.ops.parameter import Parameter
from netdsl.sizes.constraints import Assumptions

SURE = 1024
"""From so many numbers on, equal ones are one weight: exporters store a turned table apart."""

PATTERNS = {1: ("i, o i -> o", "o, o i -> i"), 2: ("l i, o i -> l o", "l o, o i -> l i")}
"""The products with a weight `[o, i]` of a vector and of a sequence, and those of the other way round."""


def tied(net: Lifted) -> Lifted:
    """The net with its tied weights written as such: shared layers have a name."""
    if not any(c.origin for c in net.calls):
        return net
    return _shared(_turned(_by_weight(net)))


def _shared(net: Lifted) -> Lifted:
    groups = [g for g in _groups(net.calls) if len(g) > 1]
    named: dict[int, str] = {}
    taken = {v.name for v in net.inputs} | {o.name for o in net.outputs} | {c.share for c in net.calls}
    for group in _held(net, groups):
        name = net.calls[group[0]].share or free(_stem(net.calls[group[0]]), taken)
        taken.add(name)
        named |= dict.fromkeys(group, name)
    return replace(net, calls=tuple(replace(c, share=named.get(i, c.share)) for i, c in enumerate(net.calls)))


def _stem(call: Call) -> str:
    return "table" if isinstance(call.op, Embed) else f"shared_{call.kind}"


def _groups(calls: Sequence[Call]) -> list[list[int]]:
    """The calls of one op and the same weights, each by its place."""
    found: dict[Any, list[int]] = {}
    for index, call in enumerate(calls):
        if len(call.inputs) == 1 and call.origin and not isinstance(call.op, TiedLinear):
            key = (repr(call.op), call.origin, tuple((n, a.shape, a.tobytes()) for n, a in _arrays(call)))
            found.setdefault(key, []).append(index)
    return list(found.values())


def _arrays(call: Call) -> Iterator[tuple[str, Any]]:
    return ((n, np.asarray(a)) for n, a in call.weights.items() if not isinstance(a, str))


def _held(net: Lifted, groups: Sequence[list[int]]) -> list[list[int]]:
    """The groups that are one layer: of numbers that are no filling, and what follows on them or comes before."""
    made = {v.name: i for i, c in enumerate(net.calls) for v in c.outputs}
    read: dict[str, int] = {}
    for index, call in enumerate(net.calls):
        for value in call.inputs:
            read.setdefault(value.name, index)
    of = {i: n for n, group in enumerate(groups) for i in group}
    sure = {n for n, g in enumerate(groups) if any(_tells(a) for _, a in _arrays(net.calls[g[0]]))}
    ways = [[of.get(_next(net, i, step), -1) for i in range(len(net.calls))] for step in (made, read)]
    more = sure
    while more:
        near = [{way[i] for i in group} for group in groups for way in ways]
        beside = (n // len(ways) for n, found in enumerate(near) if len(found) == 1 and found <= sure)
        more = {n for n in beside if n not in sure}
        sure |= more
    return [groups[n] for n in sorted(sure)]


def _tells(array: Any) -> bool:
    """Whether numbers are more than a filling of one value."""
    return array.size > 1 and array.dtype.kind == "f" and bool(np.any(array != array.flat[0]))


def _next(net: Lifted, index: int, step: dict[str, int]) -> int:
    """The nearest layer before a call or after it, along the flow; -1 where there is none."""
    before = all(step.get(v.name) == index for v in net.calls[index].outputs)
    at: int | None = index
    while at is not None:
        call = net.calls[at]
        value = (call.inputs[0] if before else call.outputs[0]) if call.inputs else None
        at = None if value is None else step.get(value.name)
        if at is not None and net.calls[at].weights:
            return at
    return -1


def _by_weight(net: Lifted) -> Lifted:
    """Each `linear` whose weight is that of an embedding, or of another `linear`, by this weight."""
    owners: dict[Any, int] = {}
    calls = list(net.calls)
    made: list[list[Call]] = [[c] for c in calls]
    for index, call in enumerate(calls):
        if not isinstance(call.op, Embed | Linear) or isinstance(call.op, TiedLinear) or "weight" not in call.weights:
            continue
        weight = np.asarray(call.weights["weight"])
        owner = owners.setdefault((weight.shape, weight.tobytes()), index)
        if owner == index or not isinstance(call.op, Linear) or repr(calls[owner].op) == repr(call.op):
            continue
        first = made[owner][0]
        if not _is_same(first, call, weight):
            continue
        name = first.share or free("table", {c.share for g in made for c in g})
        param = first.op.params(*first.types)["weight"]
        found = _tied_linear(call, TiedLinear(call.op.out_features, axis=call.op.axis, weight=param), name)
        if found is not None:
            made[owner][0], made[index] = replace(first, share=name), found
    return replace(net, calls=tuple(c for group in made for c in group))


def _is_same(first: Call, second: Call, weight: Any) -> bool:
    """Whether equal numbers are one weight: one that the file has once, or so large that it is no chance."""
    apart = isinstance(first.op, Embed) and weight.size >= SURE
    return _tells(weight) and (apart or not first.origin.isdisjoint(second.origin))


def _tied_linear(call: Call, op: TiedLinear, name: str) -> list[Call] | None:
    try:
        op.infer(Assumptions(), *call.types)
    except OpError:  # over the channels of an image: it stays a layer of its own
        return None
    weights = {"weight": call.weights["weight"]}
    return _with_bias(call, [replace(call, op=op, weights=weights, share=name)])


def _with_bias(call: Call, made: list[Call]) -> list[Call]:
    """Calls that give a product, and the bias of a `linear` as a sum with a parameter."""
    if "bias" not in call.weights:
        return made
    bias = np.asarray(call.weights["bias"])
    product = Value(f"{call.outputs[0].name}~product", call.outputs[0].type)
    learnt = _parameter(call, bias, "bias")
    added = replace(call, op=Add(), inputs=(product, learnt.outputs[0]), weights={}, share="", origin=frozenset())
    return [*made[:-1], replace(made[-1], outputs=(product,)), learnt, added]


def _parameter(call: Call, array: Any, what: str) -> Call:
    role: Any = "bias" if what == "bias" else "scale"
    op = Parameter(tuple(int(s) for s in array.shape), role=role)
    value = Value(f"{call.outputs[0].name}~{what}", op.infer(Assumptions()))
    return Call(op, (), (value,), {"": array.reshape(op.params()[""].shape)}, call.node)


def _turned(net: Lifted) -> Lifted:
    """Each pair of `linear`s of which one reads the weight of the other turned, as products with one parameter."""
    made: list[list[Call]] = [[c] for c in net.calls]
    plain = [i for i, c in enumerate(net.calls) if type(c.op) is Linear and c.origin and not c.share]
    done: set[int] = set()
    for place, first in enumerate(plain):
        for second in plain[place + 1 :]:
            a, b = net.calls[first], net.calls[second]
            if first not in done and second not in done and _is_turned(a, b):
                weight = _parameter(a, np.asarray(a.weights["weight"]), "weight")
                made[first] = [weight, *_product(a, weight, 0)]
                made[second] = _product(b, weight, 1)
                done |= {first, second}
    return replace(net, calls=tuple(c for group in made for c in group))


def _is_turned(a: Call, b: Call) -> bool:
    if not a.origin & b.origin or any(c.types[0].rank not in PATTERNS or not c.types[0].batched for c in (a, b)):
        return False
    first, second = (np.asarray(c.weights["weight"]) for c in (a, b))
    return first.ndim == 2 and _tells(first) and first.shape == second.shape[::-1] and np.array_equal(first.T, second)


def _product(call: Call, weight: Call, way: int) -> list[Call]:
    op: Op = Einsum(PATTERNS[call.types[0].rank][way])
    inputs = (call.inputs[0], weight.outputs[0])
    return _with_bias(call, [replace(call, op=op, inputs=inputs, weights={}, origin=frozenset())])
