"""Learnt numbers per feature: `scale`."""

from collections.abc import Mapping
from typing import Any

from netdsl.ops.base import Call, Example, Graph, Op, Operand, Param, Torch, register
from netdsl.ops.features import feature_size, features_at, floating
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

HELPER = '''\
class LayerScale(nn.Module):
    """A learnt factor per feature (Touvron et al., 2021)."""

    def __init__(self, shape: tuple[int, ...], init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full(shape, float(init)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
'''


@register("scale")
class Scale(Op, frozen=True):
    """A learnt factor per feature that starts at `init`: LayerScale (Touvron et al., 2021).

    Features are the last axis of `[F]` and `[L, D]`, and the channels of `[C, H, W]`; `axis=-1` takes the last axis
    whatever the rank.
    """

    init: float = 1.0
    axis: int | None = None

    layout = "along"
    positional = 1
    is_layer = True
    examples = (
        Example("scale(1e-6)"),
        Example("scale", ("[7]",)),
        Example("scale(0.1)", ("[5, 6]",)),
        Example("scale(0.1)", ("[2, 3, 4, 5]",)),
        Example("scale(axis=-1)"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        feature_size(inputs[0], self.axis)
        return floating(inputs[0], "scale")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return {"gamma": Param(self._shape(inputs[0]), "scale")}

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("LayerScale", (self._shape(inputs[0]), self.init)), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Mul", x[0].name, g.weight("gamma"))

    def as_affine(self, weights: Mapping[str, Any]) -> tuple[Any, Any]:
        gamma = weights["gamma"].reshape(-1)
        return gamma, gamma * 0

    def _shape(self, x: TensorType) -> tuple[int, ...]:
        """The factor's shape: as many axes of size 1 follow as the input has after its features."""
        return (feature_size(x, self.axis), *(1,) * (x.rank - 1 - features_at(x, self.axis)))
