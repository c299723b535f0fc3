"""The values of expressions of a spec: plain Python values, sizes, and arrows.

An arrow is a function from the value that flows in to a new one, kept as data: two arrows that say the same are equal,
so a block can be remembered by its arguments. Nothing here has been applied yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union, get_args

from msgspec import Struct

from netdsl.budget import spend
from netdsl.ops.base import Op
from netdsl.ops.described import described
from netdsl.source import Place
from netdsl.syntax import ast
from netdsl.tensors import TensorType

if TYPE_CHECKING:
    from netdsl.elaborate.modules import Module
    from netdsl.elaborate.scope import LayerBuilder, Wire


class CallPlace(Place):
    """The place of a call, and those of its arguments by name."""

    __slots__ = ("arguments",)

    def __init__(self, place: Place, arguments: dict[str, Place]) -> None:
        super().__init__(place.source, place.span)
        self.arguments = arguments


class It(Struct, frozen=True):
    """The identity: the value that flows in."""

    at: Place


class Tensor(Struct, frozen=True):
    """A named tensor: the arrow that gives it whatever flows in."""

    wire: Wire


class Captured(Struct, frozen=True):
    """A tensor of the caller, as the called block knows it: its input number `index`."""

    index: int
    type: TensorType


class Shared(Struct, frozen=True):
    """A layer with one set of weights, made by `share`."""

    layer: LayerBuilder
    at: Place


class SharedCall(Struct, frozen=True):
    """A shared layer or block with further tensors: `cell(h0=h, c0=c)`."""

    shared: Shared
    operands: tuple[tuple[str, Any], ...]
    at: Place


class SharedWeight(Struct, frozen=True):
    """`table.weight`, which `linear(weight=...)` takes: no arrow, since it does not flow."""

    shared: Shared
    name: str
    word: str = "weight of"


class TiedArrow(Struct, frozen=True):
    """A linear layer by the weight of a shared one."""

    shared: Shared
    axis: Any
    at: Place


class OpArrow(Struct, frozen=True):
    """An op with some or all of its arguments, and the arrows of its operands."""

    op: type[Op]
    arguments: tuple[tuple[str, Any], ...]
    operands: tuple[tuple[str, Any], ...]
    at: Place


class BlockArrow(Struct, frozen=True):
    """A block or net with some or all of its arguments. `taps`: the labels whose values it gives, where not its own."""

    block: BlockValue
    arguments: tuple[tuple[str, Any], ...]
    at: Place
    taps: tuple[str, ...] = ()


class PipeArrow(Struct, frozen=True):
    stages: tuple[Any, ...]
    at: Place


class ArithArrow(Struct, frozen=True):
    """`first op value op value ...`, computed from the left. `first` or the first of the values is an arrow; a number
    stands for itself. A term is an operator, its value, and the place of all up to it."""

    first: Any
    terms: tuple[tuple[str, Any, Place], ...]
    at: Place

    @property
    def values(self) -> tuple[Any, ...]:
        return (self.first, *[value for _, value, _ in self.terms])


class LabelArrow(Struct, frozen=True):
    """`name: value` among the operands of an op."""

    name: str
    value: Any
    at: Place


class BodyArrow(Struct, frozen=True):
    """`{ statements }` with the names it reads from around it."""

    body: ast.Body
    module: Module
    captured: tuple[tuple[str, Any], ...]
    at: Place


class ResidualArrow(Struct, frozen=True):
    """`shortcut + drop_path(scale * body)`; the body alone where `when` is false."""

    body: Any
    shortcut: Any
    scale: float | None
    drop_path: float | None
    when: bool
    at: Place


class Builtin(Struct, frozen=True):
    """A function of Python's on plain values: `range`, `max`, ..."""

    name: str
    function: Callable[..., Any]
    word: str = "function"


class BlockValue:
    """A declared block or net and the file it stands in. Compared by identity."""

    __slots__ = ("declaration", "module")

    def __init__(self, declaration: ast.Block, module: Module) -> None:
        self.declaration = declaration
        self.module = module

    @property
    def name(self) -> str:
        return self.declaration.name.id

    @property
    def is_net(self) -> bool:
        return self.declaration.keyword == "net"


class Broken:
    """The value of an expression in which a mistake was found: whatever reads it stays silent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN = Broken()


class Several(Struct, frozen=True):
    """The flow after several inputs, of these names: nothing, until one is named."""

    names: tuple[str, ...]

    def hint(self) -> str:
        """The advice to begin with one of them."""
        return f"begin with one by name: {' or '.join(f'`{name} -> ...`' for name in self.names)}"


Arrow = Union[
    It,
    Tensor,
    Captured,
    Shared,
    SharedCall,
    TiedArrow,
    OpArrow,
    BlockArrow,
    PipeArrow,
    ArithArrow,
    LabelArrow,
    BodyArrow,
    ResidualArrow,
]
ARROWS = get_args(Arrow)


def is_arrow(value: object) -> bool:
    return isinstance(value, ARROWS)


def place_of(arrow: Any) -> Place:
    """Where an arrow is written, or what made the tensor that it is."""
    place: Place = arrow.wire.place if isinstance(arrow, Tensor) else arrow.at
    return place


LINK_OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "shortcut": ("a layer", is_arrow),
    "scale": ("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool)),
    "drop_path": ("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool)),
    "when": ("true or false", lambda v: isinstance(v, bool)),
}
"""What `residual` takes."""


def is_closed(value: Any) -> bool:
    """Whether an arrow takes nothing of the value that flows in: a named tensor, an op on such (`param` has none), a
    pipeline that begins with one. Blocks, shared layers and braces count as open, whatever they do with it."""
    spend(1)
    if isinstance(value, PipeArrow):
        return is_closed(value.stages[0])
    if isinstance(value, ArithArrow):
        return all(is_closed(term) for term in value.values if is_arrow(term))
    if isinstance(value, LabelArrow):
        return is_closed(value.value)
    if isinstance(value, OpArrow):
        return not value.op.takes_it and all(is_closed(operand) for _, operand in value.operands)
    return isinstance(value, Tensor)


def leaves(value: Any) -> Iterator[Any]:
    """The tensors and shared layers that a value refers to, in order."""
    if isinstance(value, Tensor | Shared):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, ARROWS):
        for field in value.__struct_fields__:
            yield from leaves(getattr(value, field))


def replace_tensors(value: Any, by: Callable[[Tensor], Any]) -> Any:
    """The value with every tensor in it replaced."""
    if isinstance(value, Tensor):
        return by(value)
    if isinstance(value, tuple):
        return tuple(replace_tensors(v, by) for v in value)
    if isinstance(value, ARROWS) and not isinstance(value, Shared):
        changed = {f: replace_tensors(getattr(value, f), by) for f in value.__struct_fields__}
        return type(value)(**changed)
    return value


def describe(value: object) -> str:
    """A value in the words of a message."""
    if isinstance(value, OpArrow):
        return f"the layer `{value.op.kind}`"
    if isinstance(value, BlockArrow):
        return f"the {value.block.declaration.keyword} `{value.block.name}`"
    if isinstance(value, Tensor | Captured):
        return "a tensor"
    if isinstance(value, Builtin | SharedWeight):
        return f"the {value.word} `{value.name}`"
    return described(value, "a layer")
