"""The values a summary consists of."""

from __future__ import annotations

from msgspec import Struct

from netdsl.analysis.count import Totals
from netdsl.analysis.receptive_field import Field
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType


class Port(Struct, frozen=True):
    """An input or an output of a net. `training`: it exists only while training."""

    name: str
    type: TensorType
    training: bool = False


class Row(Struct, frozen=True):
    """A layer or a function of a net, or `repeat` equal ones in a row.

    `params` and `macs` are those of all repeats together, so that the rows of a net add up to its totals; `children`
    are those of one repeat. `name` is the layer's (of the first repeat), relative to the row around it. A `shared` row
    uses weights that an earlier row has counted; a `training` row exists only while training, and the totals leave out
    its `macs`.
    """

    name: str
    kind: str
    outputs: tuple[TensorType, ...]
    params: int
    macs: Dim
    repeat: int = 1
    shared: bool = False
    training: bool = False
    children: tuple[Row, ...] = ()

    @property
    def depth(self) -> int:
        """How many levels of rows it has, itself included."""
        return 1 + max((child.depth for child in self.children), default=0)

    def count(self, depth: int) -> int:
        """The rows down to a depth, itself included."""
        return 1 + (sum(child.count(depth - 1) for child in self.children) if depth > 1 else 0)


class Summary(Struct, frozen=True):
    """The totals, inputs, outputs and rows of a net, for one sample."""

    net: str
    doc: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    totals: Totals
    constraints: tuple[str, ...]
    receptive_field: Field | None
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Elements of all trainable tensors."""
        return self.totals.params

    @property
    def buffers(self) -> int:
        """Elements of the state that is not trained (running statistics and counters included)."""
        return self.totals.buffers

    @property
    def macs(self) -> Dim:
        """Multiply-accumulates of convolutions, linears and matrix products at inference."""
        return self.totals.macs
