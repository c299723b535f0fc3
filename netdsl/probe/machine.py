"""Runs a net op by op in PyTorch, and keeps what every op gives.

Each op is a small module of its own, printed and built as the whole net is, that computes with the tensors of the net's
own module: gradients and statistics reach them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from netdsl.analysis.count import join
from netdsl.backends.torch.module import build
from netdsl.backends.torch.source import Printer
from netdsl.ir.flatten import Flat, Node, flatten
from netdsl.ir.model import Definition, Layer, Output, Program, Step, Value
from netdsl.ops.base import Op
from netdsl.source import Place, Source, Span
from netdsl.tensors import TensorType

NAME, LAYER = "Op", "op"

Edit = Callable[[Node, Sequence[Tensor], Tensor], Tensor]
"""What becomes of the output of an op, which was given some inputs, before others read it."""

Values = dict[str, Tensor]
"""What every op gives, by the names of the flat net's values."""


class Machine:
    """The ops of a net in evaluation form, with the tensors of a module of it.

    `learning`: norms compute with the statistics of the batch, as while training (dropout stays off).
    """

    def __init__(self, program: Program, module: nn.Module, learning: bool = False) -> None:
        self.flat: Flat = flatten(program, drop_vanishing=True)
        self._module = module
        self._learning = learning
        self._dtype = next((p.dtype for p in module.parameters()), torch.float32)
        self._made: dict[tuple[Op, tuple[TensorType, ...], int], nn.Module] = {}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The parameters and buffers of the net's module, by path."""
        return dict(self._module.named_parameters()) | dict(self._module.named_buffers())

    def run(self, inputs: Sequence[Tensor], edit: Edit | None = None) -> Values:
        """The values of all ops, and the net's inputs, for a batch."""
        values = {v.name: x for v, x in zip(self.flat.inputs, inputs, strict=True)}
        tensors = self.tensors
        for node in self.flat:
            given = [values[v.name] for v in node.inputs]
            found = self.call(node, given, tensors)
            for value, x in zip(node.outputs, found, strict=True):
                x = x.to(self._dtype) if x.is_floating_point() else x  # constants are float32 in every module
                values[value.name] = x if edit is None else edit(node, given, x)
        return values

    def outputs(self, values: Values) -> list[Tensor]:
        """The outputs of the net among its values."""
        return [values[o.value.name] for o in self.flat.outputs]

    def call(self, node: Node, given: Sequence[Tensor], tensors: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        """Run one op; without `tensors`, one that has none."""
        module = self._op(node)
        own = {name: join(node.layer_path, name.removeprefix(LAYER).lstrip(".")) for name in _tensors(module)}
        bound = {name: tensors[path] for name, path in own.items() if tensors and path in tensors}
        result = functional_call(module, bound, tuple(given))
        if isinstance(result, dict):
            return list(result.values())
        return list(result) if isinstance(result, tuple | list) else [result]

    def _op(self, node: Node) -> nn.Module:
        key = node.op, node.types, len(node.outputs)
        if key not in self._made:
            module = build(Printer(_alone(node), NAME).text(None), NAME, 0)
            self._made[key] = module.train(self._learning)
        return self._made[key]


def _tensors(module: nn.Module) -> list[str]:
    return [*(n for n, _ in module.named_parameters()), *(n for n, _ in module.named_buffers())]


NOWHERE = Place(Source("", "op"), Span(0, 0))


def _alone(node: Node) -> Program:
    """A net of one op, each of its inputs a value of its own."""
    inputs = tuple(Value(f"x{i + 1}", v.type) for i, v in enumerate(node.inputs))
    outs = tuple(Value(f"y{i + 1}", v.type) for i, v in enumerate(node.outputs))
    owns = bool(node.op.params(*node.types) or node.op.buffers(*node.types))
    layers = (Layer(LAYER, node.op, node.types),) if owns else ()
    step = Step(outs, node.op, inputs, NOWHERE, LAYER if owns else None)
    outputs = tuple(Output(v.name, v) for v in outs)
    return Program(Definition(NAME, inputs, layers, (step,), outputs, NOWHERE), ())
