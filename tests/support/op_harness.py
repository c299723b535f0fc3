"""Runs one example of an op: builds its torch form and its ONNX form on random inputs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import torch
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from netdsl.ops import REGISTRY
from netdsl.ops.base import Call, Code, Example, Field, Op, Operand, OpError, X
from netdsl.ops.features import check_elements
from netdsl.ops.helper import whole
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

BATCH = 2
POSITIVE = {"log", "sqrt", "rsqrt", "pow"}
"""Ops that are defined for positive numbers alone."""
WORDS = {"true": True, "false": False, "none": None}


class Use:
    """An op made of an example's text, with the types and random values of its inputs."""

    def __init__(self, kind: str, example: Example) -> None:
        self.name = f"{example.text} on {' '.join(example.inputs)}"
        self.text = example.text
        self.types = tuple(map(read_type, example.inputs))
        self.given = read_op(kind, example.text)

    def with_constant(self, index: int, *, batch_axis: bool) -> Use:
        """The same with input `index` a parameter, whose tensor has a batch axis of size 1 or none."""
        other = copy(self)
        other.__dict__.pop("op", None)
        other.types = tuple(replace(t, batched=i != index) for i, t in enumerate(self.types))
        value = self.values[index][:1] if batch_axis else self.values[index][0]
        other.values = [value if i == index else v for i, v in enumerate(self.values)]
        return other

    @cached_property
    def op(self) -> Op:
        return self.given.resolve(*self.types)

    def with_elements(self, dtypes: tuple[str, ...]) -> Use:
        """The same with inputs of other element types."""
        other = copy(self)
        for made in ("op", "values"):
            other.__dict__.pop(made, None)
        other.types = tuple(replace(t, dtype=dtype) for t, dtype in zip(self.types, dtypes, strict=True))
        return other

    def inferred(self) -> Any:
        result = self.op.infer(Assumptions(), *self.types)
        check_elements(self.op, *self.types)
        return result

    @cached_property
    def values(self) -> list[torch.Tensor]:
        values = [random_value(t, i) for i, t in enumerate(self.types)]
        return [v.abs() + 0.1 for v in values] if self.given.kind in POSITIVE else values


def uses() -> Iterator[Use]:
    for kind, op in sorted(REGISTRY.items()):
        for example in op.examples:
            yield Use(kind, example)


def types_of(result: Any) -> tuple[TensorType, ...]:
    return result if isinstance(result, tuple) else (result,)


def read_type(text: str) -> TensorType:
    shape, _, dtype = text.partition("]")
    sizes = tuple(int(s) for s in shape.strip("[").split(",") if s.strip())
    return TensorType(sizes, dtype.strip() or "float32")


def read_op(kind: str, text: str) -> Op:
    """The op of `conv(6, 3, bias=false)`: values named x, y, z are operands and not arguments."""
    tree = ast.parse(text, mode="eval").body
    call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
    assert isinstance(call.func, ast.Name)
    cls = REGISTRY[kind]
    assert call.func.id == kind
    given = [read_value(a) for a in call.args if not is_operand(a)]
    arguments = dict(zip(cls.__struct_fields__, given, strict=False))
    named = {k.arg: read_value(k.value) for k in call.keywords if k.arg and not is_operand(k.value)}
    if cls.named_sizes:
        further = {n: named.pop(n) for n in list(named) if n not in cls.__struct_fields__}
        named[cls.named_sizes] = tuple(further.items())
    arguments |= named
    return msgspec.convert(arguments, cls)


def is_operand(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("x", "y", "z", "w")


def read_value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return WORDS.get(node.id, node.id)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(map(read_value, node.elts))
    return ast.literal_eval(node)


def random_value(t: TensorType, index: int) -> torch.Tensor:
    shape = (BATCH, *t.shape)
    if t.dtype == "bool":
        return torch.rand(shape) < 0.6
    if t.dtype.startswith("int"):
        return torch.randint(0, 3, shape, dtype=getattr(torch, t.dtype))
    return (torch.rand(shape) * 2 - (0.5 if index else 0.9)).to(getattr(torch, t.dtype))


def python(form: Any) -> str:
    """A PyTorch form as text."""
    if isinstance(form, X):
        return f"x{form.index}"
    if isinstance(form, Code):
        return form.text
    if isinstance(form, tuple):
        return f"({''.join(python(f) + ', ' for f in form)})"
    if isinstance(form, Field):
        return repr(form.value)
    if not isinstance(form, Call):
        return repr(form)
    args = [python(a) for a in form.args]
    args += [f"{k}={python(v)}" for k, v in form.kwargs]
    if form.name == "[]":
        return f"{args[0]}[{', '.join(args[1:])}]"
    if form.name.startswith("."):
        return f"{args[0]}{form.name}({', '.join(args[1:])})"
    if form.name == ":":
        return ":".join(args)
    if not form.name[0].isalpha():
        left = f"({args[0]})" if args[0].startswith("-") else args[0]
        return f"({left} {form.name} {args[1]})" if len(args) == 2 else f"({form.name}{args[0]})"
    return f"{form.name}({', '.join(args)})"


class Form(nn.Module):
    """The torch form of an op as a module: `layer` holds its parameters, `expressed` is that of a forward method."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.form = use.op.torch(*use.types)
        self.count = len(use.types)
        scope: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "Tensor": torch.Tensor}
        exec(whole(self.form.helper), scope)
        self.scope = scope
        if self.form.module:
            self.layer = eval(python(self.form.module), scope)
        elif self.form.parameter:
            self.layer = nn.Parameter(eval(python(self.form.parameter), scope))
        self.both = bool(self.form.module and self.form.expression)

    def forward(self, *xs: torch.Tensor) -> Any:
        if self.form.module:
            return self.layer(*xs)
        return self.layer if self.form.parameter and not self.form.expression else self.expressed(*xs)

    def expressed(self, *xs: torch.Tensor) -> Any:
        names = {f"x{i}": x for i, x in enumerate(xs)} | {"self": self, "layer": getattr(self, "layer", None)}
        return eval(python(self.form.expression), self.scope, names)


def torch_module(use: Use) -> Form:
    """The op's torch form with random weights and statistics."""
    module = Form(use)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
        for name, b in module.named_buffers():
            if name.endswith("running_var"):
                b.copy_(torch.rand_like(b) + 0.5)
            elif name.endswith("running_mean"):
                b.copy_(torch.randn_like(b))
    return module


class TinyGraph:
    """The least implementation of `ops.base.Graph`."""

    def __init__(self, opset: int, weights: dict[str, np.ndarray]) -> None:
        self.opset = opset
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.count = 0

    def _name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [self._name() for _ in range(outputs)]
        assert all(isinstance(i, str) for i in inputs), (op_type, inputs)
        self.nodes.append(helper.make_node(op_type, inputs, names, **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def const(self, value: Any, dtype: str = "float32") -> str:
        name = self._name()
        self.initializers[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def weight(self, name: str) -> str:
        key = f"w:{name}"
        self.initializers[key] = numpy_helper.from_array(self.weights[name], key)
        return key

    def array(self, name: str) -> np.ndarray:
        return self.weights[name]

    def shape(self, *sizes: Any, batch: bool = True) -> str:
        assert all(isinstance(s, int) for s in sizes)
        return self.const([BATCH] * batch + list(sizes), "int64")


ELEMENTS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


def onnx_outputs(use: Use, module: Form, opset: int) -> list[np.ndarray] | None:
    """What onnxruntime computes, or None where the opset does not have it."""
    weights = {
        n.removeprefix("layer").removeprefix("."): v.detach().numpy()
        for n, v in [*module.named_parameters(), *module.named_buffers()]
    }
    graph = TinyGraph(opset, weights)
    names = "xyzw"[: len(use.types)]
    try:
        result = use.op.onnx(graph, *(Operand(n, t) for n, t in zip(names, use.types, strict=True)))
    except OpError as error:
        if error.code == "opset":
            return None
        raise
    results = [result] if isinstance(result, str) else list(result)
    outputs = [graph.op("Identity", r) for r in results]
    inputs = [
        helper.make_tensor_value_info(n, ELEMENTS[t.dtype], [f"N{n}", *v.shape[1:]] if v.ndim else [])
        for n, t, v in zip(names, use.types, use.values, strict=True)
    ]
    infos = [
        helper.make_tensor_value_info(o, ELEMENTS[t.dtype], None)
        for o, t in zip(outputs, types_of(use.inferred()), strict=True)
    ]
    proto = helper.make_graph(graph.nodes, "op", inputs, infos, list(graph.initializers.values()))
    ir = {17: 8, 18: 8, 20: 9, 21: 10, 23: 11, 26: 13}[opset]
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {
        n: v.numpy() for n, v in zip(names, use.values, strict=True) if n in {i.name for i in session.get_inputs()}
    }
    return session.run(None, feeds)
