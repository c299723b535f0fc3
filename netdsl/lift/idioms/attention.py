"""Multi-head attention in parts: projections, heads, scores, softmax, heads joined, a projection.

Exporters cut heads in many ways, so that the parts in between are not matched: the places of the numbers are followed
through them. Whatever order of features they leave is an order of the rows of the weights.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.idioms.views import factor_of, shape_of, traced
from netdsl.lift.model import Call
from netdsl.lift.sized import HIDDEN, is_causal
from netdsl.ops.attention import Attention, CrossAttention
from netdsl.ops.linear import Linear
from netdsl.ops.parameter import Parameter


class Projected(Struct, frozen=True, eq=False):
    """Queries, keys or values: the value they are a projection of, its weight `[heads * d, D]` and bias."""

    x: Value
    weight: Any
    bias: Any
    heads: int


def _attention(net: Net, call: Call) -> list[Call] | None:
    """A projection, of what heads give, of what is projected from one value."""
    mixed = _mixed(net, call)
    if mixed is None:
        return None
    product, order = mixed
    soft = _softmax(net, product.inputs[0])
    if soft is None or (soft.op.axis not in (None, -1) and soft.op.axis != soft.inputs[0].type.rank - 1):  # type: ignore[attr-defined]
        return None
    scores, masks, factor = _scores(net, soft.inputs[0])
    if scores is None:
        return None
    found = [
        _projected(net, v, t) for v, t in zip((*scores.inputs, product.inputs[1]), (False, True, False), strict=True)
    ]
    q, k, v = found
    if q is None or k is None or v is None:
        return None
    return _built(net, call, (q, k, v), order, masks, factor)


def _softmax(net: Net, value: Value) -> Call | None:
    """The softmax below a product with values; what its mask hides may be set to 0 once more after it."""
    filled = net.source(value, "masked_fill")
    if filled is None or filled.op.value != 0:  # type: ignore[attr-defined]
        return net.source(value, "softmax")
    soft = net.source(filled.inputs[0], "softmax")
    before = net.source(soft.inputs[0], "masked_fill") if soft is not None else None
    is_same = before is not None and _is_same(net, before.inputs[1], filled.inputs[1])
    return soft if is_same else None  # another mask hides more, and random inputs may never show it


def _is_same(net: Net, a: Value, b: Value) -> bool:
    """Whether two masks are one value, or the same turned and reshaped twice."""
    if a.name == b.name:
        return True
    one, other = net.source(a), net.source(b)
    if one is None or other is None or one.kind not in TURNS or repr(one.op) != repr(other.op):
        return False
    return _is_same(net, one.inputs[0], other.inputs[0])


TURNS = ("logical_not", "reshape", "unsqueeze")


def _built(
    net: Net, call: Call, qkv: tuple[Projected, Projected, Projected], order: Any, masks: list[Value], factor: float
) -> list[Call] | None:
    """Attention to itself with its weights packed, or to another value."""
    q, k, _ = qkv
    if not _is_alike(qkv) or call.outputs[0].type.shape != q.x.type.shape:
        return None
    op, inner, own = call.op, q.weight.shape[0], q.x.name == k.x.name
    assert isinstance(op, Linear)
    weights = _weights(qkv, own, factor * sqrt(inner // q.heads))
    weights |= {f"out_proj.{n}": a for n, a in call.weights.items()}
    weights["out_proj.weight"] = call.weights["weight"][:, order]
    options: dict[str, Any] = {"bias": op.bias, "qkv_bias": q.bias is not None}
    options["dim"] = None if inner == q.x.type.shape[-1] else inner
    return _attending(net, replace(call, weights=weights), (q, k), options, masks)


def _attending(
    net: Net, call: Call, qk: tuple[Projected, Projected], options: dict[str, Any], masks: list[Value]
) -> list[Call] | None:
    """The call as attention with a mask, and what the mask takes."""
    q, k = qk
    own, (mask, made) = q.x.name == k.x.name, _mask(net, masks)
    if masks and mask is None:
        return None
    given = (q.x,) if own else (q.x, k.x)
    if mask is not None and own and _is_causal(net, made[0] if made else net.source(mask)):
        options["causal"], made = True, []
    elif mask is not None:
        given = (*given, mask)
    attends = (Attention if own else CrossAttention)(q.heads, **options)
    return [*made, replace(call, op=attends, inputs=given)]


def _mask(net: Net, masks: list[Value]) -> tuple[Value | None, list[Call]]:
    """One mask, without axes of size 1 before it, and what it takes; None where several are no fixed numbers."""
    if not masks:
        return None, []
    arrays = [_numbers(net, m) for m in masks]
    known = [a for a in arrays if a is not None]
    if len(known) < len(masks) or (len(masks) == 1 and known[0].shape[0] != 1):
        return (_plain(net, masks[0]), []) if len(masks) == 1 else (None, [])
    total = sum(known[1:], start=known[0])
    while total.shape[0] == 1 and total.ndim > 2:
        total = total[0]
    source = net.source(masks[0])
    assert source is not None
    made = _param(net, total, source)
    return made.outputs[0], [made]


def _numbers(net: Net, mask: Value) -> Any:
    """The numbers of a learnt or fixed mask; None for another."""
    made = net.source(mask)
    while made is not None and made.kind == "expand":
        made = net.source(made.inputs[0])
    if made is None or made.kind != "param":
        return None
    return made.weights[""].reshape(made.outputs[0].type.shape)


def _param(net: Net, array: Any, like: Call) -> Call:
    op = Parameter(tuple(int(s) for s in array.shape))
    return net.call(op, weights={"": array.reshape(op.params()[""].shape)}, like=like)


def _is_alike(qkv: tuple[Projected, Projected, Projected]) -> bool:
    """Whether keys and values come from one value, in heads as many and as wide as those of the queries."""
    forms = {(p.heads, p.bias is None, p.weight.shape[0]) for p in qkv}
    return qkv[1].x.name == qkv[2].x.name and len(forms) == 1


def _weights(qkv: tuple[Projected, Projected, Projected], packed: bool, wanted: float) -> dict[str, Any]:
    """The weights of the projections; `wanted`: what the queries are multiplied by beside the usual."""
    q, k, v = qkv
    scale = np.float32(1 if abs(wanted - 1) < 1e-6 else wanted)
    parts = {"weight": (q.weight * scale, k.weight, v.weight)}
    if q.bias is not None:
        parts["bias"] = (q.bias * scale, k.bias, v.bias)
    if packed:
        return {f"in_proj_{n}": np.concatenate(a) for n, a in parts.items()}
    return {f"{p}_proj.{n}": a for n, arrays in parts.items() for p, a in zip("qkv", arrays, strict=True)}


def _is_causal(net: Net, made: Call | None) -> bool:
    """Whether the mask that a call makes is a causal one, of any length or of a fixed one."""
    while made is not None and made.kind in ("reshape", "unsqueeze", "expand"):
        made = net.source(made.inputs[0])
    return made is not None and (made.kind == "causal" or (made.kind == "param" and is_causal(made.weights[""])))


def _plain(net: Net, mask: Value) -> Value:
    """A mask without the axes of size 1 before it, which attention adds by itself."""
    made = net.source(mask)
    while made is not None and made.kind in ("reshape", "unsqueeze") and made.inputs[0].type.batched:
        inner, outer = made.inputs[0].type.shape, mask.type.shape
        if outer[len(outer) - len(inner) :] != inner or any(s != 1 for s in outer[: len(outer) - len(inner)]):
            break
        mask = made.inputs[0]
        made = net.source(mask)
    return mask


def _mixed(net: Net, call: Call) -> tuple[Call, Any] | None:
    """The product of weights and values below a projection, and the order of its features."""
    found = traced(net, call.inputs[0])
    if found is None or found.call is None or found.call.kind != "matmul" or found.factor != 1.0:
        return None
    shape = shape_of(found.value.type)
    size, length = shape[-1], shape[-2]
    outer, features = _outer(call.inputs[0], length)
    if outer is None or features % size:
        return None
    heads = np.arange(int(np.prod(shape))).reshape(outer, features // size, length, size)
    wanted = heads.transpose(0, 2, 1, 3).reshape(-1, features)
    places = found.places.reshape(-1, features)
    order = np.searchsorted(places[0], wanted[0], sorter=np.argsort(places[0]))
    order = np.argsort(places[0])[np.minimum(order, features - 1)]
    return (found.call, order) if np.array_equal(places[:, order], wanted) else None


def _outer(x: Value, length: int) -> tuple[int | None, int]:
    """How many sequences a value is, and how many features a token has."""
    shape = shape_of(x.type)
    tokens = int(np.prod(shape[:-1]))
    return (tokens // length if len(shape) >= 2 and shape[-2] == length else None), shape[-1]


def _scores(net: Net, value: Value) -> tuple[Call | None, list[Value], float]:
    """The product of queries and keys, the masks that are added to it, and a factor."""
    factor, masks = 1.0, list[Value]()
    while (call := net.source(value)) is not None and net.is_single(value):
        if call.kind == "matmul":
            return call, masks, factor
        if call.kind in ("add", "masked_fill") and factor == 1.0:
            value, mask = _masked(net, call)
            if mask is None:
                break
            masks.append(mask)
        elif call.kind in ("scalar", "reshape") and factor_of(call):
            factor *= factor_of(call)
            value = call.inputs[0]
        else:
            break
    return None, [], 0.0


def _masked(net: Net, call: Call) -> tuple[Value, Value | None]:
    """The scores below a mask, and the mask: added, or of bool, which is true where a key is seen."""
    scores, mask = call.inputs
    if call.kind == "add":
        return (scores, mask) if len(scores.type.shape) >= len(mask.type.shape) else (mask, scores)
    turned = net.source(mask, "logical_not")
    is_hidden = call.op.value <= HIDDEN and turned is not None  # type: ignore[attr-defined]
    return scores, turned.inputs[0] if turned is not None and is_hidden else None


def _projected(net: Net, value: Value, turned: bool) -> Projected | None:
    """Heads `[..., L, d]` (keys: `[..., d, L]`) as a projection of a value."""
    found = traced(net, value)
    if found is None or found.call is None or not isinstance(found.call.op, Linear) or found.call.kind != "linear":
        return None
    places = np.swapaxes(found.places, -1, -2) if turned else found.places
    length, size = places.shape[-2:]
    columns = found.call.op.out_features
    x = found.call.inputs[0]
    outer, _ = _outer(x, length)
    if outer is None or places.size % (outer * length * size):
        return None
    heads = places.size // (outer * length * size)
    places = places.reshape(outer, heads, length, size)
    order = (places[0, :, 0, :] % columns).reshape(-1)
    tokens = np.arange(outer * length).reshape(outer, 1, length, 1)
    if not np.array_equal(places, tokens * columns + order.reshape(1, heads, 1, size)):
        return None
    factor = np.float32(found.factor)
    weight, bias = found.call.weights["weight"][order] * factor, found.call.weights.get("bias")
    return Projected(x, weight, None if bias is None else bias[order] * factor, heads)


ATTENTION: dict[str, tuple[Rule, ...]] = {"linear": (_attention,)}
