"""Recurrent layers over a sequence: `rnn`, `lstm`, `gru`."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, OpError, Param, Torch, known, register
from netdsl.ops.features import floating
from netdsl.ops.spatial import Positive, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType

HELPER = '''\
class {name}(nn.{name}):
    """torch.nn.{name} over [N, L, D] that gives the outputs of all steps."""

    def forward(self, x):
        return super().forward(x)[0]
'''


class Recurrent(Op, frozen=True):
    """What they share: `num_layers` layers of `hidden_size`, forward or in both directions, over `[L, D]`.

    `gates`: which of PyTorch's gates stands where ONNX wants its own.
    """

    node: ClassVar[str]
    gates: ClassVar[tuple[int, ...]]

    hidden_size: Positive
    num_layers: Positive = 1
    bidirectional: bool = False
    bias: bool = True
    dropout: Annotated[float, Meta(ge=0, le=1)] = 0.0

    is_layer = True
    saves_beside = 6  # about its gates and states

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], self.kind)
        if x.rank != 2:
            hint = "`one_hot(n)` or `embed(n, width)` make vectors of integers" if x.rank == 1 else None
            raise OpError(f"`{self.kind}` needs a sequence [L, D], found {x}", operand=0, hint=hint)
        known(x.shape[1], "the number of features")
        if self.dropout and self.num_layers == 1:
            message = "`dropout` acts between layers, and there is one"
            raise OpError(message, argument="dropout", code="argument-conflict", hint="`-> dropout(...)` acts after it")
        return x.with_shape(x.shape[0], self._directions() * self.hidden_size)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        found: dict[str, Param] = {}
        rows = len(self.gates) * self.hidden_size
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                found[f"weight_ih_{suffix}"] = Param((rows, self._width(inputs[0], layer)), "recurrent")
                found[f"weight_hh_{suffix}"] = Param((rows, self.hidden_size), "recurrent")
                if self.bias:
                    found |= {f"bias_{i}_{suffix}": Param((rows,), "bias") for i in ("ih", "hh")}
        return found

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        weights = (p.shape for p in self.params(*inputs).values() if len(p.shape) == 2)
        return inputs[0].shape[0] * sum(rows * columns for rows, columns in weights)

    def torch(self, *inputs: TensorType) -> Torch:
        name = type(self).__name__
        sizes = (inputs[0].shape[1], self.hidden_size)
        layers = (self.num_layers,) if self.num_layers > 1 else ()
        options = (*self._torch_options(), ("batch_first", True))
        return Torch(Call(name, sizes + layers, options), helper=HELPER.format(name=name))

    def _torch_options(self) -> tuple[tuple[str, Any], ...]:
        defaults = {"bidirectional": False, "bias": True, "dropout": 0.0}
        return optional(defaults, bidirectional=self.bidirectional, bias=self.bias, dropout=self.dropout)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        y = g.op("Transpose", x[0].name, perm=(1, 0, 2))  # onnxruntime wants the steps before the batch
        for layer in range(self.num_layers):
            suffixes = self._suffixes(layer)
            weights = [g.const(self._weight(g, f"weight_{i}", suffixes)) for i in ("ih", "hh")]
            if self.bias:
                weights.append(g.const(self._biases(g, suffixes)))
            steps = g.op(self.node, y, *weights, hidden_size=self.hidden_size, **self._attributes())
            if self.bidirectional:
                moved = g.op("Transpose", steps, perm=(0, 2, 1, 3))
                y = g.op("Reshape", moved, g.const((0, 0, -1), "int64"))
            else:
                y = g.op("Squeeze", steps, g.const((1,), "int64"))
        return g.op("Transpose", y, perm=(1, 0, 2))

    def _attributes(self) -> dict[str, Any]:
        return {"direction": "bidirectional"} if self.bidirectional else {}

    def _rows(self) -> list[int]:
        """The rows of PyTorch's weights in the order of ONNX's gates."""
        size = self.hidden_size
        return [i for gate in self.gates for i in range(gate * size, (gate + 1) * size)]

    def _weight(self, g: Graph, name: str, suffixes: tuple[str, ...]) -> Any:
        """A weight of all directions, `[directions, gates * hidden, inputs]`."""
        parts = [g.array(f"{name}_{suffix}")[self._rows()] for suffix in suffixes]
        return parts[0][None] if len(parts) == 1 else parts

    def _biases(self, g: Graph, suffixes: tuple[str, ...]) -> list[list[float]]:
        """Both biases of all directions, `[directions, 2 * gates * hidden]`."""
        pairs = [[g.array(f"bias_{i}_{suffix}")[self._rows()].tolist() for i in ("ih", "hh")] for suffix in suffixes]
        return [first + second for first, second in pairs]

    def window(self, *inputs: TensorType) -> str:
        return GLOBAL

    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"l{layer}", f"l{layer}_reverse")[: self._directions()]

    def _width(self, x: TensorType, layer: int) -> int:
        return self._directions() * self.hidden_size if layer else known(x.shape[1], "the number of features")


def recurrent_examples(kind: str) -> tuple[Example, ...]:
    texts = (
        f"{kind}(6)",
        f"{kind}(3, num_layers=2, bidirectional=true)",
        f"{kind}(4, num_layers=2, bias=false, dropout=0.1)",
    )
    return tuple(Example(text, ("[5, 4]",)) for text in texts)


@register("rnn")
class RNN(Recurrent, frozen=True):
    """Elman's recurrent layer (1990), `h = tanh(W x + b + U h + c)`, as torch.nn.RNN over a sequence `[L, D]`: it gives
    the outputs of all steps, `[L, hidden_size]` (both directions side by side). `take(-1)` is the last."""

    nonlinearity: Literal["tanh", "relu"] = "tanh"

    positional = 1
    node, gates = "RNN", (0,)
    examples = (*recurrent_examples("rnn"), Example("rnn(3, nonlinearity=relu, bidirectional=true)", ("[5, 4]",)))

    def _torch_options(self) -> tuple[tuple[str, Any], ...]:
        own = optional({"nonlinearity": "tanh"}, nonlinearity=self.nonlinearity)
        return super()._torch_options() + own

    def _attributes(self) -> dict[str, Any]:
        names = {"tanh": "Tanh", "relu": "Relu"}[self.nonlinearity]
        return super()._attributes() | {"activations": [names] * self._directions()}


@register("lstm")
class LSTM(Recurrent, frozen=True):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), as torch.nn.LSTM over a sequence `[L, D]`: it gives the
    outputs of all steps, `[L, hidden_size]` (both directions side by side). `take(-1)` is the last."""

    positional = 1
    node, gates = "LSTM", (0, 3, 1, 2)  # PyTorch: i f g o; ONNX: i o f c
    examples = recurrent_examples("lstm")


@register("gru")
class GRU(Recurrent, frozen=True):
    """Gated recurrent unit (Cho et al., 2014), as torch.nn.GRU (the reset gate after the product) over a sequence
    `[L, D]`: it gives the outputs of all steps, `[L, hidden_size]` (both directions side by side)."""

    positional = 1
    node, gates = "GRU", (1, 0, 2)  # PyTorch: r z n; ONNX: z r h
    examples = recurrent_examples("gru")

    def _attributes(self) -> dict[str, Any]:
        return super()._attributes() | {"linear_before_reset": 1}
