"""The IR: a program of typed definitions.

A block that is used many times with the same arguments on the same types is one `Definition`, so the cost of every
pass grows with the number of distinct blocks. Parameters belong to *paths*: the dotted names of the layers from the
main definition down to an op, which are also the keys of the state dict.
"""

from __future__ import annotations

from msgspec import Struct

from netdsl.ops.base import Op
from netdsl.sizes.constraints import Constraint
from netdsl.sizes.dims import Dim
from netdsl.source import Place
from netdsl.tensors import TensorType


class Value(Struct, frozen=True):
    """An SSA value of a definition: its name there, and its type."""

    name: str
    type: TensorType


class Layer(Struct, frozen=True, eq=False):
    """A named submodule of a definition: it owns the parameters of its op or definition.

    A dotted name (`stages.0`) makes it a member of a container (`stages`). `callee` is that of the first use.
    `former` is the path of its callee in the previous release, for the weights saved by it.
    """

    name: str
    callee: Op | Definition
    inputs: tuple[TensorType, ...]
    former: str = ""


class Step(Struct, frozen=True, eq=False):
    """One line of a body: `outs = callee(*inputs)`.

    `layer` names the layer whose parameters it uses (None for an op without any). `training`: needed only for outputs
    that exist while training. `residual`: the addition that closes a residual link.
    """

    outs: tuple[Value, ...]
    callee: Op | Definition
    inputs: tuple[Value, ...]
    place: Place
    layer: str | None = None
    training: bool = False
    residual: bool = False


class Output(Struct, frozen=True, eq=False):
    """A result of a definition; `training`: it exists only while training."""

    name: str
    value: Value
    training: bool = False


class Definition(Struct, frozen=True, eq=False):
    """A block elaborated for its arguments and input types.

    Identity is equality: two uses of one definition share the object. `name` is the author's name of the block
    (or of the label); `arguments` are the numbers and names it was called with; `chain`: every step feeds only the
    next, through modules.
    """

    name: str
    inputs: tuple[Value, ...]
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    place: Place
    arguments: tuple[tuple[str, object], ...] = ()
    doc: str = ""
    chain: bool = False
    sizes: tuple[tuple[str, Dim], ...] = ()
    """Names bound by the signature, with their sizes: the emitter may print them."""
    wraps: bool = False
    """Whether it is a block around a single layer without a name, which stands for it where it is used."""


class Program(Struct, frozen=True, eq=False):
    """A net, elaborated. `constraints` are what must hold of the named sizes of its inputs."""

    main: Definition
    constraints: tuple[Constraint, ...]
    doc: str = ""
