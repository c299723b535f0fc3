"""Counting: parameters by path, non-trainable state, multiply-accumulates, activations.

Everything is counted once per definition, so the cost follows the number of distinct blocks. Parameters belong to
layers: one that is called several times counts once, while every call counts its multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from netdsl.ir.model import Definition, Layer, Step
from netdsl.ops.base import Buffer, Op, Param
from netdsl.sizes.dims import Dim, product, total
from netdsl.tensors import TensorType

DTYPE_BYTES = {"float32": 4, "int64": 8, "int32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "bool": 1, "uint8": 1}


class Parameter(Struct, frozen=True):
    """A trainable tensor of a net. `path` is its key in the state dict, `op` the kind of its layer."""

    path: str
    shape: tuple[int, ...]
    role: str
    op: str


class State(Struct, frozen=True):
    """A tensor of a net that is not trained: `path` is its key in the state dict where it is `persistent`."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    persistent: bool
    op: str


class Totals(Struct, frozen=True):
    """The totals of a definition, a layer or a step, for one sample.

    `params`, `buffers`: elements. `macs`: of convolutions, linears and matrix products at inference; `training_macs`:
    with what exists only while training. `activation_bytes`: what all ops write at inference. `residual_links`: every
    instance.
    """

    params: int = 0
    param_tensors: int = 0
    buffers: int = 0
    buffer_tensors: int = 0
    macs: Dim = 0
    training_macs: Dim = 0
    activation_bytes: Dim = 0
    residual_links: int = 0

    @staticmethod
    def of(parts: Iterable[Totals]) -> Totals:
        """The sum of some totals."""
        sums: Iterator[Any] = map(total, zip(*map(astuple, (Totals(), *parts)), strict=True))
        return Totals(*sums)


T = TypeVar("T")
Memo = dict[Definition, Totals]


@lru_cache(maxsize=1)
def parameters(definition: Definition) -> tuple[Parameter, ...]:
    """Trainable tensors in the order of the state dict, each shared one once. Kept for the next recipe of a net."""
    found = tensors(definition, lambda op, types: op.params(*types), {})
    return tuple(Parameter(path, p.shape, p.role, op) for path, p, op in found)


def buffers(definition: Definition) -> tuple[State, ...]:
    """Tensors that are not trained, in the order of the state dict, each shared one once."""
    found = tensors(definition, lambda op, types: op.buffers(*types), {})
    return tuple(State(path, b.shape, b.dtype, b.persistent, op) for path, b, op in found)


def tensors(
    definition: Definition, own: Callable[[Op, tuple[TensorType, ...]], Mapping[str, T]], memo: dict[Definition, Any]
) -> tuple[tuple[str, T, str], ...]:
    """Path, tensor and kind of op of all that the layers of a definition own."""
    if definition not in memo:
        found: list[tuple[str, T, str]] = []
        for layer in registered(definition.layers):
            if isinstance(layer.callee, Definition):
                inner = tensors(layer.callee, own, memo)
                found += [(join(layer.name, path), tensor, op) for path, tensor, op in inner]
            else:
                named = own(layer.callee, layer.inputs)
                found += [(join(layer.name, name), tensor, layer.callee.kind) for name, tensor in named.items()]
        memo[definition] = tuple(found)
    result: tuple[tuple[str, T, str], ...] = memo[definition]
    return result


def registered(layers: tuple[Layer, ...]) -> list[Layer]:
    """Layers in the order of the state dict: tensors first, then submodules, the members of a container together."""
    first: dict[str, int] = {}
    keys: dict[Layer, tuple[int, ...]] = {}
    for layer in layers:
        parts = layer.name.split(".")
        heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
        keys[layer] = (0 if _is_tensor(layer) else 1, *(first.setdefault(head, len(first)) for head in heads))
    return sorted(layers, key=keys.__getitem__)


def _is_tensor(layer: Layer) -> bool:
    """Whether a layer is a tensor itself, an attribute without a module around it."""
    return not isinstance(layer.callee, Definition) and "" in layer.callee.params(*layer.inputs)


def totals(definition: Definition, memo: Memo | None = None) -> Totals:
    """Count a definition: parameters, buffers, MACs, activations, residual links. `memo` keeps what was counted for the
    definitions inside."""
    memo = {} if memo is None else memo
    if definition not in memo:
        layers = (layer_totals(layer, memo) for layer in definition.layers)
        memo[definition] = Totals.of(chain(layers, (step_totals(step, memo) for step in definition.steps)))
    return memo[definition]


def layer_totals(layer: Layer, memo: Memo) -> Totals:
    """The parameters and buffers of a layer."""
    if isinstance(layer.callee, Definition):
        inner = totals(layer.callee, memo)
        return Totals(inner.params, inner.param_tensors, inner.buffers, inner.buffer_tensors)
    params = layer.callee.params(*layer.inputs)
    state = {n: b for n, b in layer.callee.buffers(*layer.inputs).items() if b.persistent}
    return Totals(_elements(params), len(params), _elements(state), len(state))


def step_totals(step: Step, memo: Memo) -> Totals:
    """The cost of one call: multiply-accumulates, activations, residual links."""
    if isinstance(step.callee, Definition):
        inner = totals(step.callee, memo)
        cost = Totals(
            macs=inner.macs,
            training_macs=inner.training_macs,
            activation_bytes=inner.activation_bytes,
            residual_links=inner.residual_links,
        )
    else:
        macs = step.callee.macs(step.outs[0].type, *(v.type for v in step.inputs))
        written = 0 if step.callee.vanishes else sum_bytes(v.type for v in step.outs)
        cost = Totals(macs=macs, training_macs=macs, activation_bytes=written, residual_links=int(step.residual))
    if step.training:
        return Totals(training_macs=cost.training_macs)
    return cost


def sum_bytes(types: Iterable[TensorType]) -> Dim:
    """The bytes of values of these types, for one sample."""
    return total(t.elements * DTYPE_BYTES.get(t.dtype, 4) for t in types)


def join(prefix: str, name: str) -> str:
    """A dotted path; a parameter without a name is its layer's attribute itself."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _elements(tensors: dict[str, Param] | dict[str, Buffer]) -> int:
    found = total(product(tensor.shape) for tensor in tensors.values())
    assert isinstance(found, int)
    return found
