"""The place of features: what a layer takes it to be is compared with what made the value."""

from netdsl.ops.base import Op, OpError, argument, feature_axis
from netdsl.ops.features import moved
from netdsl.sizes.dims import product
from netdsl.tensors import UNCLEAR, TensorType

MEANS = {"gap": "reduce_mean", "gmp": "reduce_max"}
"""Pools over all positions of an image, and what goes over those of a sequence."""
MEANT = "`reshape` to the same shape says that the layout is meant"


def check_layout(op: Op, *inputs: TensorType) -> None:
    """Raise OpError for an input whose features are known to be elsewhere than the op takes them to be, and for one
    whose features can't be told where the op works along them."""
    for index, x in enumerate(inputs[: op.laid_out]):
        layout = op.layout_of(x)
        if x.rank < 2 or x.features is None or layout == "any":
            continue
        if layout == "along":
            _check_along(op, x, index)
        elif x.features not in (UNCLEAR, 0 if layout == "channels" else x.rank - 1):
            raise _misplaced(op, x, index, layout)


def placed(op: Op, results: tuple[TensorType, ...], *inputs: TensorType) -> tuple[TensorType, ...]:
    """The types of an op's results, with where their features are."""
    return tuple(r.with_features(op.features(r, *inputs)) if r.rank > 1 else r.with_features(None) for r in results)


def follows(op: Op, x: TensorType) -> bool:
    """Whether an op works along features that are elsewhere than the rank alone would say."""
    unsaid = op.layout == "along" and argument(op, "axis") is None
    return unsaid and feature_axis(x) != feature_axis(x.with_features(None))


def _check_along(op: Op, x: TensorType, index: int) -> None:
    assert x.features is not None
    if argument(op, "axis") is not None or x.features in (0, x.rank - 1):
        return
    where = f"{x.marked} has them on axis {x.features}, between others"
    where = f"it is not known where {x} has them" if x.features == UNCLEAR else where
    message = f"`{op.kind}` works along the features, and {where}"
    raise OpError(
        message, operand=index, code="feature-axis", hint="`axis=` says which axis is meant: `axis=-1` is the last"
    )


def _misplaced(op: Op, x: TensorType, index: int, layout: str) -> OpError:
    assert x.features is not None
    wanted = "first" if layout == "channels" else "last"
    rest = [i for i in range(x.rank) if i != x.features]
    order = (x.features, *rest) if wanted == "first" else (*rest, x.features)
    message = (
        f"`{op.kind}` takes the {wanted} axis for the features, and those of this {x.marked} are on axis {x.features}"
    )
    hint = f"`permute(({', '.join(map(str, order))}))` before it brings them there; {MEANT}"
    if op.kind in MEANS and x.rank == 2:
        hint = f"write `{MEANS[op.kind]}(axis={rest[0]})`: it goes over the positions of a sequence"
    return OpError(message, operand=index, code="feature-axis", hint=hint)


def reshaped_features(x: TensorType, shape: TensorType) -> int | None:
    """Where the features are after a reshape: on the axis that has exactly them, or with their neighbours.

    An axis that is cut leaves them unclear, as a new first axis does. A vector, a matrix and a shape as before are what
    their author says that they are.
    """
    if x.rank < 2 or shape.rank <= 2 or x.shape == shape.shape:
        return None
    if x.features == UNCLEAR:
        return UNCLEAR
    at = feature_axis(x)
    starts = [product(x.shape[:i]) for i in range(at + 1)]
    ends = [product(x.shape[:i]) for i in range(at + 1, x.rank + 1)]
    for j in range(shape.rank):
        if product(shape.shape[:j]) in starts and product(shape.shape[: j + 1]) in ends:
            new = j > 0 and shape.shape[0] == 1
            return UNCLEAR if new else moved(x, j, shape)
    return UNCLEAR
