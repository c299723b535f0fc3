"""A second way to run a program in torch: the flat list of op calls, each op's own form evaluated by itself.

It knows nothing of classes, constructors and variables, so it tells whether the printed source got those right.
"""

from __future__ import annotations

from typing import Any

import torch
from op_harness import python
from torch import nn
from torch.nn import functional as F

from netdsl.analysis import count
from netdsl.ir.flatten import Flat, Node, flatten
from netdsl.ir.model import Program
from netdsl.ops.helper import whole


def paths(program: Program) -> dict[str, tuple[int, ...]]:
    """The keys that the state dict must have, with their shapes: the paths of the IR."""
    found = {p.path: p.shape for p in count.parameters(program.main)}
    return found | {b.path: b.shape for b in count.buffers(program.main) if b.persistent}


def inputs(program: Program, batch: int = 2, **sizes: int) -> list[torch.Tensor]:
    """Random inputs; `sizes` are those of the named sizes."""
    generator = torch.Generator().manual_seed(7)
    found = []
    for value in program.main.inputs:
        shape = [batch, *(s if isinstance(s, int) else eval(str(s), {}, sizes) for s in value.type.shape)]
        if value.type.dtype.startswith("int"):
            found.append(torch.randint(0, 3, shape, generator=generator, dtype=getattr(torch, value.type.dtype)))
        else:
            found.append(torch.randn(shape, generator=generator))
    return found


def randomize(module: nn.Module) -> None:
    """Weights and statistics that hide nothing: no zeros, no ones."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.dtype.is_floating_point:
                drawn = torch.rand(tensor.shape, generator=generator)
                positive = name.endswith("running_var") or tensor.ndim == 1
                fan = max(1, tensor[0].numel()) if tensor.ndim > 1 else 1
                tensor.copy_(drawn + 0.5 if positive else (drawn - 0.5) * (12 / fan) ** 0.5)


def evaluate(program: Program, state: dict[str, torch.Tensor], given: list[torch.Tensor], training: bool) -> list[Any]:
    """The outputs of a program for a state dict; `training` adds the outputs that exist only then."""
    flat = flatten(program, training)
    return _Run(flat, state, given, training).outputs()


class _Run:
    def __init__(self, flat: Flat, state: dict[str, torch.Tensor], given: list[torch.Tensor], training: bool) -> None:
        self.flat = flat
        self.state = state
        self.training = training
        self.values = {v.name: x for v, x in zip(flat.inputs, given, strict=True)}
        self.sizes = {
            str(s): x.shape[i + 1]
            for v, x in zip(flat.inputs, given, strict=True)
            for i, s in enumerate(v.type.shape)
            if str(s).isidentifier()
        }
        self.layers: dict[str, nn.Module] = {}

    def outputs(self) -> list[Any]:
        for node in self.flat:
            result = self.call(node, [self.values[v.name] for v in node.inputs])
            many = len(node.outputs) > 1
            results = result if many else [result[0] if isinstance(result, tuple) else result]
            self.values |= {v.name: r for v, r in zip(node.outputs, results, strict=True)}
        return [self.values[o.value.name] for o in self.flat.outputs]

    def call(self, node: Node, given: list[torch.Tensor]) -> Any:
        form = node.op.torch(*node.types)
        scope: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "Tensor": torch.Tensor, **self.sizes}
        exec(whole(form.helper), scope)
        if form.parameter is not None:
            return self.state[node.layer_path]
        if form.buffer is not None:
            return eval(python(form.buffer), scope)
        if form.expression is not None and not node.op.is_layer:
            return eval(python(form.expression), scope, {f"x{i}": x for i, x in enumerate(given)})
        if node.layer_path not in self.layers:
            with torch.random.fork_rng():
                layer = eval(python(form.module), scope)
            prefix = f"{node.layer_path}."
            layer.load_state_dict({k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)})
            self.layers[node.layer_path] = layer.train(self.training)
        return self.layers[node.layer_path](*given)
