"""Activations: each is a row of a table. The name, PyTorch's module and function, the ONNX form, what it computes."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from netdsl.ops.base import Example, Graph, Operand, register
from netdsl.ops.elementwise import Elementwise, clip, elementwise
from netdsl.ops.lowering import gelu


def _mish(g: Graph, x: str, op: Any) -> Any:
    return g.op("Mish", x) if g.opset >= 18 else g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))


def _softplus(g: Graph, x: str, op: Any) -> Any:
    """`log(1 + exp(beta * x)) / beta`, and x itself where `beta * x > threshold`."""
    inner = x if op.beta == 1 else g.op("Mul", x, g.const(float(op.beta)))
    y = g.op("Softplus", inner)
    y = y if op.beta == 1 else g.op("Div", y, g.const(float(op.beta)))
    if op.threshold >= 17:  # beyond it float32 knows no difference
        return y
    return g.op("Where", g.op("Greater", inner, g.const(float(op.threshold))), x, y)


ROWS: tuple[tuple[Any, ...], ...] = (
    ("relu", "nn.ReLU", "F.relu", "Relu", "`max(x, 0)` (Nair & Hinton, 2010), as torch.nn.ReLU.", (), (),
     {"saves": "output"}),
    ("relu6", "nn.ReLU6", "F.relu6", lambda g, x, op: clip(g, x, 0, 6),
     "`min(max(x, 0), 6)` (Howard et al., 2017), as torch.nn.ReLU6."),
    ("leaky_relu", "nn.LeakyReLU", "F.leaky_relu", lambda g, x, op: g.op("LeakyRelu", x, alpha=op.negative_slope),
     "`x` where positive, otherwise `negative_slope * x` (Maas et al., 2013), as torch.nn.LeakyReLU.",
     (("negative_slope", float, 0.01),), ("leaky_relu(0.2)",), {"positional": 1}),
    ("elu", "nn.ELU", "F.elu", lambda g, x, op: g.op("Elu", x, alpha=op.alpha),
     "`x` where positive, otherwise `alpha * (exp(x) - 1)` (Clevert et al., 2016), as torch.nn.ELU.",
     (("alpha", float, 1.0),), ("elu(0.5)",), {"positional": 1}),
    ("selu", "nn.SELU", "F.selu", "Selu",
     "Self-normalising ELU: `1.0507 * elu(x, 1.6733)` (Klambauer et al., 2017), as torch.nn.SELU."),
    ("celu", "nn.CELU", "F.celu", lambda g, x, op: g.op("Celu", x, alpha=op.alpha),
     "`x` where positive, otherwise `alpha * (exp(x / alpha) - 1)` (Barron, 2017), as torch.nn.CELU.",
     (("alpha", Annotated[float, Meta(gt=0)], 1.0),), ("celu(0.5)",), {"positional": 1}),
    ("gelu", "nn.GELU", "F.gelu", lambda g, x, op: gelu(g, x, op.approximate or "none"),
     "`x * P(X <= x)` for a normal X (Hendrycks & Gimpel, 2016), as torch.nn.GELU; `approximate=tanh` is the formula "
     "with tanh that GPT-2 uses.", (("approximate", Literal["tanh"] | None, None),), ("gelu(approximate=tanh)",)),
    ("silu", "nn.SiLU", "F.silu", lambda g, x, op: g.op("Mul", x, g.op("Sigmoid", x)),
     "`x * sigmoid(x)`, also called swish (Elfwing et al., 2017; Ramachandran et al., 2017), as torch.nn.SiLU."),
    ("mish", "nn.Mish", "F.mish", _mish, "`x * tanh(softplus(x))` (Misra, 2019), as torch.nn.Mish."),
    ("hardswish", "nn.Hardswish", "F.hardswish", "HardSwish",
     "`x * relu6(x + 3) / 6` (MobileNetV3, Howard et al., 2019), as torch.nn.Hardswish."),
    ("hardsigmoid", "nn.Hardsigmoid", "F.hardsigmoid", lambda g, x, op: g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5),
     "`relu6(x + 3) / 6` (Howard et al., 2019), as torch.nn.Hardsigmoid.", (), (), {"zero_at_zero": False}),
    ("hardtanh", "nn.Hardtanh", "F.hardtanh", lambda g, x, op: clip(g, x, op.min_val, op.max_val),
     "`x` cut off at `min_val` and `max_val`, as torch.nn.Hardtanh.",
     (("min_val", float, -1.0), ("max_val", float, 1.0)), ("hardtanh(-0.5, 0.7)",),
     {"positional": 2, "rising": ("min_val", "max_val")}),
    ("sigmoid", "nn.Sigmoid", "torch.sigmoid", "Sigmoid", "`1 / (1 + exp(-x))`, as torch.nn.Sigmoid.", (), (),
     {"saves": "output", "zero_at_zero": False}),
    ("logsigmoid", "nn.LogSigmoid", "F.logsigmoid",
     lambda g, x, op: g.op("Neg", g.op("Softplus", g.op("Neg", x))), "`log(sigmoid(x))`, as torch.nn.LogSigmoid.",
     (), (), {"zero_at_zero": False}),
    ("tanh", "nn.Tanh", "torch.tanh", "Tanh", "The hyperbolic tangent, as torch.nn.Tanh.", (), (), {"saves": "output"}),
    ("tanhshrink", "nn.Tanhshrink", "F.tanhshrink", lambda g, x, op: g.op("Sub", x, g.op("Tanh", x)),
     "`x - tanh(x)`, as torch.nn.Tanhshrink."),
    ("softplus", "nn.Softplus", "F.softplus", _softplus,
     "`log(1 + exp(beta * x)) / beta`, and `x` itself where `beta * x > threshold`, as torch.nn.Softplus.",
     (("beta", float, 1.0), ("threshold", float, 20.0)), ("softplus(beta=2)", "softplus(beta=2, threshold=1)"),
     {"positional": 1, "zero_at_zero": False}),
    ("softsign", "nn.Softsign", "F.softsign", "Softsign", "`x / (1 + |x|)`, as torch.nn.Softsign."),
    ("softshrink", "nn.Softshrink", "F.softshrink",
     lambda g, x, op: g.op("Shrink", x, bias=op.lambd, lambd=op.lambd),
     "`x` moved towards 0 by `lambd`, and 0 within it, as torch.nn.Softshrink.",
     (("lambd", Annotated[float, Meta(ge=0)], 0.5),), ("softshrink(0.2)",), {"positional": 1}),
    ("hardshrink", "nn.Hardshrink", "F.hardshrink", lambda g, x, op: g.op("Shrink", x, bias=0.0, lambd=op.lambd),
     "`x` where `|x| > lambd`, otherwise 0, as torch.nn.Hardshrink.", (("lambd", float, 0.5),), ("hardshrink(0.2)",),
     {"positional": 1, "jumps": True}),
)  # fmt: skip

for _row in ROWS:
    elementwise(*_row)


@register("threshold")
class Threshold(Elementwise, frozen=True):
    """`x` where `x > threshold`, otherwise `value`, as torch.nn.Threshold."""

    threshold: float
    value: float

    positional = 2
    jumps = True
    module, function = "nn.Threshold", "F.threshold"
    examples = (Example("threshold(0.1, 0.5)"), Example("threshold(-0.2, 0)"))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        above = g.op("Greater", x[0].name, g.const(float(self.threshold)))
        return g.op("Where", above, x[0].name, g.const(float(self.value)))


@register("rrelu")
class RReLU(Elementwise, frozen=True):
    """Leaky ReLU whose slope is drawn from [lower, upper] while training, and is the mean of both at inference (Xu et
    al., 2015), as torch.nn.RReLU."""

    lower: float = 1 / 8
    upper: float = 1 / 3

    positional = 2
    module, function = "nn.RReLU", ""
    is_layer = True
    rising = ("lower", "upper")
    examples = (Example("rrelu"), Example("rrelu(0.1, 0.3)"))

    def alone(self) -> bool:
        return True

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("LeakyRelu", x[0].name, alpha=(self.lower + self.upper) / 2)
