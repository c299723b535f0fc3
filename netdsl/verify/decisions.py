"""Decisions: where an output jumps when a value changes by as little as rounding, as a class or a mask does.

Two runtimes may decide otherwise where the value stands within their rounding of a threshold, or of another value. So
what decides is compared itself, by the gate; and a number that such rounding may change is compared with nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from netdsl.backends.onnx.file import Model
from netdsl.backends.torch.module import build
from netdsl.backends.torch.source import printer
from netdsl.ir.flatten import step_names
from netdsl.ir.model import Definition, Layer, Output, Program, Step, Value
from netdsl.verify.distance import LOOSEST, largest

NOISE = 1e-5
"""By how much weights and inputs are changed, relative to each: as much as two runtimes may differ by."""

PAIRS = 8
"""How often they are: by some numbers, and by the same with the other sign."""

MOST_UNDECIDED = 0.1
"""The share of an output that may be left out: where rounding decides more, nothing is verified."""


def decides(step: Step) -> bool:
    """Whether the result of a step jumps with a real number."""
    op = step.callee
    return not isinstance(op, Definition) and op.jumps and bool(step.inputs) and is_real(step.inputs[-1].type.dtype)


def is_real(dtype: str) -> bool:
    return dtype.startswith("float")


class Decisions:
    """The values that decide, of a net with these weights. `paths`: those of the op calls that read them."""

    def __init__(self, program: Program, module: nn.Module, paths: Sequence[str], exposed: Program) -> None:
        self.paths, self.kept = paths, len([o for o in program.main.outputs if not o.training])
        print_ = printer(exposed, "Decisions")
        self.module = build(print_.text(None), print_.class_name).eval()
        self.module.load_state_dict(module.state_dict(), assign=True)

    def values(self, inputs: Sequence[Tensor]) -> list[Any]:
        """The values that decide on these inputs, in the order of `paths`."""
        return outputs_of(self.module, inputs)[self.kept :]

    def exact(self, inputs: Sequence[Tensor]) -> list[Any]:
        """The same in double precision."""
        return outputs_of(copy.deepcopy(self.module).double(), inputs)[self.kept :]


def decisions(program: Program, module: nn.Module) -> Decisions | None:
    """The decisions of a net; None where its outputs change little where its values do."""
    main, paths = _Exposing().of(program.main)
    return Decisions(program, module, paths, replace(program, main=main)) if paths else None


class _Exposing:
    """Definitions with further outputs: the values that decide in them. Everything about a definition is found once."""

    def __init__(self) -> None:
        self.known: dict[Definition, tuple[Definition, tuple[str, ...]]] = {}

    def of(self, definition: Definition) -> tuple[Definition, tuple[str, ...]]:
        """The definition, and the paths in it of the op calls that decide."""
        if definition not in self.known:
            self.known[definition] = self._of(definition)
        return self.known[definition]

    def _of(self, definition: Definition) -> tuple[Definition, tuple[str, ...]]:
        steps: list[Step] = []
        shown: list[Value] = []
        paths: list[str] = []
        for number, (step, name) in enumerate(zip(definition.steps, step_names(definition), strict=True)):
            if isinstance(step.callee, Definition) and not step.training:
                callee, inner = self.of(step.callee)
                more = tuple(
                    Value(f"decision_{number}_{i}", o.value.type)
                    for i, o in enumerate(callee.outputs[len(step.callee.outputs) :])
                )
                step = replace(step, callee=callee, outs=(*step.outs, *more))
                shown += more
                paths += [f"{name}.{path}" for path in inner]
            elif decides(step) and not step.training:
                shown.append(step.inputs[-1])
                paths.append(name)
            steps.append(step)
        if not paths:
            return definition, ()
        outputs = (*definition.outputs, *(Output(f"decision_{i}", v) for i, v in enumerate(shown)))
        layers = tuple(self._layer(layer) for layer in definition.layers)
        made = replace(definition, steps=tuple(steps), layers=layers, outputs=outputs, chain=False, wraps=False)
        return made, tuple(paths)

    def _layer(self, layer: Layer) -> Layer:
        callee = layer.callee
        return replace(layer, callee=self.of(callee)[0]) if isinstance(callee, Definition) else layer


def undecided(module: nn.Module, inputs: Sequence[Tensor], outputs: Sequence[Any]) -> list[Any]:
    """Masks of the outputs of a module: where they jump when its weights and inputs change by as much as rounding."""

    def run(sign: int, random: torch.Generator) -> list[Any]:
        twin = _changed(module, sign, random)
        return outputs_of(twin, [_moved(x, sign, random) for x in inputs])

    return _jumps(run, outputs)


def undecided_by_inputs(run: Callable[[dict[str, Any]], list[Any]], fed: Mapping[str, Any], outputs: Any) -> list[Any]:
    """Masks of the outputs of a file: where they jump when its inputs, by name, change by as much as rounding."""

    def moved(sign: int, random: torch.Generator) -> list[Any]:
        return run({name: _moved(torch.from_numpy(x), sign, random).numpy() for name, x in fed.items()})

    return _jumps(moved, outputs)


def _jumps(run: Callable[[int, torch.Generator], list[Any]], outputs: Sequence[Any]) -> list[Any]:
    """Masks of where outputs differ from those of a run with one of several small changes, each with both signs."""
    masks = [np.zeros(y.shape, bool) for y in outputs]
    for number in range(2 * PAIRS):
        found = run(1 - 2 * (number % 2), torch.Generator().manual_seed(number // 2))
        for mask, y, other in zip(masks, outputs, found, strict=True):
            mask |= _jumped(y, other)
    return masks


def outputs_of(module: nn.Module, inputs: Sequence[Tensor]) -> list[Any]:
    """The outputs of a module in evaluation mode, as arrays in order."""
    with torch.inference_mode():
        given = module(*inputs)
    if isinstance(given, Tensor):
        given = [given]
    return [y.detach().numpy() for y in (given.values() if isinstance(given, Mapping) else given)]


def _changed(module: nn.Module, sign: int, random: torch.Generator) -> nn.Module:
    twin = copy.deepcopy(module)
    persistent = twin.state_dict().keys()
    with torch.no_grad():
        for key, tensor in (*twin.named_parameters(), *twin.named_buffers()):
            if key in persistent:
                tensor.copy_(_moved(tensor, sign, random))
    return twin


def _moved(x: Tensor, sign: int, random: torch.Generator) -> Tensor:
    """A tensor with each real number changed by as much as rounding."""
    if not x.is_floating_point():
        return x
    return x * (1 + sign * NOISE * torch.randn(x.shape, generator=random))


def _jumped(y: Any, other: Any) -> Any:
    """A mask: where two results differ by more than is ever accepted of rounding; whole numbers and masks at all."""
    if y.shape != other.shape:
        return True
    if y.dtype.kind != "f":
        return y != other
    return ~(np.abs(y - other) <= LOOSEST * largest(y))


def taps(model: Model, paths: Sequence[str]) -> dict[str, str]:
    """The values of an ONNX graph that the op calls of these paths read, by path, where a node computes them."""
    scopes = {"/" + path.replace(".", "/"): path for path in paths}
    made: dict[str, str] = {}
    found: dict[str, str] = {}
    for node in model.graph.node:
        scope = node.name if node.name in scopes else node.name.rpartition("/")[0]
        if scope in scopes:
            outside = [n for n in node.input if made.get(n, scope) != scope]
            found |= {scopes[scope]: outside[-1]} if outside else {}
        made |= dict.fromkeys(node.output, scope)
    return found
