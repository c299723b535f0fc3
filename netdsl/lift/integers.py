"""Values that a graph computes of sizes alone: arrays of whole numbers and symbolic sizes, worked out while it is read.

Exporters write `Shape -> Gather -> Concat -> Reshape` where a person writes the sizes; here they are sizes again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from netdsl.lift.model import LiftError
from netdsl.lift.read import Node
from netdsl.sizes.dims import Size, floordiv

LARGEST = 64 * 1024 * 1024
"""How many numbers a constant that the graph computes may have."""


def is_symbolic(array: Any) -> bool:
    return bool(array.dtype == object)


def settled(values: Any) -> Any:
    """An array of sizes: of int64 where no size is symbolic."""
    array = np.asarray(values, object)
    return array if any(isinstance(v, Size) for v in array.flat) else array.astype("int64")


def computed(node: Node, inputs: Sequence[Any], opset: int) -> tuple[Any, ...] | None:
    """The results of a node whose inputs are all known arrays (None where an input is left out); None where a symbolic
    size stands in the way. Raises LiftError for a constant that is too large."""
    if any(x is not None and is_symbolic(x) for x in inputs):
        rule = SYMBOLIC.get(node.op_type)
        found = None if rule is None else rule(node, *inputs)
        return None if found is None else (settled(found),)
    _refuse_large(node, inputs)
    return _evaluated(node, inputs, opset)


def _refuse_large(node: Node, inputs: Sequence[Any]) -> None:
    """Refuse what would make many numbers of few."""
    given = [x for x in inputs if x is not None]
    size = sum(x.size for x in given)
    if node.op_type in ("ConstantOfShape", "Expand", "Tile", "Resize", "OneHot", "Pad", "Range", "Upsample"):
        numbers = _sizes(node, given)
        size = max([size, *numbers, float(np.prod([max(v, 1.0) for v in numbers])) if len(given) < 3 else 0.0])
    if size > LARGEST:
        raise LiftError(f"a constant of more than {LARGEST:,} numbers", node.label)


def _sizes(node: Node, given: Sequence[Any]) -> list[float]:
    """The numbers among the inputs of a node that may be sizes, or factors of them."""
    kinds = "iuf" if node.op_type in ("Range", "Resize", "Upsample") else "iu"
    few = [x.reshape(-1) for x in given if x.dtype.kind in kinds and x.size <= 64]
    return [abs(float(v)) for x in few for v in x if v == v]


def _evaluated(node: Node, inputs: Sequence[Any], opset: int) -> tuple[Any, ...]:
    """The results in numbers, by onnx's own evaluator."""
    if node.op_type == "Constant":
        return (_constant(node),)
    given = {f"x{i}": x for i, x in enumerate(inputs) if x is not None}
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    outputs = [o or f"unused{i}" for i, o in enumerate(node.outputs)]
    results = [onnx.helper.make_empty_tensor_value_info(o) for o in outputs]
    made = onnx.helper.make_node(node.op_type, names, outputs, **_attributes(node))
    graph = onnx.helper.make_graph([made], "constant", [_info(n, x) for n, x in given.items()], results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        return tuple(np.asarray(y) for y in ReferenceEvaluator(model).run(None, given))
    except Exception as error:  # the evaluator raises whatever its ops meet
        raise LiftError(f"its numbers cannot be computed: {type(error).__name__}: {error}", node.label) from None


def _attributes(node: Node) -> dict[str, Any]:
    """The attributes as onnx's helper takes them."""
    to_tensor = onnx.numpy_helper.from_array
    return {n: to_tensor(v) if isinstance(v, np.ndarray) else v for n, v in node.attributes.items()}


def _info(name: str, x: Any) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)


def _constant(node: Node) -> Any:
    (value,) = node.attributes.values()
    kind = next(iter(node.attributes))
    if kind == "value":
        return value.astype("float32") if value.dtype == np.float16 else value
    return np.asarray(value, {"value_int": "int64", "value_ints": "int64"}.get(kind, "float32"))


def _axes(node: Node, axes: Any) -> tuple[int, ...]:
    """The axes of a node: an attribute before opset 13, an input since."""
    found = node.get("axes") if axes is None else axes.tolist()
    return tuple(int(a) for a in found)


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    return np.expand_dims(x, _axes(node, axes))


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    known = node.get("axes") if axes is None else axes
    return np.squeeze(x, None if known is None else _axes(node, axes))


def _gather(node: Node, x: Any, index: Any) -> Any:
    return np.take(x, index, axis=node.get("axis", 0)) if not is_symbolic(index) else None


def _slice(node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    start = node.get("starts") if starts is None else starts.tolist()
    end = node.get("ends") if ends is None else ends.tolist()
    if len(start) != 1 or x.ndim != 1 or any(isinstance(v, Size) for v in (*start, *end)):
        return None
    return x[slice(int(start[0]), int(end[0]), None if steps is None else int(steps[0]))]


def _where(node: Node, condition: Any, a: Any, b: Any) -> Any:
    return None if is_symbolic(condition) else np.where(condition, a, b)


def _reshape(node: Node, x: Any, shape: Any) -> Any:
    return None if is_symbolic(shape) else x.reshape([int(s) for s in shape])


def _prod(node: Node, x: Any, axes: Any = None) -> Any:
    total = np.multiply.reduce(x, axis=None)
    return np.asarray([total], object) if node.get("keepdims", 1) else total


def _equal(node: Node, a: Any, b: Any) -> Any:
    """Sizes are never negative, so that a comparison with -1 is decided; others are not."""
    a, b = a.astype(object), b.astype(object)
    if not all(map(_is_decided, *np.broadcast_arrays(a.reshape(-1), b.reshape(-1)))):
        return None
    return np.asarray(np.vectorize(lambda m, n: m == n, otypes=[bool])(a, b))


def _is_decided(m: Any, n: Any) -> bool:
    known = [v for v in (m, n) if not isinstance(v, Size)]
    return len(known) == 2 or not known or known[0] <= 0


def _each(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def apply(node: Node, a: Any, b: Any) -> Any:
        return np.vectorize(function, otypes=[object])(a.astype(object), b.astype(object))

    return apply


def _whole(a: Any, b: Any) -> Any:
    return floordiv(a if isinstance(a, Size) else int(a), b if isinstance(b, Size) else int(b))


def _concat(node: Node, *parts: Any) -> Any:
    return np.concatenate([p.astype(object) for p in parts], axis=node.get("axis", 0))


SYMBOLIC: dict[str, Callable[..., Any]] = {
    "Identity": lambda node, x: x,
    "Cast": lambda node, x: None if node.get("to") == TensorProto.DOUBLE else x,
    "Floor": lambda node, x: x,
    "Ceil": lambda node, x: None,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Gather": _gather,
    "Slice": _slice,
    "Where": _where,
    "Reshape": _reshape,
    "ReduceProd": _prod,
    "Equal": _equal,
    "Concat": _concat,
    "Add": _each(lambda a, b: a + b),
    "Sub": _each(lambda a, b: a - b),
    "Mul": _each(lambda a, b: a * b),
    "Div": _each(_whole),
    "Mod": _each(lambda a, b: a - b * _whole(a, b)),
}
"""Rules over arrays of sizes, by the node's type; one gives None where it cannot say."""
