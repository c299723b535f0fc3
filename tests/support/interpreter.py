"""An interpreter of programs for tests: it runs a net step by step, by rules of its own for each op.

Neither the op's PyTorch form nor the flat view nor the printer has a part in it, so that a mistake of theirs shows.
Values always have a batch axis: of size 1 where all samples share the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import op_rules_einops  # noqa: F401 - adds its rules
import op_rules_space  # noqa: F401 - adds its rules
import op_rules_tokens  # noqa: F401 - adds its rules
import torch
from op_rules import RULES, features
from torch import Tensor

from netdsl.ir.model import Definition, Program, Step
from netdsl.ops.base import Op
from netdsl.ops.tables import Expression, Table
from netdsl.sizes.dims import Size, evaluate
from netdsl.tensors import UNCLEAR


class ExplodedError(Exception):
    """A value grew beyond all sense: whatever is computed from it is chance."""


NEAR_ONE = {
    "sigmoid", "tanh", "softmax", "erf", "gelu", "silu", "mish", "elu", "celu", "selu", "softplus", "logsigmoid",
    "tanhshrink",
}  # fmt: skip
"""Functions that are computed by way of numbers near 1 or as a difference: a small result is rounded as 1 is."""


NORMS = {"groupnorm", "instancenorm", "layernorm"}
"""PyTorch computes their variance as a difference of squares in some layouts of memory."""


def _cancelled(op: Any, x: Tensor) -> float:
    """By how much the mean square of what a norm takes together exceeds its variance, at most."""
    if op.kind == "layernorm":
        rows = x.movedim(features(x, op.axis), -1)
    else:
        rows = x.reshape(x.shape[0], op.num_groups if op.kind == "groupnorm" else x.shape[1], -1)
    return float((rows.square().mean(-1) / (rows.var(-1, correction=0) + op.eps)).max())


class Rounding:
    """Moves the weights and the result of every op by `unit` of each number, up or down at random, as computing in that
    precision does: an op's result is that of weights nearby (Higham 2002, Accuracy and Stability, 1.5)."""

    def __init__(self, unit: float, seed: int) -> None:
        self.unit = unit
        self.random = torch.Generator().manual_seed(seed)

    def weights(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            k: w + self.unit * self._signs(w.shape) * w.abs() if w.is_floating_point() else w for k, w in given.items()
        }

    def moved(self, op: Op, x: Tensor, given: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        if not x.is_floating_point():
            return x
        size = x.abs().clamp(min=1) if op.kind in NEAR_ONE else x.abs()
        by = self._signs(x.shape) * size
        if op.kind in NORMS:  # what their mean and variance lose moves all numbers alike, and does not average out
            excess, each = _cancelled(op, given[0]), (x.shape[0], *(1,) * (x.ndim - 1))
            slope = float(weights["weight"].abs().max()) if "weight" in weights else 1.0
            by = by + self._signs(each) * excess * x + self._signs(each) * excess**0.5 * slope
        return torch.where(size.isfinite(), x + self.unit * by, x)

    def _signs(self, shape: Sequence[int]) -> Tensor:
        return torch.randint(0, 2, tuple(shape), generator=self.random) * 2 - 1


def interpret(
    program: Program,
    state: Mapping[str, Tensor],
    inputs: Sequence[Tensor],
    sizes: Mapping[str, int],
    limit: float = float("inf"),
    rounding: Rounding | None = None,
) -> dict[str, Tensor]:
    """The outputs of a net at inference by name, from weights by state-dict key and inputs in order.

    Raises AssertionError where a value hasn't the shape that was inferred for it, ExplodedError for one beyond `limit`.
    """
    with torch.no_grad():
        results = _Run(state, sizes, limit, rounding).definition(program.main, "", list(inputs))
    return {o.name: r for o, r in zip(program.main.outputs, results, strict=True) if r is not None}


class _Run:
    def __init__(
        self, state: Mapping[str, Tensor], sizes: Mapping[str, int], limit: float, rounding: Rounding | None
    ) -> None:
        self.state = state
        self.sizes = sizes
        self.limit = limit
        self.rounding = rounding

    def definition(self, definition: Definition, prefix: str, inputs: list[Tensor]) -> list[Tensor | None]:
        """The outputs; None for what exists only while training."""
        values = {v.name: x for v, x in zip(definition.inputs, inputs, strict=True)}
        for step in definition.steps:
            if step.training:
                continue
            results = self.step(step, prefix, [values[v.name] for v in step.inputs])
            for value, result in zip(step.outs, results, strict=True):
                if result is not None:
                    self.check(step, value.type.shape, result)
                    values[value.name] = result
        return [None if o.training else values[o.value.name] for o in definition.outputs]

    def step(self, step: Step, prefix: str, given: list[Tensor]) -> Sequence[Tensor | None]:
        if isinstance(step.callee, Definition):
            inner = f"{prefix}{step.layer}." if step.layer else prefix
            return self.definition(step.callee, inner, given)
        if isinstance(step.callee, Table):
            return (self.table(step.callee.expression),)
        for value, x in zip(step.inputs, given, strict=True):
            x.features = None if value.type.features == UNCLEAR else value.type.features  # type: ignore[attr-defined]
        op, weights = concrete(step.callee, self.sizes), self.weights(step, prefix)
        if self.rounding:
            weights = self.rounding.weights(weights)
        result = RULES[op.kind](op, weights, *given)
        results = result if isinstance(result, list | tuple) else (result,)
        return [self.rounding.moved(op, x, given, weights) for x in results] if self.rounding else results

    def table(self, expression: Expression) -> Tensor:
        """The value of a table, op by op."""
        value = RULES[expression.op.kind](expression.op, {}, *map(self.table, expression.inputs))
        assert isinstance(value, Tensor)
        return value

    def weights(self, step: Step, prefix: str) -> dict[str, Tensor]:
        """The tensors of a step's layer, by their names in it; the layer of a parameter is the tensor itself."""
        path = f"{prefix}{step.layer}"
        own = {k[len(path) + 1 :]: v for k, v in self.state.items() if k.startswith(f"{path}.")}
        return own | ({"": self.state[path]} if path in self.state else {})

    def check(self, step: Step, shape: tuple[Any, ...], result: Tensor) -> None:
        wanted = [evaluate(s, self.sizes) for s in shape]
        kind = step.callee.kind if isinstance(step.callee, Op) else step.callee.name
        if self.limit < float("inf") and not result.double().abs().max() <= self.limit:
            raise ExplodedError(kind)
        assert list(result.shape[1:]) == wanted, f"{kind}: inferred {wanted}, computed {list(result.shape[1:])}"


def concrete(op: Op, sizes: Mapping[str, int]) -> Op:
    """The op with every symbolic size among its arguments replaced by its number."""
    fields = {f: getattr(op, f) for f in op.__struct_fields__}
    return msgspec.structs.replace(op, **{f: _number(v, sizes) for f, v in fields.items()})


def _number(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, Size):
        return evaluate(value, sizes)
    return tuple(_number(v, sizes) for v in value) if isinstance(value, tuple) else value


def randomized(module: Any, seed: int) -> dict[str, Tensor]:
    """The state of a module, after its weights and statistics have been drawn at random: none hides an error."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = module.state_dict()
    for key, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        name, inputs = key.rpartition(".")[2], max(1, tensor[0].numel() if tensor.ndim > 1 else 1)
        normal = torch.randn(tensor.shape, generator=random)
        if name in ("running_var", "std"):
            tensor.copy_(0.7 + normal.abs())
        elif tensor.ndim < 2:
            tensor.copy_(0.5 * normal + (0.8 if name in ("weight", "gamma") else 0))
        else:
            tensor.copy_(normal * inputs**-0.5)
    return state


def worst(found: Any, wanted: Mapping[str, Tensor]) -> float:
    """The largest difference of a module's outputs from the interpreter's, relative to the largest number of each."""
    given = found if isinstance(found, tuple) else (found,)
    assert len(given) == len(wanted), f"{len(given)} outputs for {len(wanted)}"
    return max((_apart(torch.as_tensor(y), w) for y, w in zip(given, wanted.values(), strict=True)), default=0.0)


def _apart(found: Tensor, wanted: Tensor) -> float:
    """Infinity where one alone is not finite; equal infinities agree."""
    found = found.detach().reshape(wanted.shape).double()
    wanted = wanted.detach().double()
    if not torch.equal(torch.isfinite(found), torch.isfinite(wanted)):
        return float("inf")
    finite = torch.isfinite(wanted)
    found, wanted = found[finite], wanted[finite]
    largest = float(wanted.abs().max()) if wanted.numel() else 0.0
    difference = float((found - wanted).abs().max()) if wanted.numel() else 0.0
    return difference / largest if largest else difference
