"""Tied weights: what a file reads in several layers is one layer, used several times.

Layers of one kind that read the same initialisers are one shared layer. Exporters also store equal numbers once: layers
of nothing but ones and zeros are shared only beside layers that are. A `linear` that reads the rows of an embedding or
of another `linear` is written by its weight; one that reads the weight the other way round, as a product with a
parameter that both read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import combinations
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
    taken = _taken(net) | {c.share for c in net.calls}
    for group in _held(net, groups):
        name = net.calls[group[0]].share or free(_stem(net.calls[group[0]]), taken)
        taken.add(name)
        named |= dict.fromkeys(group, name)
    return replace(net, calls=tuple(replace(c, share=named.get(i, c.share)) for i, c in enumerate(net.calls)))


def _taken(net: Lifted) -> set[str]:
    """The names of the inputs and outputs."""
    return {v.name for v in net.inputs} | {o.name for o in net.outputs}


def _stem(call: Call) -> str:
    return "table" if isinstance(call.op, Embed) else f"shared_{call.kind}"


def _groups(calls: Sequence[Call]) -> list[list[int]]:
    """The calls of one op and the same weights, each by its place."""
    found: dict[Any, list[int]] = {}
    for index, call in enumerate(calls):
        if _can_be_shared(call.op, len(call.inputs)) and call.origin and not isinstance(call.op, TiedLinear):
            key = (repr(call.op), call.origin, tuple((n, *_digest(a)) for n, a in _arrays(call)))
            found.setdefault(key, []).append(index)
    return list(found.values())


def _can_be_shared(op: Op, inputs: int) -> bool:
    """Whether a shared layer can compute this: on what flows, and on tensors that each use gives it."""
    return inputs == 1 or (inputs > 1 and op.takes_it and not op.unpacked and bool(op.operands or op.optional_operands))


def _digest(array: Any) -> tuple[tuple[int, ...], bytes]:
    """The shape of an array and a digest of its numbers: equal for equal arrays, and small where it is kept."""
    return array.shape, blake2b(array.tobytes()).digest()


def _arrays(call: Call) -> Iterator[tuple[str, Any]]:
    return ((n, np.asarray(a)) for n, a in call.weights.items() if not isinstance(a, str))


def _held(net: Lifted, groups: Sequence[list[int]]) -> list[list[int]]:
    """The groups that are one layer: of numbers that are no filling, and what follows on them or comes before."""
    of = {i: n for n, group in enumerate(groups) for i in group}
    sure = {n for n, g in enumerate(groups) if _is_sure(net.calls[g[0]])}
    ways = [[of.get(i, -1) for i in way] for way in (_before(net), _after(net))]
    more = sure
    while more:
        beside = {n for n, group in enumerate(groups) if any(_is_beside(group, way, sure) for way in ways)}
        more = beside - sure
        sure = sure | more
    return [groups[n] for n in sorted(sure)]


def _is_sure(call: Call) -> bool:
    """Whether some weights of a layer are more than a filling of one value."""
    return any(_tells(a) for _, a in _arrays(call))


def _is_beside(group: Sequence[int], way: Sequence[int], sure: set[int]) -> bool:
    """Whether the layers next to those of a group are one layer."""
    found = {way[i] for i in group}
    return len(found) == 1 and found <= sure


def _before(net: Lifted) -> list[int]:
    """For each call, the place of the nearest layer that flows into it; -1 where there is none."""
    found: list[int] = []
    made = {v.name: i for i, c in enumerate(net.calls) for v in c.outputs}
    for call in net.calls:
        at = made.get(call.inputs[0].name, -1) if call.inputs else -1
        found.append(at if at < 0 or net.calls[at].weights else found[at])
    return found


def _after(net: Lifted) -> list[int]:
    """For each call, the place of the nearest layer that its result flows into; -1 where there is none."""
    found = [-1] * len(net.calls)
    read: dict[str, int] = {}
    for index in reversed(range(len(net.calls))):
        call = net.calls[index]
        at = read.get(call.outputs[0].name, -1)
        found[index] = at if at < 0 or net.calls[at].weights else found[at]
        read.update((v.name, index) for v in call.inputs)
    return found


def _tells(array: Any) -> bool:
    """Whether numbers are more than a filling of one value."""
    return array.size > 1 and array.dtype.kind == "f" and bool(np.any(array != array.flat[0]))


def _by_weight(net: Lifted) -> Lifted:
    """Each `linear` whose weight is that of an embedding, or of another `linear`, by this weight."""
    owners: dict[Any, int] = {}
    made: list[list[Call]] = [[c] for c in net.calls]
    for index, call in enumerate(net.calls):
        if type(call.op) not in (Embed, Linear) or "weight" not in call.weights:
            continue
        weight = np.asarray(call.weights["weight"])
        owner = owners.setdefault(_digest(weight), index)
        first = made[owner][0]
        found = _tied_linear(call, first, _taken(net) | _names(made)) if owner != index else None
        if found is not None:
            name = next(c.share for c in found if isinstance(c.op, TiedLinear))
            made[owner][0], made[index] = replace(first, share=name), found
    return replace(net, calls=tuple(c for group in made for c in group))


def _names(made: Sequence[Sequence[Call]]) -> set[str]:
    return {c.share for group in made for c in group}


def _is_same(first: Call, second: Call) -> bool:
    """Whether equal numbers are one weight: one that the file has once, or so large that it is no chance."""
    weight = np.asarray(first.weights["weight"])
    apart = isinstance(first.op, Embed) and weight.size >= SURE
    return _tells(weight) and (apart or not first.origin.isdisjoint(second.origin))


def _is_one_layer(first: Call, second: Call) -> bool:
    """Whether two layers are equal, with their biases."""
    one, other = (np.asarray(c.weights.get("bias", ())) for c in (first, second))
    return repr(first.op) == repr(second.op) and np.array_equal(one, other)


def _tied_linear(call: Call, first: Call, taken: set[str]) -> list[Call] | None:
    """A `linear` by the weight of another layer; None where it is the same layer, or none by a weight."""
    op = call.op
    if not isinstance(op, Linear) or _is_one_layer(first, call) or not _is_same(first, call):
        return None
    made = TiedLinear(op.out_features, axis=op.axis, weight=first.op.params(*first.types)["weight"])
    try:
        made.infer(Assumptions(), *call.types)
    except OpError:  # over the channels of an image: it stays a layer of its own
        return None
    weights = {"weight": call.weights["weight"]}
    name = first.share or free("table", taken)
    return _with_bias(call, [replace(call, op=made, weights=weights, share=name)])


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
    for first, second in _with_one_origin(net.calls, plain):
        a, b = net.calls[first], net.calls[second]
        if done.isdisjoint((first, second)) and _is_turned(a, b):
            weight = _parameter(a, np.asarray(a.weights["weight"]), "weight")
            made[first], made[second] = [weight, *_product(a, weight, 0)], _product(b, weight, 1)
            done |= {first, second}
    return replace(net, calls=tuple(c for group in made for c in group))


def _with_one_origin(calls: Sequence[Call], places: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of calls that read an array of the file together, in order."""
    by_origin: dict[str, list[int]] = {}
    for place in places:
        for origin in calls[place].origin:
            by_origin.setdefault(origin, []).append(place)
    return sorted({pair for group in by_origin.values() for pair in combinations(group, 2)})


def _is_turned(a: Call, b: Call) -> bool:
    if any(c.types[0].rank not in PATTERNS or not c.types[0].batched for c in (a, b)):
        return False
    first, second = (np.asarray(c.weights["weight"]) for c in (a, b))
    return first.ndim == 2 and _tells(first) and first.shape == second.shape[::-1] and np.array_equal(first.T, second)


def _product(call: Call, weight: Call, way: int) -> list[Call]:
    op: Op = Einsum(PATTERNS[call.types[0].rank][way])
    inputs = (call.inputs[0], weight.outputs[0])
    return _with_bias(call, [replace(call, op=op, inputs=inputs, weights={}, origin=frozenset())])
