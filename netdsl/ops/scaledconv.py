"""Convolution for nets without normalisation: `scaled_conv`."""

from collections.abc import Mapping
from typing import Any

from netdsl.ops.base import Example, Graph, Op, Operand, OpError, Param, Torch, register
from netdsl.ops.conv import Conv, standardized
from netdsl.ops.spatial import optional
from netdsl.tensors import TensorType

HELPER = '''\
class ScaledStdConv2d(nn.Conv2d):
    """Convolution with scaled weight standardisation (Brock et al., 2021) and learnt gains."""

    def __init__(
        self, *args: int, gamma: float = 1.0, eps: float = 1e-6, gain: float = 1.0, **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), gain))
        self.scale = gamma * self.weight[0].numel() ** -0.5
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) * (torch.rsqrt(var + self.eps) * self.scale * self.gain)
        return self._conv_forward(x, weight, self.bias)
'''


@register("scaled_conv")
class ScaledConv(Conv, frozen=True):
    """Convolution with scaled weight standardisation (Brock et al., 2021), for nets without normalisation.

    A filter of fan-in n is `gain * gamma / sqrt(n) * (weight - mean) / sqrt(var + eps)`: `gain` is learnt, one number
    per filter, and starts at the given number; `gamma` makes up for what the activation before it takes of the variance
    (1.7139 for ReLU, 1.7015 for GELU). All else is as for `conv`, for images `[C, H, W]`.
    """

    gamma: float = 1.0
    gain: float = 1.0

    positional = 2
    examples = (
        Example("scaled_conv(6, 3)"),
        Example("scaled_conv(6, 3, stride=2, groups=2, gamma=1.7, gain=0, eps=1e-5)"),
        Example("scaled_conv(5, 1, bias=false)"),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        if inputs[0].rank != 3:
            raise OpError(f"`scaled_conv` needs an image [C, H, W], found {inputs[0]}", operand=0)
        if self.weight_standardization or self.padding_mode != "zeros":
            name = "padding_mode" if self.padding_mode != "zeros" else "weight_standardization"
            raise OpError(f"`scaled_conv` takes no `{name}`", argument=name, code="argument-conflict")
        return super().resolve(*inputs)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return super().params(*inputs) | {"gain": Param((self.out_channels, 1, 1, 1), "scale")}

    def torch(self, *inputs: TensorType) -> Torch:
        form = super().torch(*inputs).module
        assert form is not None
        own = optional({"gamma": 1.0, "eps": 1e-6, "gain": 1.0}, gamma=self.gamma, eps=self.eps, gain=self.gain)
        return Torch(type(form)("ScaledStdConv2d", form.args, (*form.kwargs, *own)), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        filters = standardized(g.array("weight"), self.eps)
        scale = self.gamma * float(filters[0].size) ** -0.5
        weight = g.const(filters * (g.array("gain") * scale))
        kernel, stride, padding, dilation = self._windows()
        bias = [g.weight("bias")] if self.bias else []
        return g.op(
            "Conv", x[0].name, weight, *bias,
            kernel_shape=kernel, strides=stride, pads=(*padding, *padding), dilations=dilation, group=self.groups,
        )  # fmt: skip

    def absorb(self, weights: Mapping[str, Any], scale: Any, shift: Any) -> None:
        return None
