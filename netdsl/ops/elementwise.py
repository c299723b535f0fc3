"""Functions of each number: `exp`, `log`, `sqrt` ... Each is a row of a table, as the activations are."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from msgspec import defstruct

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, X, register
from netdsl.ops.features import floating, number_for
from netdsl.ops.spatial import optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

Lowering = Callable[..., Any]
"""The ONNX form: `(graph, name of x, op)` to the name of the result."""


class Elementwise(Op, frozen=True):
    """The base of elementwise functions: the type stays. `module` is PyTorch's class, where there is one."""

    module: ClassVar[str]
    function: ClassVar[str]
    form: ClassVar[Lowering]
    whole: ClassVar[bool] = False
    """Whether it is one of whole numbers too, as `abs` is."""
    rising: ClassVar[tuple[str, str] | None] = None
    """Two arguments of which the first must be less than the second."""

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if self.rising is not None and getattr(self, self.rising[0]) >= getattr(self, self.rising[1]):
            low, high = self.rising
            raise OpError(f"`{low}` must be less than `{high}`", argument=high, code="argument-conflict")
        return inputs[0] if self.whole and "int" in inputs[0].dtype else floating(inputs[0], self.kind)

    def torch(self, *inputs: TensorType) -> Torch:
        fields, defaults = self.__struct_fields__, self.__struct_defaults__
        required = len(fields) - len(defaults)
        numbers = tuple(getattr(self, f) for f in fields[:required])
        given = dict(zip(fields[required:], defaults, strict=True))
        options = optional(given, **{f: getattr(self, f) for f in given})
        module = Call(self.module, numbers, options) if self.module else None
        return Torch(module, Call(self.function, (X(), *numbers), options) if self.function else None)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return type(self).form(g, x[0].name, self)


def elementwise(
    kind: str,
    module: str,
    function: str,
    lower: str | Lowering,
    doc: str,
    fields: tuple[tuple[str, Any, Any], ...] = (),
    examples: tuple[str, ...] = (),
    facets: Mapping[str, Any] = {},
) -> None:
    """Register one function of each number.

    `module` is empty where PyTorch has no class; `lower` is an ONNX node's name where that is all; `fields` are
    names, types and defaults; `facets` those of `Op` that are not as usual.
    """
    form = _node(lower) if isinstance(lower, str) else lower
    uses = (*(Example(e) for e in (kind, *examples)), Example(kind, ("[7]",)))
    uses += (Example(kind, ("[5] int64",)),) if facets.get("whole") else ()
    own = {"__doc__": doc, "module": module, "function": function, "form": staticmethod(form), "examples": uses}
    name = module.removeprefix("nn.") or kind.capitalize()
    register(kind)(defstruct(name, list(fields), bases=(Elementwise,), namespace={**own, **facets}, frozen=True))


def _node(op_type: str) -> Lowering:
    return lambda g, x, op: g.op(op_type, x)


for _kind, _node_name, _doc, _facets in (
    ("exp", "Exp", "`e ** x`", {"saves": "output", "zero_at_zero": False}),
    ("log", "Log", "The natural logarithm", {"zero_at_zero": False}),
    ("sqrt", "Sqrt", "The square root", {"saves": "output"}),
    ("absolute", "Abs", "`|x|`", {"whole": True}),
    ("neg", "Neg", "`-x`", {"saves": "nothing", "whole": True}),
    ("reciprocal", "Reciprocal", "`1 / x`", {"saves": "output", "zero_at_zero": False}),
    ("sin", "Sin", "The sine", {}),
    ("cos", "Cos", "The cosine", {"zero_at_zero": False}),
    ("erf", "Erf", "The error function", {}),
    ("sign", "Sign", "-1, 0 or 1", {"saves": "nothing", "whole": True, "jumps": True}),
    ("floor", "Floor", "The largest integer not above x", {"saves": "nothing", "jumps": True}),
    ("ceil", "Ceil", "The smallest integer not below x", {"saves": "nothing", "jumps": True}),
):
    elementwise(_kind, "", f"torch.{_kind}", _node_name, f"{_doc} of each number, as torch.{_kind}.", facets=_facets)

elementwise("square", "", "torch.square", lambda g, x, op: g.op("Mul", x, x),
            "`x * x` of each number, as torch.square.", facets={"whole": True})  # fmt: skip
elementwise("rsqrt", "", "torch.rsqrt", lambda g, x, op: g.op("Reciprocal", g.op("Sqrt", x)),
            "`1 / sqrt(x)` of each number, as torch.rsqrt.",
            facets={"saves": "output", "zero_at_zero": False})  # fmt: skip


def clip(g: Graph, x: str, low: float | None, high: float | None, dtype: str = "float32") -> Any:
    """`min(max(x, low), high)` in ONNX; None is no bound."""
    bounds = ["" if b is None else g.const(b, dtype) for b in (low, high)]
    return g.op("Clip", x, *(bounds if high is not None else bounds[:1]))


@register("clamp")
class Clamp(Elementwise, frozen=True):
    """`x` cut off at `min` and `max` (either may be `none`), as torch.clamp; whole numbers at whole bounds."""

    min: float | None = None
    max: float | None = None

    positional = 2
    whole = True
    module, function = "", "torch.clamp"
    examples = (
        Example("clamp(-0.2, 0.5)"), Example("clamp(min=1e-3)"), Example("clamp(max=0.5)"),
        Example("clamp(1, 3)", ("[5] int64",)), Example("clamp(max=2)", ("[5] int64",)),
    )  # fmt: skip

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if self.min is None and self.max is None:
            raise OpError("`clamp` needs `min` or `max`", code="missing-argument")
        self._bounds(inputs[0])
        return super().infer(assume, *inputs)

    def torch(self, *inputs: TensorType) -> Torch:
        bounds = tuple((n, b) for n, b in self._bounds(inputs[0]).items() if b is not None)
        return Torch(expression=Call(self.function, (X(),), bounds))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        bounds = self._bounds(x[0].type)
        return clip(g, x[0].name, bounds["min"], bounds["max"], x[0].type.dtype)

    def _bounds(self, x: TensorType) -> dict[str, int | float | None]:
        """The bounds as `x` holds them: PyTorch would make real numbers of whole ones. Raises OpError."""
        given = {"min": self.min, "max": self.max}
        if "int" not in x.dtype:
            return given
        return {n: b if b is None else number_for(x, b, self.kind, n) for n, b in given.items()}


@register("pow")
class Pow(Elementwise, frozen=True):
    """`x ** exponent` of each number, as torch.pow."""

    exponent: float

    positional = 1
    module, function = "", "torch.pow"
    examples = (Example("pow(2)"), Example("pow(0.5)"), Example("pow(3)", ("[7]",)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Pow", x[0].name, g.const(float(self.exponent)))
