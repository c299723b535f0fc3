"""Boxes of drawings as values."""

from __future__ import annotations

from msgspec import Struct

from netdsl.ir.model import Definition, Output, Step, Value
from netdsl.sizes.dims import Dim


class Item(Struct, frozen=True, eq=False):
    """One box: a step, or the `steps` of several. `count` equal ones are folded; `body` is what opening it shows.

    `name` is the layer's (of the first step), relative to the definition. The costs are those of all its steps.
    """

    name: str
    label: str
    detail: str
    family: str
    steps: tuple[Step, ...]
    inputs: tuple[Value, ...]
    outs: tuple[Value, ...]
    count: int = 1
    body: Definition | None = None
    params: int = 0
    macs: Dim = 0
    bytes: Dim = 0

    @property
    def training(self) -> bool:
        """Whether it exists only while training."""
        return all(step.training for step in self.steps)


class Body(Struct, frozen=True, eq=False):
    """The items of a definition, and the values its outputs are (steps that compute nothing are left out)."""

    inputs: tuple[Value, ...]
    items: tuple[Item, ...]
    outputs: tuple[Output, ...]
