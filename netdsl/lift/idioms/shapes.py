"""Shapes: global pools, flattening, channel shuffle, growing concats."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.model import Call
from netdsl.ops import REGISTRY
from netdsl.ops.cropping import Crop
from netdsl.sizes.dims import Size, floordiv, product

GLOBAL = {"adaptive_avgpool": "gap", "adaptive_maxpool": "gmp"}


def _vector(net: Net, call: Call) -> list[Call] | None:
    """`[C, 1, 1]` of a global pool made `[C]`, by whatever names: the pool itself gives `[C]`."""
    pool = net.source(call.inputs[0])
    while pool is not None and pool.kind in ("flatten", "reshape", "squeeze") and net.is_single(pool.outputs[0]):
        pool = net.source(pool.inputs[0])
    if pool is None or pool.kind not in GLOBAL or not net.is_single(call.inputs[0]):
        return None
    x = pool.inputs[0]
    if call.outputs[0].type.shape != (x.type.shape[0],) or any(s != 1 for s in pool.outputs[0].type.spatial):
        return None
    return [replace(call, op=REGISTRY[GLOBAL[pool.kind]](), inputs=(x,))]


def _flat(net: Net, call: Call) -> list[Call] | None:
    """A reshape that joins all axes, or all after the channels."""
    x, made = call.inputs[0].type, call.outputs[0].type
    if made.rank == 1 and x.rank > 1:
        return [replace(call, op=REGISTRY["flatten"]())]
    if made.rank == 2 and x.rank > 2 and made.shape == (x.shape[0], product(x.shape[1:])):
        return [replace(call, op=REGISTRY["flatten"](start=1))]
    return None


def _chained(net: Net, call: Call) -> list[Call] | None:
    """A reshape of a reshape."""
    before = net.source(call.inputs[0])
    if before is None or before.kind not in ("reshape", "flatten", "unsqueeze", "squeeze"):
        return None
    if before.inputs[0].type == call.outputs[0].type:
        return [replace(call, op=REGISTRY["identity"](), inputs=before.inputs)]
    return [replace(call, op=REGISTRY["reshape"](shape=call.outputs[0].type.shape), inputs=before.inputs)]


def _shuffle(net: Net, call: Call) -> list[Call] | None:
    """`[C, H, W]` as `[g, C / g, H, W]`, turned, and back."""
    turned = net.source(call.inputs[0], "permute")
    cut = net.source(turned.inputs[0], "reshape") if turned else None
    if turned is None or cut is None or cut.inputs[0].type != call.outputs[0].type:
        return None
    inner, rank = cut.outputs[0].type, cut.inputs[0].type.rank
    order: Any = turned.op.axes  # type: ignore[attr-defined]
    if inner.rank != rank + 1 or tuple(order) != (1, 0, *range(2, rank + 1)) or rank < 2:
        return None
    if inner.shape[2:] != cut.inputs[0].type.shape[1:]:
        return None
    return [replace(call, op=REGISTRY["channel_shuffle"](groups=inner.shape[0]), inputs=cut.inputs)]


def _growing(net: Net, call: Call) -> list[Call] | None:
    """A concat of everything so far and one more is one of the longest concat before it and the new values."""
    names = tuple(v.name for v in call.inputs)
    found = [c for c in net.readers.get(names[0], ()) if _begins(net, c, call)]
    if not found:
        return None
    longest = max(found, key=lambda c: len(c.inputs))
    return [replace(call, inputs=(longest.outputs[0], *call.inputs[len(longest.inputs) :]))]


def _begins(net: Net, other: Call, call: Call) -> bool:
    """Whether another concat, computed before, joins the first of the values that a concat joins."""
    if other.kind != "concat" or other.op != call.op or not 1 < len(other.inputs) < len(call.inputs):
        return False
    is_before = net.place[other.outputs[0].name] < net.place[call.outputs[0].name]
    return is_before and all(a.name == b.name for a, b in zip(other.inputs, call.inputs, strict=False))


def _means(net: Net, call: Call) -> list[Call] | None:
    """The mean over an image."""
    op: Any = call.op
    x = call.inputs[0].type
    axes = tuple(a % x.rank for a in ((op.axis,) if isinstance(op.axis, int) else op.axis or range(x.rank)))
    if x.rank < 3 or axes != tuple(range(1, x.rank)):
        return None
    name = {"reduce_mean": "avg", "reduce_max": "max"}[call.kind]
    if op.keepdims:
        return [replace(call, op=REGISTRY[f"adaptive_{name}pool"](1))]
    return [replace(call, op=REGISTRY["gap" if name == "avg" else "gmp"]())]


def _doubled(net: Net, call: Call) -> list[Call] | None:
    """A transpose of a transpose."""
    before = net.source(call.inputs[0], "permute")
    if before is None:
        return None
    order = tuple(before.op.axes[a] for a in call.op.axes)  # type: ignore[attr-defined]
    if order == tuple(range(len(order))):
        return [replace(call, op=REGISTRY["identity"](), inputs=before.inputs)]
    return [replace(call, op=REGISTRY["permute"](order), inputs=before.inputs)]


def _patches(net: Net, call: Call) -> list[Call] | None:
    """A convolution whose windows tile the image."""
    op: Any = call.op
    if op.kernel_size != op.stride or op.padding != 0 or op.groups != 1 or op.dilation != 1 or op.kernel_size == 1:
        return None
    return [replace(call, op=REGISTRY["patchify"](op.out_channels, op.kernel_size, bias=op.bias))]


def _cropped(net: Net, call: Call) -> list[Call] | None:
    """The middle of one axis after the other: of the whole image at once."""
    sizes = _middle(call)
    before = net.source(call.inputs[0])
    inner = _middle(before) if before is not None and net.is_single(call.inputs[0]) else None
    if sizes is None or before is None or inner is None:
        return None
    x = before.inputs[0].type.spatial
    if any(a != b and b != c for a, b, c in zip(x, inner, sizes, strict=True)):
        return None  # an axis twice
    shown = sizes[0] if len(set(sizes)) == 1 else sizes
    return [replace(call, op=Crop(shown), inputs=before.inputs)]


def _middle(call: Call) -> tuple[Any, ...] | None:
    """The sizes of an image's middle that a `narrow` or `crop` gives; None where it gives something else."""
    if call.kind not in ("crop", "narrow"):
        return None
    x, made = call.inputs[0].type, call.outputs[0].type
    if call.kind == "crop":
        return made.spatial
    if x.rank < 3 or x.shape[0] != made.shape[0]:
        return None
    op: Any = call.op
    at = op.axis % x.rank
    return made.spatial if op.start == floordiv(x.shape[at] - made.shape[at], 2) else None


def _like(net: Net, call: Call) -> list[Call] | None:
    """A middle whose size depends on that of the image, joined with a value of this size: `crop(like=...)`."""
    for place, value in enumerate(call.inputs):
        made = net.source(value, "crop")
        others = [v for v in call.inputs if v.name != value.name and net.source(v, "crop") is None]
        if (
            made is None
            or len(made.inputs) > 1
            or not others
            or not any(isinstance(s, Size) for s in value.type.spatial)
        ):
            continue
        cut = net.call(Crop(), made.inputs[0], others[0], like=made)
        return [cut, replace(call, inputs=(*call.inputs[:place], cut.outputs[0], *call.inputs[place + 1 :]))]
    return None


def _pooled(net: Net, call: Call) -> list[Call] | None:
    """An adaptive pool of one axis after that of another: of both at once."""
    before = net.source(call.inputs[0], call.kind)
    if before is None or not net.is_single(call.inputs[0]):
        return None
    x, inner, made = (v.type.spatial for v in (before.inputs[0], call.inputs[0], call.outputs[0]))
    if any(a != b and b != c for a, b, c in zip(x, inner, made, strict=True)):
        return None
    return [replace(call, op=type(call.op)(made[0] if len(set(made)) == 1 else made), inputs=before.inputs)]


SHAPES: dict[str, tuple[Rule, ...]] = {
    "flatten": (_vector, _chained),
    "reshape": (_vector, _shuffle, _chained, _flat),
    "squeeze": (_vector,),
    "concat": (_growing, _like),
    "narrow": (_cropped,),
    "crop": (_cropped,),
    "adaptive_avgpool": (_pooled,),
    "adaptive_maxpool": (_pooled,),
    "reduce_mean": (_means,),
    "reduce_max": (_means,),
    "permute": (_doubled,),
    "conv": (_patches,),
}
