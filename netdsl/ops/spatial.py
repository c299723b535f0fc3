"""Code shared by ops over spatial axes: argument types, one number per axis, sliding windows, spelling."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from netdsl.ops.base import OpError
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Spatial = Positive | tuple[Positive, ...]
Margin = Natural | tuple[Natural, ...]
Padding = Natural | tuple[Natural, ...] | Literal["same"]


def spatial_rank(x: TensorType, kind: str) -> int:
    """The number of spatial axes of a channels-first input. Raises OpError unless it is 1, 2 or 3."""
    if not 2 <= x.rank <= 4:
        hint = f"a vector has no positions: `{kind}` comes before `flatten` or `gap`" if x.rank == 1 else None
        raise OpError(f"`{kind}` needs channels and 1 to 3 spatial axes, found {x}", operand=0, hint=hint)
    return x.rank - 1


def per_axis(value: Any, axes: int, argument: str) -> tuple[int, ...]:
    """One number per spatial axis. Raises OpError for a tuple of another length."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        one_sided = argument == "padding" and axes == 1
        hint = f"`pad({tuple(value)})` before it adds places on one side" if one_sided else None
        message = f"`{argument}` has {len(value)} numbers for {spatial_axes(axes)}"
        raise OpError(message, argument=argument, code="argument-value", hint=hint)
    return tuple(value)


def spatial_axes(axes: int) -> str:
    """How many spatial axes, in words."""
    return "one spatial axis" if axes == 1 else f"{axes} spatial axes"


def window_output(size: Dim, kernel: int, stride: int, padding: int, dilation: int) -> Dim:
    """The output size of a sliding window along one axis (torch.nn.Conv2d)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def extent(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """How many positions a dilated kernel spans, per axis."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def compact(values: tuple[Dim, ...]) -> Any:
    """`3` for `(3, 3)`: how a person writes it."""
    return values[0] if len(set(values)) == 1 else values


def optional(defaults: dict[str, Any], **values: Any) -> tuple[tuple[str, Any], ...]:
    """The keyword arguments whose values differ from the defaults."""
    return tuple((k, v) for k, v in values.items() if v != defaults[k])
