"""The ONNX graph under construction: the interface for the ONNX forms of ops.

Nodes are light values until the graph is finished; values have provisional names (`%12`) until passes have run.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.backends.onnx.sizes import Sizes
from netdsl.backends.onnx.weights import Derived, ExportError, Weight, derived
from netdsl.ir.model import Value
from netdsl.sizes.dims import Dim

SMALL = 64
"""Constants of up to this many numbers are shared by their values; larger ones only where they come from one weight."""

MOVES_BATCH = frozenset(
    ("Transpose", "Reshape", "Gather", "Squeeze", "Unsqueeze", "Expand", "Shape", "ConstantOfShape", "Range", "OneHot",
     "Tile", "Slice")
)  # fmt: skip
"""Nodes whose result may not begin with the axis that their first input begins with."""


class GraphNode(Struct, frozen=True):
    """One ONNX node. `scope`: the path of the op call that it belongs to."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[tuple[str, Any], ...] = ()
    scope: str = ""

    def attribute(self, name: str) -> Any:
        return dict(self.attributes).get(name)


class Finished(Struct, frozen=True):
    """A graph whose nodes are in order. `outputs`: the value of each named output; `results`: values of op calls;
    `reshaped`: the sizes of other values, and whether the batch comes before them."""

    opset: int
    nodes: tuple[GraphNode, ...]
    initialisers: Mapping[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[tuple[str, str, Value], ...]
    results: Mapping[str, Value]
    reshaped: Mapping[str, tuple[tuple[Dim, ...], bool]] = {}


class ShapeVector(str):
    """Stands for a shape until it is known which node reads it: a Reshape can do without the numbers in the graph."""

    __slots__ = ("batch", "sizes")
    sizes: tuple[Dim, ...]
    batch: bool


class GraphBuilder:
    """Collects nodes and initialisers (implements `netdsl.ops.base.Graph`)."""

    def __init__(self, opset: int, inputs: tuple[Value, ...]) -> None:
        self.opset = opset
        self.inputs = inputs
        self.nodes: list[GraphNode] = []
        self.initialisers: dict[str, Any] = {}
        self.scope = ""
        self.weights: Mapping[str, Weight] = {}
        self.sizes = Sizes(self)
        self.reshaped: dict[str, tuple[tuple[Dim, ...], bool]] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._repeated: dict[str, dict[tuple[Any, ...], str]] = {}
        self._batched = {v.name for v in inputs if v.type.batched}
        self._count = 0

    def begin(self, scope: str, weights: Mapping[str, Weight], operands: tuple[str, ...]) -> None:
        """Begin the op call at path `scope`, which owns `weights` and reads `operands`."""
        self.scope, self.weights = scope, weights
        self._batched.update(operands)

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; returns its output's name, or a tuple of `outputs` names."""
        given = tuple(self._given(op_type, inputs, i) for i in range(len(inputs)))
        names = tuple(f"%{self._count + i}" for i in range(outputs))
        self._count += outputs
        if op_type == "Reshape" and isinstance(inputs[1], ShapeVector):
            self.reshaped[names[0]] = inputs[1].sizes, inputs[1].batch
        kept = tuple((k, v) for k, v in attributes.items() if v is not None)
        self.nodes.append(GraphNode(op_type, given, names, kept, self.scope))
        if given and given[0] in self._batched and self._keeps_batch(op_type, attributes, given):
            self._batched.update(names)
        return names[0] if outputs == 1 else names

    def const(self, value: Any, dtype: str = "float32") -> str:
        """A constant; those of equal values are one. What was computed from a weight is named `<key>.folded`."""
        key = value.key if isinstance(value, Derived) else ""
        array = np.asarray(value).astype(dtype, copy=False)
        if key:
            return self._fresh(f"{key}.folded", array)
        if array.size > SMALL:
            return self._fresh("const.large", array)
        identity = (array.dtype.str, array.shape, array.tobytes())
        if identity not in self._shared:
            name = f"const.{len(self._shared)}"
            self._shared[identity] = name
            self.initialisers[name] = array
        return self._shared[identity]

    def weight(self, name: str) -> str:
        """The initialiser of the layer's parameter or buffer `name`."""
        weight = self._owned(name)
        if weight.changed:
            return self._fresh(f"{weight.key}.folded", weight.array)
        self.initialisers[weight.key] = weight.array
        return weight.key

    def store(self, key: str, array: Any) -> str:
        """The initialiser of numbers that were computed for the file."""
        return self._fresh(key, array)

    def array(self, name: str) -> Any:
        """The values of the layer's parameter or buffer `name`."""
        return derived(self._owned(name))

    def shape(self, *sizes: Dim, batch: bool = True) -> str:
        """An int64 vector holding a shape, with the batch size first where `batch`."""
        vector = ShapeVector(f"shape {sizes}")
        vector.sizes, vector.batch = sizes, batch
        return vector

    def _owned(self, name: str) -> Weight:
        if name not in self.weights:
            raise ExportError("unfit-weights", f"the weights have no `{name}` of `{self.scope}`")
        return self.weights[name]

    def _fresh(self, name: str, array: Any) -> str:
        """An initialiser under `name`, or under a numbered one where that is taken by other values."""
        if name not in self.initialisers:
            self.initialisers[name] = array
            return name
        known = self._repeated.setdefault(name, {_identity(self.initialisers[name]): name})
        unique = known.setdefault(_identity(array), f"{name}.{len(known) + 1}")
        self.initialisers.setdefault(unique, array)
        return unique

    def _given(self, op_type: str, inputs: tuple[str, ...], index: int) -> str:
        name = inputs[index]
        if not isinstance(name, ShapeVector):
            return name
        if op_type == "Reshape":
            return self.sizes.reshape(name.sizes, name.batch, copied=inputs[0] in self._batched)
        return self.sizes.vector(name.sizes, name.batch)

    def _keeps_batch(self, op_type: str, attributes: Mapping[str, Any], inputs: tuple[str, ...]) -> bool:
        if op_type == "Transpose":
            return bool(attributes["perm"][0] == 0)
        if op_type == "Reshape":
            target = self.initialisers.get(inputs[1])
            return target is not None and target.size > 0 and bool(target[0] == 0)
        return op_type not in MOVES_BATCH and attributes.get("axis") != 0


def _identity(array: Any) -> tuple[Any, ...]:
    """The type, shape and digest of an array, equal for equal numbers."""
    return array.dtype.str, array.shape, blake2b(np.ascontiguousarray(array).data).digest()
