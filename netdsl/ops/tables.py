"""Numbers that depend on no input: `arange`, `linspace`, and what ordinary ops make of them, kept as one buffer."""

from typing import Any, ClassVar

from msgspec import Struct

from netdsl.ops.base import NAMED, Buffer, Call, Code, Example, Graph, Op, Operand, OpError, Torch, X, register
from netdsl.ops.described import described
from netdsl.ops.spatial import Positive
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Size
from netdsl.tensors import TensorType

LONGEST = 1_000_000
"""The most numbers that `arange` and `linspace` give."""


def _number(value: Any, argument: str) -> int | float:
    """An argument that is a number. Raises OpError for a named size and for all else."""
    if isinstance(value, Size):
        message = f"a table is computed once, before `{value}` is known"
        hint = f"make it as long as it may become, and cut it by `narrow(0, {value})`"
        raise OpError(message, argument=argument, code="symbolic-size", hint=hint)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise OpError(
            f"`{argument}` must be a number, found {described(value)}", argument=argument, code="argument-value"
        )
    return value


@register("arange")
class Arange(Op, frozen=True):
    """Numbers from `start` up to `end` (not included) by `step`, as torch.arange; `arange(5)` are 0 to 4. Whole numbers
    are int64, others float32. It is a table: computed once, whatever flows in."""

    start: Any
    end: Any = None
    step: Any = 1

    positional = 3
    takes_it = False
    is_table = True
    saves = "nothing"
    examples = (
        Example("arange(5)", ()),
        Example("arange(2, 9, 3)", ()),
        Example("arange(5, 0, -2)", ()),
        Example("arange(0.5, 3)", ()),
        Example("arange(0, 1, 0.25)", ()),
    )

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        start, end, step = numbers = self._bounds()
        if step == 0:
            raise OpError("a step of 0 leads nowhere", argument="step", code="argument-value")
        count = -int((start - end) // step)
        if count < 1:
            message = f"there are no numbers from {start} to {end} by {step}"
            raise OpError(message, argument="start", code="argument-value")
        _check_length(count, "start")
        whole = all(isinstance(n, int) for n in numbers)
        return TensorType((count,), "int64" if whole else "float32", batched=False)

    def torch(self, *inputs: TensorType) -> Torch:
        start, end, step = self._bounds()
        bounds = (end,) if start == 0 and step == 1 else (start, end) if step == 1 else (start, end, step)
        dtype = self.infer(Assumptions()).dtype
        whole = all(isinstance(n, int) for n in bounds) == (dtype == "int64")
        options = () if whole else (("dtype", Code(f"torch.{dtype}")),)
        return Torch(expression=_with_batch(Call("torch.arange", bounds, options)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        kind = self.infer(Assumptions())
        (count,) = kind.shape
        assert isinstance(count, int)
        start, _, step = self._bounds()
        return g.const([[start + i * step for i in range(count)]], kind.dtype)

    def _bounds(self) -> tuple[Any, Any, Any]:
        start, step = _number(self.start, "start"), _number(self.step, "step")
        return (0, start, step) if self.end is None else (start, _number(self.end, "end"), step)


def _with_batch(vector: Call) -> Call:
    """A vector with the axis of the batch, of size 1."""
    return Call("[]", (vector, Code("None")))


def _check_length(count: int, argument: str) -> None:
    if count > LONGEST:
        raise OpError(f"a table has at most {LONGEST:,} numbers", argument=argument, code="too-large")


@register("linspace")
class Linspace(Op, frozen=True):
    """`steps` numbers at equal distances from `start` to `end`, both included, as torch.linspace. It is a table:
    computed once, whatever flows in."""

    start: float
    end: float
    steps: Positive

    positional = 3
    takes_it = False
    is_table = True
    saves = "nothing"
    examples = (
        Example("linspace(0, 1, 5)", ()),
        Example("linspace(-1.5, 3, 4)", ()),
        Example("linspace(2, 3, 1)", ()),
    )

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        _check_length(self.steps, "steps")
        return TensorType((self.steps,), batched=False)

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=_with_batch(Call("torch.linspace", (self.start, self.end, self.steps))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        gap = (self.end - self.start) / max(1, self.steps - 1)
        return g.const([[self.start + i * gap for i in range(self.steps)]])


class Expression(Struct, frozen=True):
    """An op on the values of further expressions, with their types. `name`: what the author calls its value, which
    changes nothing of it: neither its equals nor its text have it."""

    op: Op
    inputs: tuple["Expression", ...]
    type: TensorType
    name: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __repr__(self) -> str:
        return f"Expression(op={self.op!r}, inputs={self.inputs!r}, type={self.type!r})"

    @property
    def _content(self) -> tuple[Any, ...]:
        return self.op, self.inputs, self.type

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(i.type for i in self.inputs)


class Table(Op, frozen=True):
    """Numbers that follow from `arange` and `linspace`, computed once: elaboration makes it of the ops that a spec
    writes. Its value has the axis of the batch, of size 1, as those of the two have."""

    expression: Expression

    kind: ClassVar[str] = "table"
    takes_it = False
    is_layer = True
    saves = "nothing"

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return self.expression.type

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        kind = self.expression.type
        return {"": Buffer((1, *(s for s in kind.shape if isinstance(s, int))), kind.dtype, persistent=False)}

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(buffer=_composed(self.expression))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return _added(g, self.expression, {})


def _composed(expression: Expression) -> Any:
    """The PyTorch form of an expression: those of its ops, one inside the other, named where the author does."""
    form = expression.op.torch(*expression.types).expression
    made = _filled(form, [_composed(i) for i in expression.inputs])
    return Call(NAMED, (Code(expression.name), made)) if expression.name else made


def _filled(form: Any, values: list[Any]) -> Any:
    """A form with the values of its inputs in their places."""
    if isinstance(form, X):
        return values[form.index]
    if isinstance(form, tuple):
        return tuple(_filled(f, values) for f in form)
    if isinstance(form, Call):
        named = tuple((n, _filled(v, values)) for n, v in form.kwargs)
        return Call(form.name, tuple(_filled(a, values) for a in form.args), named)
    return form


def _added(g: Graph, expression: Expression, known: dict[Expression, str]) -> str:
    """The ONNX form of an expression, each part once."""
    if expression not in known:
        operands = [Operand(_added(g, i, known), i.type) for i in expression.inputs]
        known[expression] = str(expression.op.onnx(g, *operands))
    return known[expression]
