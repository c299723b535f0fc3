"""Images read at places that are themselves values: `grid_sample`."""

from typing import Any, Literal

from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.features import floating, same_elements
from netdsl.ops.rearranging import image
from netdsl.ops.spatial import optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType


@register("grid_sample")
class GridSample(Op, frozen=True):
    """The image read at the places of `grid`, `[H, W, 2]` of (x, y) from -1 to 1, as torch's F.grid_sample: spatial
    transformers (Jaderberg et al., 2015), warping by optical flow.

    `mode` weighs the neighbours or takes the nearest; beyond the image it reads `zeros`, the `border` or its
    `reflection`. `align_corners`: -1 and 1 are the middle of the outermost pixels, not their outer edges.
    """

    mode: Literal["bilinear", "nearest"] = "bilinear"
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros"
    align_corners: bool = False

    layout = "channels"
    operands = ("grid",)
    examples = (
        Example("grid_sample(grid=y)", ("[3, 6, 7]", "[4, 5, 2]")),
        Example("grid_sample(grid=y, align_corners=true)", ("[3, 6, 7]", "[4, 5, 2]")),
        Example("grid_sample(grid=y, padding_mode=border)", ("[3, 6, 7]", "[4, 5, 2]")),
        Example("grid_sample(grid=y, padding_mode=reflection)", ("[1, 6, 7]", "[6, 7, 2]")),
        Example("grid_sample(grid=y, mode=nearest)", ("[3, 6, 7]", "[4, 5, 2]")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, grid = floating(inputs[0], "grid_sample"), floating(inputs[1], "grid_sample", 1)
        image(x, "grid_sample")
        same_elements("grid_sample", x, grid)
        if grid.rank != 3:
            raise OpError(f"`grid` must be [H, W, 2], found {grid}", operand=1, argument="grid")
        require(assume.equal(grid.shape[2], 2), f"`grid` must be [H, W, 2], found {grid}", operand=1, argument="grid")
        return TensorType((x.shape[0], *grid.shape[:2]), x.dtype, x.batched or grid.batched)

    def torch(self, *inputs: TensorType) -> Torch:
        image_, grid = _for_each(inputs)
        mode = optional({"mode": "bilinear", "padding_mode": "zeros"}, mode=self.mode, padding_mode=self.padding_mode)
        return Torch(expression=Call("F.grid_sample", (image_, grid), (*mode, ("align_corners", self.align_corners))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        mode = "linear" if self.mode == "bilinear" and g.opset >= 20 else self.mode
        batched = [o.type.batched for o in x]
        names = [
            o.name if own or not any(batched) else g.op("Expand", o.name, g.shape(*o.type.shape))
            for o, own in zip(x, batched, strict=True)
        ]
        return g.op(
            "GridSample", *names, mode=mode, padding_mode=self.padding_mode, align_corners=int(self.align_corners)
        )

    def window(self, *inputs: TensorType) -> str:
        return GLOBAL


def _for_each(inputs: tuple[TensorType, ...]) -> tuple[Any, Any]:
    """Both values for each sample: one that is the same for all is repeated over the batch of the other."""
    x, grid = inputs
    if x.batched == grid.batched:
        return X(0), X(1)
    other, own = (1, 0) if grid.batched else (0, 1)
    repeated = Call(".expand", (X(own), Call(".size", (X(other), 0)), -1, -1, -1))
    return (repeated, X(1)) if own == 0 else (X(0), repeated)
