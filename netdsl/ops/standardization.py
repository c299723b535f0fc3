"""Preprocessing that belongs to the net: `standardize`."""

from typing import Any

from netdsl.constraints import Assumptions
from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Torch, known, register
from netdsl.ops.features import floating
from netdsl.tensors import TensorType

HELPER = '''\
class Standardize(nn.Module):
    """(x - mean) / std with fixed statistics, kept with the weights."""

    def __init__(self, mean, std, shape):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).expand(shape[0]).reshape(shape).clone())
        self.register_buffer("std", torch.tensor(std).expand(shape[0]).reshape(shape).clone())

    def forward(self, x):
        return (x - self.mean) / self.std
'''

Statistics = float | tuple[float, ...]


@register("standardize")
class Standardize(Op, frozen=True):
    """`(x - mean) / std` with fixed statistics per channel (the first axis), at the net's input: the net then takes raw
    pixels wherever it runs. Numbers for all channels or one for each; a recipe may replace them by those of the
    training data. ImageNet's are `mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)`.
    """

    mean: Statistics = 0.0
    std: Statistics = 1.0

    is_layer = True
    examples = (
        Example("standardize(mean=(0.4, 0.5, 0.6), std=0.25)", ("[3, 4, 5]",)),
        Example("standardize(0.1, 0.3)", ("[1, 4, 5]",)),
        Example("standardize(mean=0.5)", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "standardize")
        channels = self._shape(x)[0]
        for name, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, tuple) and len(value) != channels:
                raise OpError(f"`{name}` has {len(value)} numbers for {channels} channels", argument=name)
        if 0 in (self.std if isinstance(self.std, tuple) else (self.std,)):
            raise OpError("`std` must not be 0", argument="std", code="bad-argument")
        return x

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        shape = self._shape(inputs[0])
        return {"mean": Buffer(shape), "std": Buffer(shape)}

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("Standardize", (self.mean, self.std, self._shape(inputs[0]))), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        centred = g.op("Sub", x[0].name, g.weight("mean"))
        return g.op("Mul", centred, g.const(1 / g.array("std")))

    def _shape(self, x: TensorType) -> tuple[int, ...]:
        if x.rank < 1:
            raise OpError(f"`standardize` needs channels, found {x}", operand=0)
        return (known(x.shape[0], "the number of channels"), *(1,) * (x.rank - 1))
