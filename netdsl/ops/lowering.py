"""ONNX forms that depend on the opset, shared by several families."""

from typing import Any

from netdsl.ops.base import Graph, Operand
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType

FAR = 2**31 - 1
"""Beyond the end of any axis."""


def reduction(g: Graph, op_type: str, x: str, axes: tuple[int, ...], *, keepdims: bool) -> Any:
    """A `Reduce...` node over axes counted with the batch: they are an input from opset 18 on (13 for ReduceSum)."""
    if g.opset >= 18 or op_type == "ReduceSum":
        return g.op(op_type, x, g.const(axes, "int64"), keepdims=int(keepdims))
    return g.op(op_type, x, axes=axes, keepdims=int(keepdims))


def sliced(g: Graph, x: str, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """`x[start:stop:step]` along an axis counted with the batch."""
    return g.op("Slice", x, *(g.const((v,), "int64") for v in (start, stop, axis, step)))


MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""ONNX's words for PyTorch's modes of padding."""


def padded(g: Graph, x: str, pairs: tuple[tuple[int, int], ...], mode: str, *value: str) -> str:
    """`x` with margins before and after each axis of the sample. Before opset 19 `circular` is the end, the whole, the
    start."""
    if mode != "circular" or g.opset >= 19:
        pads = g.const([0, *(p[0] for p in pairs), 0, *(p[1] for p in pairs)], "int64")
        how: dict[str, Any] = {"mode": MODES[mode]} if mode != "zeros" else {}
        return str(g.op("Pad", x, pads, *value, **how))
    for axis, (before, after) in enumerate(pairs, start=1):
        parts = [sliced(g, x, axis, -before, FAR)] if before else []
        parts += [x, *([sliced(g, x, axis, 0, after)] if after else [])]
        x = g.op("Concat", *parts, axis=axis) if len(parts) > 1 else x
    return x


def gelu(g: Graph, x: str, approximate: str) -> Any:
    """GELU: one node from opset 20, otherwise by Erf (exact) or Tanh."""
    if g.opset >= 20:
        return g.op("Gelu", x, approximate=approximate)
    if approximate == "none":
        inner = g.op("Erf", g.op("Div", x, g.const(2**0.5)))
    else:
        cubic = g.op("Mul", g.op("Mul", g.op("Mul", x, x), x), g.const(0.044715))
        inner = g.op("Tanh", g.op("Mul", g.op("Add", x, cubic), g.const((2 / 3.141592653589793) ** 0.5)))
    return g.op("Mul", g.op("Mul", x, g.op("Add", inner, g.const(1.0))), g.const(0.5))


def full_shape(g: Graph, x: TensorType, *sizes: Dim) -> str:
    """A shape with the batch of `x` before it."""
    return g.shape(*sizes) if x.batched else g.shape(1, *sizes, batch=False)


def reshaped(g: Graph, x: Operand, *sizes: Dim) -> Any:
    """`x` in another shape of the sample."""
    return g.op("Reshape", x.name, full_shape(g, x.type, *sizes))


def transposed(g: Graph, x: str, *axes: int) -> Any:
    """The axes of the sample in another order (axis 0 is the first after the batch)."""
    return g.op("Transpose", x, perm=(0, *(a + 1 for a in axes)))
