"""Boxes of drawings as values."""

from __future__ import annotations

from msgspec import Struct

from netdsl.ir.model import Definition, Step, Value
from netdsl.sizes.dims import Dim


class Item(Struct, frozen=True, eq=False):
    """One box: a step, or the `steps` of several. `count` equal ones are folded; `body` is what opening it shows.

    `parallel`: they stand side by side, otherwise each reads what the one before it gives. `name` is the layer's (of
    the first step), relative to the definition. The costs are those of all its steps. Of values that are drawn as one
    line, `inputs` and `outs` hold the first.
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
    parallel: bool = False

    @property
    def training(self) -> bool:
        """Whether it exists only while training."""
        return all(step.training for step in self.steps)


class Gate(Struct, frozen=True, eq=False):
    """Where a value enters or leaves a drawing, or where several leave it together."""

    name: str
    values: tuple[Value, ...]


class Body(Struct, frozen=True, eq=False):
    """The items of a definition, and the values its outputs are (steps that compute nothing are left out).

    `bundles`: the values that are drawn as one line, by the name of the first.
    """

    inputs: tuple[Gate, ...]
    items: tuple[Item, ...]
    outputs: tuple[Gate, ...]
    bundles: dict[str, tuple[Value, ...]] = {}

    def shape(self, value: Value) -> str:
        """The text beside the line of a value: its type, and how many of such go there."""
        types = [str(v.type) for v in self.bundles.get(value.name, (value,))]
        if len(types) == 1:
            return types[0]
        return (
            f"{len(types):,} \N{MULTIPLICATION SIGN} {types[0]}" if len(set(types)) == 1 else f"{len(types):,} tensors"
        )
