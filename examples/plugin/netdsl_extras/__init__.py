"""An example of a plug-in: what recipes and specs can say. What it does in torch stands in `in_torch.py`, which is
imported when a training needs it, so that `netdsl check --plugin extras` stays quick."""

from __future__ import annotations

from typing import Any, ClassVar

from netdsl.plugins import (
    Augment,
    Call,
    Count,
    Data,
    Duration,
    Example,
    Graph,
    Loss,
    NonNegative,
    Op,
    Operand,
    Optimizer,
    Phase,
    Plugin,
    Positive,
    TensorType,
    Torch,
)

plugin = Plugin("extras", version="0.1")

SNAKE = '''
class Snake(nn.Module):
    """x + sin(a x)^2 / a (Ziyin et al. 2020)."""

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.frequency * x) ** 2 / self.frequency
'''


@plugin.op("snake")
class Snake(Op, frozen=True):
    """x + sin(a x)^2 / a with the frequency a, an activation for periodic data (Ziyin et al. 2020)."""

    frequency: Positive = 1.0
    positional = 1
    examples = (Example("snake"), Example("snake(0.5)", ("[7]",)))

    def infer(self, assume: Any, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        given = () if self.frequency == 1.0 else (("frequency", self.frequency),)
        return Torch(Call("Snake", (), given), helper=SNAKE)

    def onnx(self, g: Graph, *x: Operand) -> str:
        wave = g.op("Sin", g.op("Mul", x[0].name, g.const(self.frequency)))
        square = g.op("Div", g.op("Mul", wave, wave), g.const(self.frequency))
        return str(g.op("Add", x[0].name, square))


@plugin.augmentation("netdsl_extras.in_torch:gamma")
class Gamma(Augment, frozen=True, tag="gamma"):
    """Pixels to the power of a gamma drawn from [1 / most, most], the same distance up and down in its logarithm."""

    most: Positive = 1.5


@plugin.loss("netdsl_extras.in_torch:poly1")
class Poly1(Loss, frozen=True, kw_only=True, tag="poly1"):
    """Cross entropy + epsilon * (1 - p), with p the probability of the true class."""

    source: ClassVar[str] = "Leng et al. 2022 (PolyLoss)"
    epsilon: NonNegative = 1.0


plugin.metric(
    "matthews", "netdsl_extras.in_torch:matthews", tasks=("classes",), said="Matthews correlation", higher=True
)


@plugin.optimizer("netdsl_extras.in_torch:signum")
class Signum(Optimizer, frozen=True, kw_only=True, tag="signum"):
    """The sign of the momentum of the gradient, with decoupled weight decay."""

    source: ClassVar[str] = "Bernstein et al. 2018"
    momentum: NonNegative = 0.9


@plugin.schedule("netdsl_extras.in_torch:inverse_sqrt")
class InverseSqrt(Phase, frozen=True, kw_only=True, tag="inverse_sqrt"):
    """lr * sqrt(after / (after + t)): the decay of the transformer, behind a warm-up of `after`."""

    source: ClassVar[str] = "Vaswani et al. 2017"
    after: Duration


@plugin.reader("netdsl_extras.in_torch:two_moons")
class TwoMoons(Data, frozen=True, tag="two_moons"):
    """Two half circles that reach into each other: points [2] of two classes, drawn by formulas."""

    gives: ClassVar[Any] = "columns"
    samples: Count = 1000
    noise: NonNegative = 0.1

    def class_count(self) -> int:
        return 2
