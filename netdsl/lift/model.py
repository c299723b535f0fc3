"""The input of lifting: the net of a foreign file as calls of the language's ops, flat, with their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import UserError
from netdsl.ir.model import Value
from netdsl.ops.base import Op
from netdsl.tensors import TensorType

FOLDED_MARK = "(folded)"
"""Among the weights of a convolution: what the file calls its weight, where a norm was folded into it."""


class Call(Struct, frozen=True, eq=False):
    """One op call, as it would be written: `op` has the arguments of a person (`padding=same`).

    `weights`: the arrays of its parameters and buffers, by their names in the layer; `node`: what the exporter called
    the node that it came from; `origin`: the initialisers that its weights came from; `share`: the name of the shared
    layer that it is a use of.
    """

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    weights: Mapping[str, Any]
    node: str = ""
    origin: frozenset[str] = frozenset()
    share: str = ""

    @property
    def kind(self) -> str:
        return self.op.kind

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.inputs)


class Output(Struct, frozen=True):
    """A result of the net; `name` is that of the file."""

    name: str
    value: Value


class Lifted(Struct, frozen=True, eq=False):
    """A flat net: its calls in an order in which each comes after those that it reads."""

    inputs: tuple[Value, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]


class LiftError(UserError):
    """A model that the language cannot express: names the node and the reason."""

    def __init__(self, reason: str, node: str = "", hint: str | None = None) -> None:
        where = f"node `{node}`: " if node else ""
        super().__init__("not-liftable", f"{where}{reason}", hint)
