"""Convolutions over one, two or three spatial axes: `conv`, `dwconv`, `patchify`, `upconv`."""

from collections.abc import Mapping
from math import gcd
from typing import Any, ClassVar, Literal

from msgspec.structs import replace

from netdsl.ops.base import (
    Buffer,
    Call,
    Example,
    Graph,
    Op,
    Operand,
    OpError,
    Param,
    Torch,
    Window,
    known,
    register,
    require,
)
from netdsl.ops.features import nearest_divisor
from netdsl.ops.lowering import padded
from netdsl.ops.spatial import (
    Margin,
    Padding,
    Positive,
    Spatial,
    compact,
    extent,
    optional,
    per_axis,
    spatial_rank,
    window_output,
)
from netdsl.ops.weightnorm import Normed
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType

STANDARDIZE_HELPER = '''\
class StdConv2d(nn.Conv2d):
    """Convolution with weight standardisation (Qiao et al., 2019)."""

    def __init__(self, *args: int, eps: float = 1e-6, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return self._conv_forward(x, (self.weight - mean) * torch.rsqrt(var + self.eps), self.bias)
'''


@register("conv")
class Conv(Op, frozen=True):
    """Convolution over the image (1d on `[C, L]`, 2d on `[C, H, W]`, 3d on `[C, D, H, W]`), as torch.nn.Conv2d.

    The input width is inferred. `padding=same` (the default) keeps the image's size at stride 1 and pads
    `dilation * (kernel_size - 1) / 2` on both sides, so the kernel must be odd. `weight_standardization` gives each
    filter mean 0 and variance 1 before it is applied (Qiao et al., 2019), with `eps` added to the variance.
    `weight_norm` learns length and direction of each filter apart (Salimans & Kingma, 2016), `spectral_norm` divides
    the weight by its largest singular value (Miyato et al., 2018), as PyTorch's parametrizations.
    """

    out_channels: Positive
    kernel_size: Spatial
    stride: Spatial = 1
    padding: Padding = "same"
    dilation: Spatial = 1
    groups: Positive = 1
    bias: bool = True
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    weight_standardization: bool = False
    eps: float = 1e-6
    weight_norm: bool = False
    spectral_norm: bool = False

    layout = "channels"
    positional = 2
    is_layer = True
    examples: ClassVar[tuple[Example, ...]] = (
        Example("conv(6, 3)"),
        Example("conv(6, 3, stride=2, bias=false)"),
        Example("conv(8, (3, 5), padding=(0, 2), dilation=(2, 1), groups=2)"),
        Example("conv(6, 4, stride=2, padding=1)", ("[3, 11, 10]",)),
        Example("conv(5, 3, padding_mode=reflect)"),
        Example("conv(5, 3, padding_mode=replicate)"),
        Example("conv(5, (3, 5), padding_mode=circular)"),
        Example("conv(5, 3, padding_mode=circular, stride=2)", ("[4, 9]",)),
        Example("conv(6, 3, weight_standardization=true)"),
        Example("conv(6, 3, weight_standardization=true, eps=0.1)"),
        Example("conv(6, 3, weight_norm=true)", ("[4, 9]",)),
        Example("conv(6, 3, weight_norm=true, bias=false, groups=2)"),
        Example("conv(6, 3, spectral_norm=true, stride=2)"),
        Example("conv(6, 3, stride=2)", ("[3, 20]",)),
        Example("conv(4, 3)", ("[2, 5, 6, 7]",)),
    )

    def alone(self) -> bool:
        return self._normed().active

    def resolve(self, *inputs: TensorType) -> Op:
        axes = spatial_rank(inputs[0], "conv")
        standardized_ = self.weight_standardization or self.kind != "conv"
        self._normed().check("weight_standardization" if standardized_ else "")
        if self.eps != 1e-6 and not self.weight_standardization and self.kind == "conv":
            raise OpError("`eps` needs `weight_standardization=true`", argument="eps", code="argument-conflict")
        if self.weight_standardization and axes != 2:
            message = f"`weight_standardization` is for images [C, H, W], found {inputs[0]}"
            raise OpError(message, argument="weight_standardization", code="argument-conflict")
        kernel = per_axis(self.kernel_size, axes, "kernel_size")
        dilation = per_axis(self.dilation, axes, "dilation")
        if self.padding == "same":
            if any(d * (k - 1) % 2 for k, d in zip(kernel, dilation, strict=True)):
                raise OpError(
                    f"`padding=same` needs an odd kernel, found kernel_size {compact(kernel)}",
                    argument="kernel_size",
                    code="even-kernel",
                    hint="give `padding=` a number, or tile the image with "
                    f"`patchify({self.out_channels}, {compact(kernel)})`",
                )
            padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
        else:
            padding = per_axis(self.padding, axes, "padding")
        stride = per_axis(self.stride, axes, "stride")
        return replace(self, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        channels = known(x.shape[0], "the number of channels")
        check_groups(self.groups, channels, self.out_channels)
        sizes = []
        for size, k, s, p, d in zip(x.spatial, *self._windows(), strict=True):
            output = window_output(size, k, s, p, d)
            message = f"a kernel of {d * (k - 1) + 1} does not fit a size of {size} with padding {p}"
            hint = (
                "it may mean `padding=same`, which keeps the size"
                if all(size % 2 for size in self._windows()[0])
                else None
            )
            require(assume.at_least(output, 1), message, argument="kernel_size", code="kernel-too-large", hint=hint)
            if self.padding_mode in ("reflect", "circular"):
                least, verb = (p + 1, "reflect") if self.padding_mode == "reflect" else (p, "wrap")
                require(assume.at_least(size, least), f"cannot {verb} {p} of a size of {size}", argument="padding")
            sizes.append(output)
        return x.with_shape(self.out_channels, *sizes)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        channels = known(inputs[0].shape[0], "the number of channels")
        weight = Param((self.out_channels, channels // self.groups, *self._windows()[0]), "conv")
        bias = {"bias": Param((self.out_channels,), "bias")} if self.bias else {}
        return self._normed().params({"weight": weight} | bias)

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        return self._normed().buffers(replace(self, spectral_norm=False, weight_norm=False).params(*inputs)["weight"])

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        channels = known(inputs[0].shape[0], "the number of channels")
        return product(self._windows()[0]) * (channels // self.groups) * product(output.shape)

    def torch(self, *inputs: TensorType) -> Torch:
        kernel, stride, padding, dilation = map(compact, self._windows())
        options = optional(
            {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros"},
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=self.groups,
            bias=self.bias,
            padding_mode=self.padding_mode,
        )
        name = f"nn.Conv{inputs[0].rank - 1}d"
        if self.weight_standardization:
            name, options = "StdConv2d", (*options, *optional({"eps": 1e-6}, eps=self.eps))
        helper = STANDARDIZE_HELPER if self.weight_standardization else ""
        layer = Call(name, (inputs[0].shape[0], self.out_channels, kernel), options)
        return Torch(self._normed().wrapped(layer), helper=helper)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        kernel, stride, padding, dilation = self._windows()
        weight = self._normed().stored(g)
        if self.weight_standardization:
            weight = g.const(standardized(g.array("weight"), self.eps))
        data, pads = x[0].name, (*padding, *padding)
        if self.padding_mode != "zeros" and any(padding):
            data, pads = padded(g, data, ((0, 0), *((p, p) for p in padding)), self.padding_mode), (0,) * len(pads)
        bias = [g.weight("bias")] if self.bias else []
        return g.op(
            "Conv", data, weight, *bias,
            kernel_shape=kernel, strides=stride, pads=pads, dilations=dilation, group=self.groups,
        )  # fmt: skip

    def window(self, *inputs: TensorType) -> Window:
        kernel, stride, padding, dilation = self._windows()
        return Window(extent(kernel, dilation), stride, padding)

    def absorb(self, weights: Mapping[str, Any], scale: Any, shift: Any) -> tuple[Op, dict[str, Any]] | None:
        if self.weight_standardization or self._normed().active:
            return None
        return absorb_outputs(self, weights, scale, shift, axis=0)

    def _normed(self) -> Normed:
        return Normed(self.weight_norm, self.spectral_norm)

    def _windows(self) -> tuple[Any, Any, Any, Any]:
        return self.kernel_size, self.stride, self.padding, self.dilation


def standardized(weight: Any, eps: float) -> Any:
    """An array of filters, each with mean 0 and variance 1."""
    axes = tuple(range(1, weight.ndim))
    centred = weight - weight.mean(axes, keepdims=True, dtype="float64").astype(weight.dtype)
    return centred / (weight.var(axes, keepdims=True) + eps) ** 0.5


def check_groups(groups: int, inputs: int, outputs: int) -> None:
    """Raise OpError unless `groups` divides both widths."""
    for width, which in ((inputs, "input"), (outputs, "output")):
        if width % groups:
            raise OpError(
                f"{groups} groups do not divide the {width} {which} channels",
                argument="groups",
                code="indivisible",
                hint=f"`groups={nearest_divisor(gcd(inputs, outputs), groups)}` would",
            )


def absorb_outputs(op: Any, weights: Mapping[str, Any], scale: Any, shift: Any, axis: int) -> tuple[Op, dict[str, Any]]:
    """The op and weights whose outputs are scaled and shifted per feature along `axis` of the weight."""
    weight = weights["weight"]
    across = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    bias = weights["bias"] * scale + shift if op.bias else shift
    return replace(op, bias=True), {"weight": weight * across, "bias": bias}


@register("dwconv")
class DepthwiseConv(Op, frozen=True):
    """Depthwise convolution: one filter per channel, `conv(C, kernel_size, groups=C)` (MobileNet, Howard et al.,
    2017)."""

    kernel_size: Spatial
    stride: Spatial = 1
    padding: Padding = "same"
    dilation: Spatial = 1
    bias: bool = True

    layout = "channels"
    positional = 1
    is_layer = True
    examples = (Example("dwconv(3)"), Example("dwconv(5, stride=2, bias=false)"))

    def resolve(self, *inputs: TensorType) -> Op:
        spatial_rank(inputs[0], "dwconv")
        channels = known(inputs[0].shape[0], "the number of channels")
        conv = Conv(channels, self.kernel_size, self.stride, self.padding, self.dilation, channels, self.bias)
        return conv.resolve(*inputs)


@register("patchify")
class Patchify(Op, frozen=True):
    """Cut the image into patches and embed each: `conv(out_channels, k, stride=k, padding=0)` (the stems of ViT and
    ConvNeXt)."""

    out_channels: Positive
    kernel_size: Spatial
    bias: bool = True

    layout = "channels"
    positional = 2
    is_layer = True
    examples = (Example("patchify(6, 4)", ("[3, 8, 12]",)),)

    def resolve(self, *inputs: TensorType) -> Op:
        conv = Conv(self.out_channels, self.kernel_size, self.kernel_size, 0, bias=self.bias)
        return conv.resolve(*inputs)


@register("upconv")
class UpConv(Op, frozen=True):
    """Transposed convolution, as torch.nn.ConvTranspose2d: `(size - 1) * stride - 2 * padding + kernel_size`.

    `stride` defaults to 1 and `padding` to 0, as in PyTorch. `output_padding` (less than the stride or the dilation)
    adds positions at the end.
    """

    out_channels: Positive
    kernel_size: Spatial
    stride: Spatial = 1
    padding: Margin = 0
    output_padding: Margin = 0
    groups: Positive = 1
    bias: bool = True
    dilation: Spatial = 1

    layout = "channels"
    positional = 2
    is_layer = True
    examples = (
        Example("upconv(6, 2, stride=2)"),
        Example("upconv(6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=false)"),
        Example("upconv(6, 3, dilation=2)", ("[4, 9]",)),
        Example("upconv(3, 2, padding=3, dilation=2, output_padding=1)", ("[1, 6, 7]",)),
        Example("upconv(2, 3, stride=(2, 1), dilation=(3, 2), output_padding=(2, 1))"),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        axes = spatial_rank(inputs[0], "upconv")
        names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        return replace(self, **{n: per_axis(getattr(self, n), axes, n) for n in names})

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        check_groups(self.groups, known(x.shape[0], "the number of channels"), self.out_channels)
        for _, s, _, o, d in zip(*self._windows(), strict=True):
            if o >= max(s, d):
                message = f"`output_padding` {o} must be less than the stride {s} or the dilation {d}"
                raise OpError(message, argument="output_padding", code="argument-value")
        sizes = [
            (size - 1) * s - 2 * p + d * (k - 1) + o + 1
            for size, k, s, p, o, d in zip(x.spatial, *self._windows(), strict=True)
        ]
        for size in sizes:
            require(assume.at_least(size, 1), f"the output would have size {size}", argument="padding")
        return x.with_shape(self.out_channels, *sizes)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        channels = known(inputs[0].shape[0], "the number of channels")
        weight = Param((channels, self.out_channels // self.groups, *self._windows()[0]), "conv")
        return {"weight": weight} | ({"bias": Param((self.out_channels,), "bias")} if self.bias else {})

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        return product(self.params(*inputs)["weight"].shape) * product(inputs[0].spatial)

    def torch(self, *inputs: TensorType) -> Torch:
        kernel, stride, padding, output_padding, dilation = map(compact, self._windows())
        options = optional(
            {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "bias": True, "dilation": 1},
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=self.groups,
            bias=self.bias,
            dilation=dilation,
        )
        return Torch(
            Call(f"nn.ConvTranspose{inputs[0].rank - 1}d", (inputs[0].shape[0], self.out_channels, kernel), options)
        )

    def onnx(self, g: Graph, *x: Operand) -> Any:
        kernel, stride, padding, output_padding, dilation = self._windows()
        bias = [g.weight("bias")] if self.bias else []
        data, end = x[0].name, padding
        if any(o >= s for o, s in zip(output_padding, stride, strict=True)):  # refused by onnxruntime
            data, end = self._cut_later(g, data)
            output_padding = (0,) * len(kernel)
        return g.op(
            "ConvTranspose", data, g.weight("weight"), *bias,
            kernel_shape=kernel, strides=stride, pads=(*padding, *end), output_padding=output_padding,
            dilations=dilation, group=self.groups,
        )  # fmt: skip

    def _cut_later(self, g: Graph, data: str) -> tuple[str, tuple[int, ...]]:
        """The input and the padding at the end that give the same without `output_padding`: less is cut off, and where
        there is not enough to cut, zeros at the input's end make more."""
        _, stride, padding, extra, _ = self._windows()
        more = tuple(max(0, -((p - o) // s)) for s, p, o in zip(stride, padding, extra, strict=True))
        if any(more):
            data = g.op("Pad", data, g.const((0,) * (len(more) + 4) + more, "int64"))
        return data, tuple(p - o + s * m for s, p, o, m in zip(stride, padding, extra, more, strict=True))

    def window(self, *inputs: TensorType) -> Window:
        kernel, stride, padding, _, dilation = self._windows()
        return Window(extent(kernel, dilation), stride, padding, transposed=True)

    def absorb(self, weights: Mapping[str, Any], scale: Any, shift: Any) -> tuple[Op, dict[str, Any]] | None:
        return absorb_outputs(self, weights, scale, shift, axis=1) if self.groups == 1 else None

    def _windows(self) -> tuple[Any, Any, Any, Any, Any]:
        return self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
