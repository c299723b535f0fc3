"""From the nodes of a file to calls of the language's ops: what a value is like in the file, and how calls are made.

A file counts axes with the batch, the language without it. `Laid` says where the batch is in the file's tensor: in
front, elsewhere (after a transpose), joined with the first axis of the sample (windows of an image), or nowhere (a
table that is the same for every sample).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.integers import computed, is_symbolic
from netdsl.lift.model import Call, Lifted, LiftError, Output
from netdsl.lift.names import identifier, size_name
from netdsl.lift.origins import Origins
from netdsl.lift.read import File, Input, Node
from netdsl.lift.sized import Causal, Sized, is_causal, worked_out
from netdsl.ops.base import Op, OpError
from netdsl.ops.masking import LogicalNot
from netdsl.ops.reshaping import Reshape
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, symbol
from netdsl.tensors import TensorType

BATCH = symbol("batch size")
"""The batch in sizes that the graph computes: no size of a spec has a blank in its name."""


class Laid(Struct, frozen=True):
    """A value and its layout in the file: `batch` is the position of the batch axis there.

    `joined`: the batch is one axis with the axis of the sample that comes after it; `last`: with the one before it.
    A tensor of the file without a batch has the batch at -1, `joined`: its axes are those of the sample.
    """

    value: Value
    batch: int = 0
    joined: bool = False
    last: bool = False

    @property
    def type(self) -> TensorType:
        return self.value.type

    def on(self, value: Value, batch: int | None = None) -> Laid:
        """Another value laid out as this one, or with the batch at another axis."""
        return replace(self, value=value, batch=self.batch if batch is None else batch)

    @property
    def is_bare(self) -> bool:
        return self.batch < 0

    @property
    def layout(self) -> tuple[int, int, bool, bool]:
        """Values of one layout meet axis by axis."""
        return self.rank, self.batch, self.joined, self.last

    @property
    def rank(self) -> int:
        """The rank in the file."""
        return self.type.rank + 1 - self.joined

    @property
    def sizes(self) -> tuple[Dim, ...]:
        """The shape in the file, with the batch."""
        shape: list[Dim] = [*self.type.shape]
        samples: Dim = BATCH if self.type.batched else 1
        if not self.joined:
            shape.insert(self.batch, samples)
        elif not self.is_bare:
            shape[self.batch] = samples * shape[self.batch]
        return tuple(shape)


Known = Laid | Sized | np.ndarray
Rule = Callable[["Builder", Node], None]

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
"""Nodes whose results are drawn."""

LAYERS = ("MatMul", "Gemm", "LayerNormalization")
"""Nodes that are layers also where their input is learnt, and does not depend on the net's."""


class Builder:
    """Makes the calls, node by node. `known`: what each value of the file is: an array, one that depends on named sizes
    alone, or `Laid`."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.known: dict[str, Known] = dict(file.arrays)
        self.calls: list[Call] = []
        self.assume = Assumptions()
        self.node = Node("", "", (), (), {})
        self._sizes: dict[Any, str] = {}
        self.inputs = tuple(self._input(i) for i in file.inputs)
        self.points = self._points()
        self.uses = Counter(i for n in file.nodes for i in n.inputs) + Counter(file.outputs)
        self._params: dict[tuple[str, tuple[int, ...]], Value] = {}
        self._made: dict[str, int] = {}
        self._origins = Origins(file)
        self._settled: set[str] = set()
        self._readers: dict[str, list[Node]] = {}
        for node in file.nodes:
            for name in dict.fromkeys(node.inputs):
                self._readers.setdefault(name, []).append(node)

    def _input(self, given: Input) -> Value:
        if not given.sizes:
            raise LiftError(f"the input `{given.name}` has no batch axis: its rank is 0")
        shape = tuple(self._size(given, i) for i in range(1, len(given.sizes)))
        dtype = "int64" if given.dtype == "int32" else given.dtype
        if dtype not in ("float32", "int64", "bool"):
            raise LiftError(f"the input `{given.name}` is of {given.dtype}", hint="float32, int64 and bool are read")
        taken = [x.value.name for x in self.known.values() if isinstance(x, Laid)]
        value = Value(identifier(given.name, "input", taken), TensorType(shape, dtype))
        self.known[given.name] = Laid(value)
        return value

    def _size(self, given: Input, axis: int) -> Dim:
        """A size of an input. Sizes of one name are one size; each without a name is its own."""
        size = given.sizes[axis]
        if isinstance(size, int) and size > 0:
            return size
        key = size or (given.name, axis)
        if key not in self._sizes:
            self._sizes[key] = size_name(str(size or ""), axis, self._sizes.values())
        return symbol(self._sizes[key])

    def _points(self) -> tuple[dict[str, int], ...]:
        """Numbers for the named sizes: those of images can be halved many times."""
        images = {n for v in self.inputs if v.type.rank > 2 for n in v.type.names}
        names = {n: i for i, n in enumerate(sorted(self._sizes.values()))}
        found = ({n: 64 * (2 + i + k) if n in images else 6 + 3 * i + 4 * k for n, i in names.items()} for k in (0, 1))
        return tuple({**p, str(BATCH): 1} for p in found)

    def run(self, rules: Mapping[str, Rule]) -> Lifted:
        """The net. Raises LiftError."""
        for node in self.file.nodes:
            if self._settled.isdisjoint(node.outputs):
                self.node = node
                self._convert(node, rules)
        outputs: list[Output] = []
        for name in self.file.outputs:
            outputs.append(self._output(name, [*(v.name for v in self.inputs), *(o.name for o in outputs)]))
        return Lifted(self.inputs, tuple(self.calls), tuple(outputs))

    def _convert(self, node: Node, rules: Mapping[str, Rule]) -> None:
        try:
            if not self._constant(node):
                self._rule(node, rules)(self, node)
        except OpError as error:
            raise self.refused(f"the language refuses it: {error.message}") from None
        except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
            detail = f"{type(error).__name__}: {error}"
            raise self.refused(f"its attributes and inputs are not those of `{node.op_type}` ({detail})") from None

    def _rule(self, node: Node, rules: Mapping[str, Rule]) -> Rule:
        if node.op_type in RANDOM:
            raise self.refused(
                "it draws numbers, so that no two runs of the model agree", "make the draws an input of it"
            )
        if node.op_type not in rules:
            raise self.refused(f"there is no form of `{node.op_type}` in the language")
        return rules[node.op_type]

    def _constant(self, node: Node) -> bool:
        """Work out a node whose inputs are arrays."""
        if node.op_type.startswith("Random") or node.op_type == "Shape":
            return False
        inputs = [self.known[i] if i else None for i in map(self._there, node.inputs)]
        if any(isinstance(x, Laid) for x in inputs):
            return False
        found = self._worked_out(node, inputs)
        if found is None:
            return False
        self.known.update((name, y) for name, y in zip(node.outputs, found, strict=False) if name)
        self._origins.follow(node)
        return True

    def _worked_out(self, node: Node, inputs: Sequence[Any]) -> Sequence[Known] | None:
        """The results of a node of arrays; None for a layer, whose input is learnt, and where there is a rule."""
        if node.op_type in LAYERS and isinstance(inputs[0], np.ndarray) and inputs[0].dtype == np.float32:
            return None
        is_sized = any(isinstance(x, Sized) for x in inputs)
        found = None if is_sized else computed(node, inputs, self.file.opset)
        if found is not None or self._has_rule(node, inputs):
            return found
        return worked_out(node, inputs, self.file.opset, self.points)

    @staticmethod
    def _has_rule(node: Node, inputs: Sequence[Any]) -> bool:
        """Whether a node of arrays and named sizes is more than an array: a part of a learnt table, a value for each
        sample."""
        if node.op_type in ("Slice", "Gather"):
            return isinstance(inputs[0], np.ndarray) and inputs[0].dtype == np.float32
        learnt = isinstance(inputs[0], np.ndarray) and inputs[0].dtype == np.float32 and inputs[0].size > 1
        if node.op_type == "Expand" and learnt and not isinstance(inputs[1], Sized) and is_symbolic(inputs[1]):
            return True
        if node.op_type in ("Expand", "ConstantOfShape"):
            shape = inputs[-1]
            return isinstance(shape, np.ndarray) and shape.size > 0 and shape.reshape(-1)[0] == BATCH
        return False

    def _there(self, name: str) -> str:
        if name and name not in self.known:
            raise self.refused(f"it reads `{name}`, which nothing before it computes")
        return name

    def _output(self, name: str, taken: list[str]) -> Output:
        found = self.known.get(name)
        if not isinstance(found, Laid):
            raise LiftError(f"the output `{name}` does not depend on the inputs")
        if found.batch or found.joined:
            raise LiftError(f"the first axis of the output `{name}` is not the batch")
        return Output(identifier(name, "output", taken), found.value)

    def refused(self, reason: str, hint: str | None = None) -> LiftError:
        return LiftError(reason, self.node.label, hint)

    # what rules ask

    def tensor(self, index: int = 0) -> Laid:
        """An input; an array of floats is a learnt tensor. Raises LiftError for another constant."""
        found = self.known[self.node.inputs[index]]
        if isinstance(found, Sized):
            return self._of_sizes(found)
        return found if isinstance(found, Laid) else self._learnt(found, self.node.inputs[index])

    def _learnt(self, array: Any, name: str) -> Laid:
        """An array as a learnt tensor, the same for every sample. Raises LiftError for other kinds of numbers."""
        if array.dtype != np.float32 or array.ndim == 0:
            raise self.refused(f"its input `{name}` is a constant")
        if array.ndim > 1 and array.shape[0] == 1:
            return Laid(self.param(array[0], name))
        return Laid(self.param(array, name), -1, joined=True)

    def _of_sizes(self, found: Sized) -> Laid:
        """Lay a value that depends on named sizes alone: a causal mask, or its complement."""
        shape = found.shape(self.points)
        for turned in (False, True):
            arrays = [~a if turned else a for a in found.arrays if not turned or a.dtype == bool]
            if shape is not None and arrays and found.is_general and all(map(is_causal, arrays)):
                value = self.call(Causal(shape[-1], str(arrays[0].dtype)))[0]
                value = self.call(LogicalNot(), value)[0] if turned else value
                value = value if len(shape) == 2 else self.call(Reshape(shape), value)[0]
                return Laid(value, -1, joined=True)
        raise self.refused("an array whose size depends on that of the input has no form")

    def met(self, x: Laid, like: Laid) -> Laid:
        """A value that meets another: one without a batch gets its layout. Raises LiftError where they differ."""
        lacking = like.rank - x.rank
        if x.layout == like.layout or (like.is_bare and x.is_bare):
            return x
        if lacking < 0 or not (x.is_bare or (lacking + x.batch, x.joined, x.last) == like.layout[1:]):
            raise self.refused(f"{x.type} and {like.type} meet in a way that the language has no form for")
        shape = [1] * lacking + [*x.type.shape]
        if x.is_bare and not like.joined:
            if shape[like.batch] != 1:
                raise self.refused("a table that differs between samples")
            del shape[like.batch]
        value = x.value if tuple(shape) == x.type.shape else self.call(Reshape(tuple(shape)), x)[0]
        return like.on(value)

    def is_array(self, index: int) -> bool:
        """Whether an input is an array, or one number of any shape."""
        found = self.known[self.node.inputs[index]] if self.has(index) else None
        return isinstance(found, np.ndarray) or (isinstance(found, Sized) and found.number is not None)

    def has(self, index: int) -> bool:
        return len(self.node.inputs) > index and bool(self.node.inputs[index])

    def array(self, index: int, what: str = "weight") -> Any:
        """An input that is numbers. Raises LiftError for a value that depends on the net's inputs."""
        if not self.has(index):
            return None
        found = self.known[self.node.inputs[index]]
        if isinstance(found, Sized) and found.number is not None:
            return found.number
        if not isinstance(found, np.ndarray):
            raise self.refused(f"its {what} `{self.node.inputs[index]}` is computed from the net's input")
        return found

    def number(self, size: Dim) -> int:
        """A size that has to be known."""
        if isinstance(size, int):
            return size
        raise self.refused(f"it depends on the size `{size}`, which is not known")

    def numbers(self, attribute: str, index: int) -> tuple[Any, ...] | None:
        """The numbers that newer opsets have as an input and older ones as an attribute."""
        if self.has(index):
            return tuple(self.array(index, attribute).reshape(-1).tolist())
        found = self.node.get(attribute)
        return None if found is None else (found if isinstance(found, tuple) else (found,))

    def axis(self, x: Laid, axis: int) -> int:
        """The sample's axis of an axis in the file. Raises LiftError for that of the batch."""
        given, axis = axis, axis + x.rank if axis < 0 else axis
        if not 0 <= axis < x.rank:
            raise self.refused(f"there is no axis {given} of {x.rank}")
        if axis == x.batch:
            raise self.refused("it works over the batch axis, where samples are independent of each other")
        return axis if x.joined or axis < x.batch else axis - 1

    # what rules do

    def call(self, op: Op, *inputs: Laid | Value, weights: Mapping[str, Any] | None = None) -> tuple[Value, ...]:
        """Make a call; gives its results."""
        values = tuple(x.value if isinstance(x, Laid) else x for x in inputs)
        types = tuple(v.type for v in values)
        found = op.resolve(*types).infer(self.assume, *types)
        results = found if isinstance(found, tuple) else (found,)
        made = tuple(Value(f"v{len(self.calls)}.{i}", t) for i, t in enumerate(results))
        self._made.update((v.name, len(self.calls)) for v in made)
        self.calls.append(
            Call(op, values, made, weights or {}, self.node.name, self.origin() if weights else frozenset())
        )
        return made

    def give(self, value: Value | Laid, like: Laid | None = None, output: int = 0) -> None:
        """The node's result; its layout is that of `like`, or the usual one."""
        laid = value if isinstance(value, Laid) else like.on(value) if like else Laid(value)
        self.known[self.node.outputs[output]] = laid

    def origin(self) -> frozenset[str]:
        """The initialisers that the node's arrays came from."""
        return self._origins.of(self.node)

    def source(self, value: Value) -> Call | None:
        """The call that computes a value."""
        return self.calls[self._made[value.name]] if value.name in self._made else None

    def change(self, value: Value, call: Call) -> None:
        """Put another call in the place of the one that computes a value."""
        self.calls[self._made[value.name]] = call

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a value of the file; none where it is an output."""
        return [] if name in self.file.outputs else self._readers.get(name, [])

    def settle(self, nodes: Sequence[Node], result: Laid) -> None:
        """Nodes that come later are part of this one: `result` is that of the last of them."""
        self._settled.update(name for n in nodes for name in n.outputs)
        self.known[nodes[-1].outputs[0]] = result

    def apply(self, op: Op, x: Laid, *others: Laid | Value, weights: Mapping[str, Any] | None = None) -> None:
        """The node is this op, whose result is laid out as `x`."""
        self.give(self.call(op, x, *others, weights=weights)[0], x)

    def usual(self, x: Laid) -> Laid:
        """A value whose batch axis is in front. Raises LiftError for another layout."""
        if x.batch or x.joined:
            raise self.refused("the batch is not its first axis")
        return x

    def image(self, index: int = 0) -> Laid:
        return self.usual(self.tensor(index))

    def param(self, array: Any, name: str) -> Value:
        """A learnt tensor of the sample's shape; one for each array."""
        key = (name, tuple(array.shape))
        if key not in self._params:
            from netdsl.ops.parameter import Parameter

            op = Parameter(tuple(int(s) for s in array.shape))
            self._params[key] = self.call(op, weights={"": array.reshape(op.params()[""].shape)})[0]
        return self._params[key]
