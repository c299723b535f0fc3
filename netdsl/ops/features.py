"""The axis that an op works along (the feature axis by default), and the dtypes that it takes."""

from netdsl.ops.base import Op, OpError, feature_axis, known
from netdsl.tensors import UNCLEAR, TensorType


def nearest_divisor(size: int, wanted: int, power: int = 1) -> int:
    """The number nearest to a wanted one whose power divides a size."""
    divisors = (d for d in range(1, size + 1) if d**power <= size and size % d**power == 0)
    return min(divisors, key=lambda d: (abs(d - wanted), d))


def axis_of(x: TensorType, axis: int, argument: str = "axis", *, extra: int = 0) -> int:
    """The axis of one sample counted from 0. Raises OpError where `x` has no such axis.

    `extra`: how many new ones may follow.
    """
    rank = x.rank + extra
    if not -rank <= axis < rank:
        message = (
            f"axis {axis} of {x}: axes are {-rank} to {rank - 1}, without the batch" if rank else f"{x} has no axes"
        )
        raise OpError(message, argument=argument, code="bad-axis")
    return axis % rank


def dim_of(x: TensorType, axis: int) -> int:
    """The same axis (counted without the batch) as PyTorch and ONNX count it, with the batch. Counted from the end
    where a parameter that is a vector has no batch axis.
    """
    at = axis_of(x, axis)
    return at - x.rank if is_bare(x) else at + 1


def is_bare(x: TensorType) -> bool:
    """Whether the batch axis may be missing: of a parameter that is a vector or a number."""
    return not x.batched and x.rank < 2


def unclear(result: TensorType) -> int | None:
    """Features that can't be told of a result; of a vector or matrix they are where they are by rank."""
    return None if result.rank <= 2 else UNCLEAR


def features_without(result: TensorType, x: TensorType, axes: tuple[int, ...]) -> int | None:
    """Where the features are in a result that lacks these axes of `x`."""
    if x.features is None:
        return None
    return unclear(result) if x.features in (UNCLEAR, *axes) else x.features - sum(a < x.features for a in axes)


def features_with(x: TensorType, at: int, result: TensorType) -> int | None:
    """Where the features are in a result with a new axis: before the others it may stand for channels."""
    if x.rank < 2 or x.features == UNCLEAR:
        return None if x.rank < 2 else UNCLEAR
    if at == 0:
        return UNCLEAR
    own = feature_axis(x)
    return moved(x, own + (at <= own), result)


def moved(x: TensorType, at: int, result: TensorType) -> int | None:
    """Where the features of `x` are in a result that has them at `at`. Of an input or a parameter nothing but the
    rank says where they are: `[H, W, C]` is no image before it is turned, and where it is then is its reader's to say.
    """
    if x.features is not None:
        return at
    return None if at == feature_axis(result.with_features(None)) else UNCLEAR


def features_at(x: TensorType, axis: int | None) -> int:
    """The axis of the features: `axis`; by default the last of `[L, D]` and `[F]`, the channels of `[C, H, W]`."""
    if x.rank == 0:
        raise OpError(f"needs features, found {x}", operand=0)
    return feature_axis(x) if axis is None else axis_of(x, axis)


def settled(result: TensorType, x: TensorType, axis: int | None) -> int | None:
    """Where the features are after a layer along them: its axis, unless they are known to be elsewhere."""
    return features_at(result, axis) if x.features is None or x.features == UNCLEAR else x.features


def first_or_last(x: TensorType, axis: int | None) -> int:
    """The axis of the features. Raises OpError where it lies between others, which PyTorch's layers don't take."""
    at = features_at(x, axis)
    if at not in (0, x.rank - 1):
        raise OpError(f"`axis` must be the first or the last of {x}", argument="axis", code="bad-axis")
    return at


def feature_size(x: TensorType, axis: int | None = None) -> int:
    """The number of features, which must be known to size weights."""
    at = features_at(x, axis)
    last = x.shape[-1]
    is_other = axis is None and at < x.rank - 1 and isinstance(last, int)
    hint = (
        f"`axis={x.rank - 1}` takes the last axis, of size {last}, as windows of an image have it" if is_other else ""
    )
    return known(x.shape[at], "the number of features", hint=hint)


def number_for(x: TensorType, value: float, kind: str, argument: str = "value") -> int | float:
    """A number, the `argument` of an op, as `x` holds them: `2` where `2.0` was given. Raises OpError where its dtype
    cannot hold it."""
    whole = value == value // 1 and abs(value) != float("inf")
    if x.dtype == "bool" or ("int" in x.dtype and not whole):
        message = f"`{kind}` of {x} and {value}"
        hint = "`cast(dtype=float32)` makes real numbers"
        raise OpError(message, argument=argument, code="dtype-mismatch", hint=hint)
    return int(value) if whole else value


def floating(x: TensorType, kind: str, operand: int = 0) -> TensorType:
    """The type itself. Raises OpError for one that does not hold real numbers."""
    if not x.dtype.startswith(("float", "bfloat", "unknown")):
        hint = "`embed(...)` or `one_hot(...)` turn integers into vectors" if "int" in x.dtype else None
        raise OpError(f"`{kind}` needs real numbers, found {x}", operand=operand, code="dtype-mismatch", hint=hint)
    return x


def check_elements(op: Op, *inputs: TensorType) -> None:
    """Raise OpError for element types that PyTorch can't combine with the weights of a layer, which are float32."""
    weighty = op.params(*inputs) or any(b.dtype == "float32" for b in op.buffers(*inputs).values())
    if not weighty or op.takes_integers:
        return
    required = op.takes_it + len(op.operands)
    for i, x in enumerate(inputs):
        if x.dtype == "bool" and i >= required:  # a mask
            continue
        floating(x, op.kind, i)
        if x.dtype not in ("float32", "unknown"):
            message, hint = f"`{op.kind}` has float32 weights, found {x}", "`cast(dtype=float32)` before it converts"
            raise OpError(message, operand=i, code="dtype-mismatch", hint=hint)


def same_elements(kind: str, *inputs: TensorType) -> None:
    """Raise OpError for floats of different types, which PyTorch doesn't combine in a matrix product."""
    for i, x in enumerate(inputs):
        if x.dtype != inputs[0].dtype:
            hint = f"`cast(dtype={inputs[0].dtype})` turns one into the other"
            raise OpError(f"`{kind}` of {inputs[0]} and {x}", operand=i, code="dtype-mismatch", hint=hint)
