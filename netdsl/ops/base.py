"""The definition of an op: one frozen struct in one file, with a closed set of facets.

The fields of an op class are its attributes, with PyTorch's names; an instance is the payload of the IR. Every facet
is given the types of the op's inputs (`TensorType`, one sample, no batch axis) and answers one question. Facets are
pure and import neither torch nor onnx: the PyTorch form is data (`Torch`), the ONNX form speaks to a `Graph`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

from msgspec import Struct

from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import UNCLEAR, TensorType, joined


class OpError(Exception):
    """A mistake in how an op is used.

    `argument` names the argument to blame, `operand` the index of the input to blame (both may be absent); `hint` says
    what would fix it. The elaborator turns it into a diagnostic at the right span.
    """

    def __init__(
        self,
        message: str,
        *,
        argument: str | None = None,
        operand: int | None = None,
        hint: str | None = None,
        code: str = "shape-mismatch",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.operand = operand
        self.hint = hint
        self.code = code


class Param(Struct, frozen=True):
    """A trainable tensor of a layer.

    `role` is what recipes select by: conv, linear, norm, bias, scale, embedding, position, gate, recurrent.
    """

    shape: tuple[int, ...]
    role: str


class Buffer(Struct, frozen=True):
    """A tensor of a layer's state that is not trained: running statistics, counters, fixed tables."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    persistent: bool = True


class X(Struct, frozen=True):
    """The value of the op's input number `index`, in a PyTorch form."""

    index: int = 0


class Code(Struct, frozen=True):
    """Literal PyTorch text inside a form, for what is not a number or a string (`torch.int64`)."""

    text: str


class Field(Struct, frozen=True):
    """A number of a form that is the op's argument `name`: printed as the author's argument, where it is one."""

    name: str
    value: int


NAMED = ":="
"""The call of a name (as `Code`) and a form: the form, which has that name where it is used several times."""


class Call(Struct, frozen=True):
    """A call in a PyTorch form: `name(*args, **kwargs)`.

    A name that starts with a dot is a method of the first argument, a name that is an operator stands between the two
    arguments (before a single one), and `[]` indexes the first argument by the others. Arguments are numbers, strings,
    tuples, `X`, `Code`, sizes or further calls. Numbers stay data, so that the emitter can print blocks that differ
    only in numbers as one class.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


class Torch(Struct, frozen=True):
    """The PyTorch form of an op: a module, an expression, or both.

    `module` constructs the layer, which is called with the inputs; `expression` computes the value in a forward
    method. An op with both (an activation) is a module inside `nn.Sequential` and an expression elsewhere. `parameter`
    constructs the tensor of an `nn.Parameter` attribute, which is read, not called; `buffer` that of an `nn.Buffer`,
    which is neither trained nor saved. `helper` is the source of the class (or function) that the form refers to,
    printed once per file with those of its options (see `ops.helper`) that are arguments of the module's, or among
    `options`, in some form. `owns` names tensors of the op's layer that the expression reads behind its inputs.
    `imports`: modules other than torch's that the form's names stand in, by their full names.
    """

    module: Call | None = None
    expression: Call | X | None = None
    parameter: Call | None = None
    buffer: Call | None = None
    helper: str = ""
    owns: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


class Operand(Struct, frozen=True):
    """A value in an ONNX graph: its name and its type (without the batch axis)."""

    name: str
    type: TensorType


class Graph(Protocol):
    """The interface for an op's ONNX form: add nodes and constants, and read its own weights."""

    opset: int

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; returns its output name, or a tuple of `outputs` names. An empty input name is an absent one."""

    def const(self, value: Any, dtype: str = "float32") -> str:
        """A constant tensor from numbers, nested sequences or an array; a bare number keeps rank 0."""

    def weight(self, name: str) -> str:
        """The initialiser of this layer's parameter or buffer `name`."""

    def array(self, name: str) -> Any:
        """The values (a numpy array) of this layer's parameter or buffer `name`, for forms that rearrange weights."""

    def shape(self, *sizes: Dim, batch: bool = True) -> str:
        """An int64 vector holding a shape (with the batch size first), computed in the graph where it is symbolic."""


class Window(Struct, frozen=True):
    """How far a local op looks: kernel extent (dilation counted), stride and padding at the start, per spatial axis.

    `transposed`: the other way round, as a transposed convolution with these numbers does: position `i` of the input
    reaches the outputs from `i * stride - padding` on. Upsampling by 2 is size 2, stride 2; cropping 3 is size 1,
    padding -3.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    transposed: bool = False


GLOBAL = "global"
"""The window of an op that looks at the whole image."""

Input = str
"""The type of an example's input as it is written in a spec: `[3, 9, 12]`, `[5] int64`."""


class Example(Struct, frozen=True):
    """A use of an op, written in the language, on inputs named `x`, `y`, `z`: checked against torch and onnxruntime."""

    text: str
    inputs: tuple[Input, ...] = ("[4, 8, 9]",)


class Op(Struct, frozen=True):
    """Base of all ops. The docstring of an op is its reference page."""

    kind: ClassVar[str]
    """The name in the language."""
    operands: ClassVar[tuple[str, ...]] = ()
    """Names of arguments that are values (arrows), besides the value that flows in."""
    optional_operands: ClassVar[tuple[str, ...]] = ()
    """Those that may be left out, from the last on."""
    variadic: ClassVar[bool] = False
    """Takes any number of values by position (`concat`)."""
    positional: ClassVar[int] = 0
    """How many of its arguments may be given by position: those that cannot be taken for another of PyTorch's."""
    unpacked: ClassVar[str] = ""
    """The argument that asks for further results: set where they are named (`y, h, c = lstm(64)`)."""
    named_sizes: ClassVar[str] = ""
    """The argument that collects further ones given by names of the author's choice (`rearrange("...", p=2)`)."""
    is_table: ClassVar[bool] = False
    """Whether it gives numbers that depend on nothing: what follows from them alone is computed once."""
    takes_it: ClassVar[bool] = True
    """Whether the value that flows in is the first input."""
    is_layer: ClassVar[bool] = False
    """Whether it owns a path: parameters, buffers, or a rate that training may change."""
    layer_names: ClassVar[tuple[str, ...]] = ()
    """What an unnamed layer of it may be called, where that is not its kind."""
    vanishes: ClassVar[bool] = False
    """Whether it is the identity at inference (dropout)."""
    examples: ClassVar[tuple[Example, ...]] = ()
    saves: ClassVar[Literal["inputs", "output", "nothing", "view"]] = "inputs"
    """What PyTorch keeps of a call until the backward pass. The result of a `view` is the memory of its first input."""
    saves_beside: ClassVar[int] = 0
    """Further numbers it keeps, in float32 numbers for each one of the result (an int64 counts twice)."""
    zero_at_zero: ClassVar[bool] = True
    """Whether it gives 0 for 0, with the arguments it has by default."""
    jumps: ClassVar[bool] = False
    """Whether its result may jump where its last input changes by as little as rounding: at a threshold, at a tie."""
    has_dropout: ClassVar[bool] = False
    """Whether a recipe's `dropout` sets its rate."""
    takes_integers: ClassVar[bool] = False
    """Whether a layer with weights looks them up by integers (`embed`), where others compute with float32."""
    without_onnx: ClassVar[str] = ""
    """Of a plug-in's op: why it has no ONNX form, for the message that refuses an export."""
    layout: ClassVar[Literal["any", "channels", "sequence", "along"]] = "any"
    """Where it takes the features to be: on the first axis (`channels` of an image), on the last (a `sequence` of
    vectors), `along` its argument `axis`, by default where they are, or it makes no difference."""
    laid_out: ClassVar[int] = 1
    """How many of its inputs, from the first on, have that layout."""
    hints: ClassVar[dict[str, str]] = {}
    """What to say, by argument, to a person who wrote a value of another type, or none where one is needed."""

    def resolve(self, *inputs: TensorType) -> "Op":
        """The op with its arguments made exact for these inputs (`3` becomes `(3, 3)`); may be another op."""
        return self

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        """The type of the result, or the types of several. Raises OpError; records what it must assume of sizes."""
        raise NotImplementedError

    def layout_of(self, x: TensorType) -> str:
        """Its `layout` for such an input, where that follows from its arguments."""
        return self.layout

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        """Where the features of a result are: an axis, `UNCLEAR`, or None where only its rank says so."""
        if self.layout == "channels":
            return 0
        return result.rank - 1 if self.layout == "sequence" else joined(result.rank, inputs)

    def layer_name(self, *inputs: TensorType) -> str:
        """The name of a layer of this op that the author gave none."""
        return self.kind

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        """Parameters in PyTorch's registration order."""
        return {}

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        """State that is not trained, in PyTorch's registration order."""
        return {}

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        """Multiply-accumulates of convolutions, linears and matrix products for one sample; 0 for all else."""
        return 0

    def torch(self, *inputs: TensorType) -> Torch:
        """The PyTorch form."""
        raise NotImplementedError

    def onnx(self, g: Graph, *x: Operand) -> Any:
        """Add the ONNX form to a graph; returns the name of the result, or a tuple of names."""
        raise NotImplementedError

    def window(self, *inputs: TensorType) -> Window | str | None:
        """The receptive field: a Window, GLOBAL, or None for an op that works at each position."""
        return None

    def alone(self) -> bool:
        """Whether seeds of a net with it are trained one by one: in a batched model of all (torch.vmap) it would draw
        other numbers, see those of other runs, or have no rule. `tests/training/test_stack.py` tries every op."""
        return False

    def as_affine(self, weights: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """`(scale, shift)` per feature where the op is `x * scale + shift` at inference, from arrays; else None."""
        return None

    def absorb(self, weights: Mapping[str, Any], scale: Any, shift: Any) -> "tuple[Op, dict[str, Any]] | None":
        """The op and weights that give `self(x) * scale + shift` per output feature, or None where it cannot."""
        return None


def argument(op: Op, name: str, absent: Any = None) -> Any:
    """The value of an op's argument; `absent` for an op that has none of this name."""
    return getattr(op, name, absent)


REGISTERED: dict[str, type[Op]] = {}
"""The ops of the families imported so far, by name."""


def register(kind: str) -> Any:
    """Class decorator: makes an op known to the language under `kind`."""

    def add(cls: type[Op]) -> type[Op]:
        assert kind not in REGISTERED, kind
        cls.kind = kind
        REGISTERED[kind] = cls
        return cls

    return add


def require(verdict: str, message: str, **blame: Any) -> None:
    """Raise OpError where an assumption can never hold."""
    if verdict == IMPOSSIBLE:
        raise OpError(message, **blame)


def feature_axis(x: TensorType) -> int:
    """The axis `linear` and `layernorm` act on: where the features are; where only the rank says so, the last of
    `[L, D]` and `[F]`, the channels of `[C, H, W]`."""
    if x.features is not None and x.features != UNCLEAR:
        return x.features
    return x.rank - 1 if x.rank <= 2 else 0


def known(size: Dim, what: str, *, operand: int = 0, hint: str = "") -> int:
    """A size that weights depend on, which must be a number. Raises OpError for a symbolic one."""
    if isinstance(size, int):
        return size
    raise OpError(
        f"{what} must be a number to size the weights, found `{size}`",
        operand=operand,
        hint=hint
        or "weights cannot depend on the image: average over it (`gap`), or fix the size with "
        f"`--size {min(map(str, _names(size)))}=...`",
        code="symbolic-weight",
    )


def _names(size: Dim) -> frozenset[str]:
    from netdsl.sizes.dims import symbols

    return symbols(size)
