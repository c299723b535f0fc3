"""Pools that look at the whole image or adapt to it: `gap`, `gmp`, `adaptive_avgpool`, `adaptive_maxpool`."""

from typing import Any, ClassVar

from msgspec.structs import replace

from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, Torch, Window, X, register
from netdsl.ops.features import floating
from netdsl.ops.lowering import reduction, sliced
from netdsl.ops.spatial import Spatial, compact, per_axis, spatial_rank
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType

MOST_WINDOWS = 64
"""So many windows of different sizes are cut out one by one in ONNX; more are picked at once."""

HELPER = '''\
class {name}(nn.Module):
    """{doc}"""

    def forward(self, x: Tensor) -> Tensor:
        return x{method}({axes})
'''


class GlobalPool(Op, frozen=True):
    """`[C, H, W]` to the vector `[C]`."""

    method: ClassVar[str]
    node: ClassVar[str]
    module: ClassVar[str]
    module_doc: ClassVar[str]

    layout = "channels"

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        spatial_rank(floating(x, self.kind), self.kind)
        return x.with_shape(x.shape[0])

    def torch(self, *inputs: TensorType) -> Torch:
        axes = tuple(range(2, inputs[0].rank + 1))
        name, dims = f"{self.module}{len(axes)}d", axes[0] if len(axes) == 1 else axes
        helper = HELPER.format(name=name, doc=self.module_doc, method=self.method, axes=dims)
        return Torch(Call(name), Call(self.method, (X(), dims)), helper=helper)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Flatten", g.op(self.node, x[0].name))

    def window(self, *inputs: TensorType) -> str:
        return GLOBAL


GLOBAL_EXAMPLES = ("[4, 8, 9]", "[4, 9]", "[2, 3, 4, 5]")


@register("gap")
class GlobalAveragePool(GlobalPool, frozen=True):
    """Global average pooling (Lin et al., 2013): the mean of each channel over all positions, `[C, H, W]` to `[C]`."""

    method, node, module = ".mean", "GlobalAveragePool", "GlobalAvgPool"
    module_doc = "The mean of each channel over all positions."
    saves = "nothing"
    examples = tuple(Example("gap", (shape,)) for shape in GLOBAL_EXAMPLES)


@register("gmp")
class GlobalMaxPool(GlobalPool, frozen=True):
    """Global max pooling: the largest number of each channel over all positions, `[C, H, W]` to `[C]`."""

    method, node, module = ".amax", "GlobalMaxPool", "GlobalMaxPool"
    module_doc = "The largest value of each channel over all positions."
    saves_beside = 2  # an int64: where each came from
    examples = tuple(Example("gmp", (shape,)) for shape in GLOBAL_EXAMPLES)


class AdaptivePool(Op, frozen=True):
    """Windows chosen so that the output has a given size: output i covers the inputs from `i * n // m` up to
    `ceil((i + 1) * n / m)`, where n is the input's and m the output's size."""

    name: ClassVar[str]
    nodes: ClassVar[tuple[str, str]]

    output_size: Spatial

    layout = "channels"

    def resolve(self, *inputs: TensorType) -> Op:
        axes = spatial_rank(inputs[0], self.kind)
        return replace(self, output_size=per_axis(self.output_size, axes, "output_size"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], self.kind)
        return x.with_shape(x.shape[0], *self._outputs())

    def torch(self, *inputs: TensorType) -> Torch:
        size, axes = compact(self._outputs()), len(self._outputs())
        function = f"F.adaptive_{self.name.lower()}_pool{axes}d"
        return Torch(Call(f"nn.Adaptive{self.name}Pool{axes}d", (size,)), Call(function, (X(), size)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if set(self._outputs()) == {1}:
            return g.op(f"Global{self.nodes[0]}", x[0].name)
        sizes = x[0].type.spatial
        if all(_divides(m, n) for n, m in zip(sizes, self._outputs(), strict=True)):
            kernel = tuple(n // m for n, m in zip(sizes, self._outputs(), strict=True) if isinstance(n, int))
            return g.op(self.nodes[0], x[0].name, kernel_shape=kernel, strides=kernel)
        y = x[0].name
        for axis, (n, m) in enumerate(zip(sizes, self._outputs(), strict=True), start=2):
            if n == m:
                continue
            if not isinstance(n, int) or m > MOST_WINDOWS:
                y = self._computed(g, y, x[0].type.rank, axis, n, m)
                continue
            windows = [(i * n // m, -((i + 1) * n // -m)) for i in range(m)]
            parts = (reduction(g, self.nodes[1], sliced(g, y, axis, *w), (axis,), keepdims=True) for w in windows)
            y = g.op("Concat", *parts, axis=axis)
        return y

    def _computed(self, g: Graph, x: str, rank: int, axis: int, size: Dim, windows: int) -> Any:
        """One axis whose size is known only when the net runs, or that has many windows: of every window as many
        positions are picked as the longest has, its last one again where it is shorter."""
        n, count = g.shape(size, batch=False), g.const(windows, "int64")
        one, number = g.const(1, "int64"), g.const([[i] for i in range(windows)], "int64")
        first = g.op("Div", g.op("Mul", number, n), count)
        reach = g.op("Add", g.op("Mul", g.op("Add", number, one), n), g.const(windows - 1, "int64"))
        end = g.op("Div", reach, count)
        longest = g.op("ReduceMax", g.op("Sub", end, first), keepdims=0)
        place = g.op("Add", first, g.op("Range", g.const(0, "int64"), longest, one))
        picked = g.op("Gather", x, g.op("Min", place, g.op("Sub", end, one)), axis=axis)
        return self.over_window(g, picked, axis + 1, rank - axis, (place, end))

    def over_window(self, g: Graph, picked: str, axis: int, after: int, bounds: tuple[str, str]) -> Any:
        """The result over an axis of picked positions, which `after` axes follow. `bounds`: the number of each picked
        position, [windows, longest], and the end of its window: those from there on don't count."""
        return reduction(g, self.nodes[1], picked, (axis,), keepdims=False)

    def window(self, *inputs: TensorType) -> Window | str:
        """The window where it is the same everywhere, which it is where the output's size divides the input's."""
        sizes = inputs[0].spatial
        if set(self._outputs()) == {1} or not all(_divides(m, n) for n, m in zip(sizes, self._outputs(), strict=True)):
            return GLOBAL
        kernel = tuple(n // m for n, m in zip(sizes, self._outputs(), strict=True) if isinstance(n, int))
        return Window(kernel, kernel, (0,) * len(kernel))

    def _outputs(self) -> Any:
        return self.output_size


def _divides(divisor: int, size: Dim) -> bool:
    return isinstance(size, int) and size % divisor == 0


def adaptive_examples(kind: str) -> tuple[Example, ...]:
    uses = (("1", "[4, 8, 9]"), ("4", "[4, 8, 12]"), ("(3, 5)", "[4, 8, 9]"), ("7", "[4, 5, 6]"), ("4", "[4, 9]"))
    return tuple(Example(f"{kind}({size})", (shape,)) for size, shape in (*uses, ("2", "[2, 3, 4, 5]")))


@register("adaptive_avgpool")
class AdaptiveAvgPool(AdaptivePool, frozen=True):
    """Means over windows chosen so that the output has `output_size` (per axis or one for all), as
    torch.nn.AdaptiveAvgPool1d/2d/3d."""

    positional = 1
    name, nodes = "Avg", ("AveragePool", "ReduceMean")
    saves = "nothing"
    examples = adaptive_examples("adaptive_avgpool")

    def over_window(self, g: Graph, picked: str, axis: int, after: int, bounds: tuple[str, str]) -> Any:
        counts = g.op("Cast", g.op("Less", *bounds), to=1)
        counts = g.op("Unsqueeze", counts, g.const(tuple(range(2, 2 + after)), "int64")) if after else counts
        total = reduction(g, "ReduceSum", g.op("Mul", picked, counts), (axis,), keepdims=False)
        return g.op("Div", total, reduction(g, "ReduceSum", counts, (1,), keepdims=False))


@register("adaptive_maxpool")
class AdaptiveMaxPool(AdaptivePool, frozen=True):
    """Maxima over windows chosen so that the output has `output_size` (per axis or one for all), as
    torch.nn.AdaptiveMaxPool1d/2d/3d."""

    positional = 1
    name, nodes = "Max", ("MaxPool", "ReduceMax")
    saves_beside = 2  # an int64: where each came from
    examples = adaptive_examples("adaptive_maxpool")
