"""Images resized: `upsample`."""

import struct
from fractions import Fraction
from functools import cache
from math import ceil, floor, inf, nextafter
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, Window, X, register, require
from netdsl.ops.features import floating
from netdsl.ops.lowering import full_shape
from netdsl.ops.nearest import picked
from netdsl.ops.reshaping import size_of
from netdsl.ops.spatial import compact, per_axis, spatial_axes, spatial_rank
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, Size
from netdsl.tensors import TensorType

Factor = Annotated[float, Meta(gt=0)]


@register("upsample")
class Upsample(Op, frozen=True):
    """The image resized by `scale_factor`, to `size`, or to that of another value (`upsample(like=x)`, as in feature
    pyramids), as torch.nn.Upsample.

    `mode`: `nearest` repeats positions; `bilinear` (of one and three axes too) and `bicubic` weigh their neighbours.
    `align_corners` lets the corners of both images meet. `antialias` widens the weights when shrinking (as Pillow
    does; ONNX from opset 18).
    """

    scale_factor: Factor | tuple[Factor, ...] | None = None
    size: Any = None
    mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
    align_corners: bool = False
    antialias: bool = False

    layout = "channels"
    positional = 1
    optional_operands = ("like",)
    saves = "nothing"
    examples = (
        Example("upsample(2)", ("[3, 4, 5]",)),
        Example("upsample(like=y)", ("[3, 4, 5]", "[2, 8, 9]")),
        Example("upsample(like=y, mode=bilinear)", ("[3, 4, 5]", "[2, 8, 9]")),
        Example("upsample((2, 3))", ("[3, 4, 5]",)),
        Example("upsample(1.5)", ("[3, 4, 6]",)),
        Example("upsample(size=(7, 5))", ("[3, 4, 5]",)),
        Example("upsample(2, mode=bilinear)", ("[3, 4, 5]",)),
        Example("upsample(2, mode=bilinear, align_corners=true)", ("[3, 4, 5]",)),
        Example("upsample(size=(3, 9), mode=bilinear)", ("[3, 4, 5]",)),
        Example("upsample(size=(1, 9), mode=bilinear)", ("[3, 4, 5]",)),
        Example("upsample(size=6, mode=bicubic)", ("[3, 4, 5]",)),
        Example("upsample(size=(5, 4), mode=bilinear, antialias=true)", ("[3, 16, 12]",)),
        Example("upsample(2)", ("[3, 4]",)),
        Example("upsample(2, mode=bilinear)", ("[3, 4]",)),
        Example("upsample(2, mode=bilinear)", ("[3, 4, 5, 6]",)),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        axes = spatial_rank(inputs[0], "upsample")
        if len(inputs) == 2:
            return self._like(axes, inputs[1])
        if (self.scale_factor is None) == (self.size is None):
            raise OpError("`upsample` needs `scale_factor`, `size` or `like`, and one alone", code="missing-argument")
        if self.size is not None:
            sizes = self.size if isinstance(self.size, tuple | list) else (self.size,) * axes
            if len(sizes) != axes:
                message = f"`size` has {len(sizes)} numbers for {spatial_axes(axes)}"
                raise OpError(message, argument="size", code="argument-value")
            return replace(self, size=tuple(size_of(s, "size") for s in sizes))
        factor = self.scale_factor
        factors = factor if isinstance(factor, tuple) else (factor,) * axes
        return replace(self, scale_factor=tuple(_rounding_up(f) for f in per_axis(factors, axes, "scale_factor")))

    def _like(self, axes: int, other: TensorType) -> Op:
        """The op with the size of another value."""
        if self.scale_factor is not None or self.size not in (None, other.spatial):
            raise OpError("`upsample` needs `scale_factor`, `size` or `like`, and one alone", code="missing-argument")
        if other.rank - 1 != axes:
            raise OpError(f"`like` has {other}, which has not {spatial_axes(axes)}", operand=1, argument="like")
        return replace(self, size=other.spatial)

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "upsample")
        self._check_mode(x)
        sizes, said = self.size, "size"
        if sizes is None:
            sizes = [_scaled(size, factor) for size, factor in zip(x.spatial, self._factors(), strict=True)]
            said = "scale_factor"
        for size in sizes:
            require(assume.at_least(size, 1), f"the image would have size {size}", argument=said)
        if self.antialias and sizes[0] != x.spatial[0]:
            message = "PyTorch resizes the rows of an image wrongly where `antialias` makes it one column"
            require(
                assume.at_least(sizes[1], 2), message, argument="antialias", hint="resize the columns by themselves"
            )
        return x.with_shape(x.shape[0], *sizes)

    def _check_mode(self, x: TensorType) -> None:
        if self.mode == "nearest" and (self.align_corners or self.antialias):
            name = "align_corners" if self.align_corners else "antialias"
            raise OpError(f"`{name}` needs `mode=bilinear` or `bicubic`", argument=name, code="argument-conflict")
        if x.rank != 3 and (self.mode == "bicubic" or self.antialias):
            raise OpError(
                f"`mode={self.mode}` is for images [C, H, W], found {x}", argument="mode", code="argument-value"
            )

    def torch(self, *inputs: TensorType) -> Torch:
        mode = {2: "linear", 3: "bilinear", 4: "trilinear"}[inputs[0].rank] if self.mode == "bilinear" else self.mode
        options = self._target() + ((("mode", mode),) if mode != "nearest" else ())
        options += (("align_corners", True),) if self.align_corners else ()
        expression = Call("F.interpolate", (X(),), options + ((("antialias", True),) if self.antialias else ()))
        symbolic = any(isinstance(s, Size) for s in self.size or ())
        module = None if symbolic or self.antialias or inputs[1:] else Call("nn.Upsample", (), options)
        return Torch(module, expression)

    def _target(self) -> tuple[tuple[str, Any], ...]:
        """The keyword of PyTorch that gives the size of the result."""
        if self.size is not None:
            return (("size", compact(self.size)),)
        factors = tuple(int(f) if f == int(f) else f for f in self._factors())
        return (("scale_factor", compact(factors)),)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if self.antialias and g.opset < 18:
            raise OpError("`antialias` needs ONNX opset 18", argument="antialias", code="opset")
        if self.antialias and self.align_corners:
            message = "onnxruntime computes `antialias` with `align_corners` otherwise than PyTorch"
            raise OpError(message, code="not-exportable")
        kind, scales = x[0].type, None
        if self.size is None:
            scales = [_single(f, size) for f, size in zip(self._factors(), kind.spatial, strict=True)]
        if self.mode == "nearest":
            factors = list(zip(self._factors(), scales, strict=True)) if scales else None
            name = picked(g, x[0].name, kind, self.infer(Assumptions(), kind).spatial, factors)
            if name is not None:
                return name
        if scales is not None:
            return g.op("Resize", x[0].name, "", g.const((1.0, 1.0, *scales)), **self._attributes())
        shape = full_shape(g, kind, kind.shape[0], *self.size)
        return g.op("Resize", x[0].name, "", "", shape, **self._attributes())

    def _attributes(self) -> dict[str, Any]:
        """How ONNX's Resize computes."""
        if self.mode == "nearest":
            return {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        corners = "align_corners" if self.align_corners else "half_pixel"
        attributes: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": corners}
        if self.mode == "bicubic":
            attributes |= {"mode": "cubic", "cubic_coeff_a": -0.5 if self.antialias else -0.75}
        return attributes | ({"antialias": 1, "exclude_outside": 1} if self.antialias else {})

    def window(self, *inputs: TensorType) -> Window | None:
        """That of a transposed convolution, where the factors are whole and positions keep their distances."""
        if self.size is not None or self.align_corners or self.antialias or any(f % 1 for f in self._factors()):
            return None
        factors = [int(f) for f in self._factors()]
        reach = {"nearest": 0.5, "bilinear": 1, "bicubic": 2}[self.mode]
        spans = [_span(f, reach) for f in factors]
        return Window(tuple(s for s, _ in spans), tuple(factors), tuple(p for _, p in spans), transposed=True)

    def _factors(self) -> Any:
        return self.scale_factor


def _span(factor: int, reach: float) -> tuple[int, int]:
    """How many outputs a position of the input has a share in, and how many of them lie before its own first one."""
    centre = (factor - 1) / 2
    first, last = floor(centre - reach * factor) + 1, ceil(centre + reach * factor) - 1
    return last - first + 1, -first


TRIED = 4096
"""Sizes up to this one are tried with a factor, where an image's is open."""


def _scaled(size: Dim, factor: float) -> Dim:
    """`floor(size * factor)`, with the fraction that a factor stands for."""
    meant = _fraction(factor)
    return size * meant.numerator // meant.denominator


def _fraction(factor: float) -> Fraction:
    """The fraction that a factor stands for: 3/10 or 1/3, though binary numbers only come near; others exactly."""
    meant = Fraction(factor).limit_denominator(100_000)
    return meant if factor in (float(meant), nextafter(float(meant), inf)) else Fraction(factor)


@cache
def _rounding_up(factor: float) -> float:
    """The factor with which PyTorch, which cuts a double off, gets all whole sizes that the fraction gives: 100 times
    0.29 is 28.999999999999996, so that 0.29 becomes the number above it."""
    meant = _fraction(factor)
    if meant == factor:
        return factor
    times = range(1, max(64, 16 * TRIED // meant.denominator))
    below = any(int(k * meant.denominator * factor) < k * meant.numerator for k in times)
    return nextafter(factor, inf) if below else factor


@cache
def _single(factor: float, size: Dim) -> float:
    """The factor in single precision with which onnxruntime, which cuts its product off, gets the same sizes. Raises
    OpError where there is none."""
    sizes = (size,) if isinstance(size, int) else range(1, TRIED)
    (near,) = struct.unpack("I", struct.pack("f", factor))
    for bits in (near, near + 1, near - 1):
        (single,) = struct.unpack("f", struct.pack("I", bits))
        if all(int(_rounded(single * n)) == _scaled(n, factor) for n in sizes):
            return float(single)
    message = f"onnxruntime cuts {factor:g} times a size off otherwise than PyTorch"
    raise OpError(message, code="not-exportable")


def _rounded(number: float) -> float:
    """A number in single precision."""
    return float(struct.unpack("f", struct.pack("f", number))[0])
