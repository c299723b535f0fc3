"""Recurrent layers over a sequence: `rnn`, `lstm`, `gru`; from given states, and with the last ones as results."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from netdsl.budget import spend
from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, OpError, Param, Torch, known, register
from netdsl.ops.features import floating
from netdsl.ops.lowering import sliced
from netdsl.ops.spatial import Positive, optional
from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType

HELPER = '''\
class {name}(nn.{name}):
    """torch.nn.{name} over [N, L, D] that returns the outputs of all steps."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]
'''

STATES_HELPER = '''\
class {own}(nn.{name}):
    """torch.nn.{name} over [N, L, D] from a state [N, layers, H]; returns {results}."""

    def forward(self, x: Tensor, h0: Tensor | None = None) -> {hint}:
        if h0 is not None:
            n = max(x.size(0), h0.size(0))
            x, h0 = x.expand(n, -1, -1), h0.expand(n, -1, -1).transpose(0, 1).contiguous()
        y, h = super().forward(x, h0)
        return {returned}
'''

CELL_HELPER = '''\
class {own}(nn.{name}):
    """torch.nn.{name} over [N, L, D] from states [N, layers, H]; returns {results}."""

    def forward(self, x: Tensor, h0: Tensor | None = None, c0: Tensor | None = None) -> {hint}:
        state = None
        if h0 is not None:
            c0 = torch.zeros_like(h0) if c0 is None else c0
            n = max(x.size(0), h0.size(0), c0.size(0))
            x, h0, c0 = (t.expand(n, -1, -1) for t in (x, h0, c0))
            state = (h0.transpose(0, 1).contiguous(), c0.transpose(0, 1).contiguous())
        y, (h, c) = super().forward(x, state)
        return {returned}
'''


class Recurrent(Op, frozen=True):
    """The base of recurrent layers: `num_layers` layers of `hidden_size`, forward or in both directions, over `[L, D]`.

    `gates`: which of PyTorch's gates stands where ONNX wants its own. `state`: what goes from step to step.
    """

    node: ClassVar[str]
    gates: ClassVar[tuple[int, ...]]
    state: ClassVar[tuple[str, ...]] = ("h",)

    hidden_size: Positive
    num_layers: Positive = 1
    bidirectional: bool = False
    bias: bool = True
    dropout: Annotated[float, Meta(ge=0, le=1)] = 0.0
    states: bool = False

    layout = "sequence"
    is_layer = True
    optional_operands: ClassVar[tuple[str, ...]] = ("h0",)
    unpacked = "states"
    hints = dict.fromkeys(
        ("initial_state", "hx", "initial_h"), "the states that it begins with are `h0=` (and `c0=` of an `lstm`)"
    ) | {"hidden": "it is called `hidden_size`; a state to begin with is `h0=`"}
    saves_beside = 6  # about its gates and states

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        x = floating(inputs[0], self.kind)
        if x.rank != 2:
            hint = "`one_hot(n)` or `embed(n, width)` make vectors of integers" if x.rank == 1 else None
            raise OpError(f"`{self.kind}` needs a sequence [L, D], found {x}", operand=0, hint=hint)
        known(x.shape[1], "the number of features")
        if self.dropout and self.num_layers == 1:
            message = "`dropout` acts between layers, and there is one"
            raise OpError(message, argument="dropout", code="argument-conflict", hint="`-> dropout(...)` acts after it")
        batched = any(i.batched for i in inputs)
        outputs = TensorType((x.shape[0], self._directions() * self.hidden_size), x.dtype, batched)
        state = TensorType((self._rows_of_state(), self.hidden_size), x.dtype, batched)
        for index, given in enumerate(inputs[1:], start=1):
            self._check_state(assume, floating(given, self.kind, index), state, index)
        return (outputs, *[state] * len(self.state)) if self.states else outputs

    def _check_state(self, assume: Assumptions, found: TensorType, wanted: TensorType, index: int) -> None:
        sizes = zip(found.shape, wanted.shape, strict=False)
        if found.rank == 2 and all(assume.equal(m, n) != IMPOSSIBLE for m, n in sizes):
            return
        name = self.optional_operands[index - 1]
        layers = f"{self.num_layers * self._directions()} layers" if self._rows_of_state() > 1 else "one layer"
        hint = "`unsqueeze(axis=0)` makes a row of a vector" if found.rank == 1 else None
        message = f"`{name}` of {layers} of {self.hidden_size} is {wanted}, found {found}"
        raise OpError(message, operand=index, argument=name, hint=hint)

    def _rows_of_state(self) -> int:
        """One for each layer and direction, as PyTorch counts them."""
        return self.num_layers * self._directions()

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        found: dict[str, Param] = {}
        spend(40 * self.num_layers)
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
        own, helper = self._helper(name, len(inputs) > 1)
        return Torch(Call(own, sizes + layers, options), helper=helper)

    def _helper(self, name: str, given: bool) -> tuple[str, str]:
        """The class that calls PyTorch's layer, and its source."""
        if not given and not self.states:
            return name, HELPER.format(name=name)
        returned = ", ".join(["y", *(f"{s}.transpose(0, 1)" for s in self.state)]) if self.states else "y"
        results = "outputs and last state" if self.states else "all outputs"
        own = f"{name}States" if self.states else f"{name}From"
        source = CELL_HELPER if len(self.state) > 1 else STATES_HELPER
        hint = "tuple[Tensor, ...]" if self.states else "Tensor"
        return own, source.format(own=own, name=name, results=results, returned=returned, hint=hint)

    def _torch_options(self) -> tuple[tuple[str, Any], ...]:
        defaults = {"bidirectional": False, "bias": True, "dropout": 0.0}
        return optional(defaults, bidirectional=self.bidirectional, bias=self.bias, dropout=self.dropout)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        first, *given = self._of_one_batch(g, x)
        y = g.op("Transpose", first, perm=(1, 0, 2))  # onnxruntime wants the steps before the batch
        starts = [g.op("Transpose", state, perm=(1, 0, 2)) for state in given]
        lasts: list[tuple[str, ...]] = []
        for layer in range(self.num_layers):
            suffixes = self._suffixes(layer)
            weights = [g.const(self._weight(g, f"weight_{i}", suffixes)) for i in ("ih", "hh")]
            if self.bias or starts:
                weights.append(g.const(self._biases(g, suffixes)) if self.bias else "")
            if starts:
                at = layer * self._directions()
                weights += ["", *(sliced(g, s, 0, at, at + self._directions()) for s in starts)]
            steps, *last = self._node(g, y, weights)
            lasts.append(tuple(last))
            if self.bidirectional:
                moved = g.op("Transpose", steps, perm=(0, 2, 1, 3))
                y = g.op("Reshape", moved, g.const((0, 0, -1), "int64"))
            else:
                y = g.op("Squeeze", steps, g.const((1,), "int64"))
        outputs = g.op("Transpose", y, perm=(1, 0, 2))
        return (outputs, *(self._joined(g, s) for s in zip(*lasts, strict=True))) if self.states else outputs

    def _node(self, g: Graph, y: str, weights: list[Any]) -> tuple[str, ...]:
        """The node of a layer: the outputs of all steps, and the last states where they are asked for."""
        count = 1 + len(self.state) if self.states else 1
        found = g.op(self.node, y, *weights, outputs=count, hidden_size=self.hidden_size, **self._attributes())
        return found if self.states else (found,)

    @staticmethod
    def _of_one_batch(g: Graph, x: tuple[Operand, ...]) -> list[str]:
        """The inputs, those that are the same for every sample repeated where others are not."""
        mixed = any(o.type.batched for o in x)
        alike = [mixed and not o.type.batched for o in x]
        return [g.op("Expand", o.name, g.shape(*o.type.shape)) if a else o.name for o, a in zip(x, alike, strict=True)]

    @staticmethod
    def _joined(g: Graph, states: tuple[str, ...]) -> Any:
        """The last states of all layers, `[N, layers, H]`."""
        together = g.op("Concat", *states, axis=0) if len(states) > 1 else states[0]
        return g.op("Transpose", together, perm=(1, 0, 2))

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
    states = (
        Example(f"{kind}(3, states=true)", ("[5, 4]",)),
        Example(f"{kind}(3, h0=y)", ("[5, 4]", "[1, 3]")),
        Example(f"{kind}(3, num_layers=2, bidirectional=true, bias=false, states=true, h0=y)", ("[5, 4]", "[4, 3]")),
    )
    return (*(Example(text, ("[5, 4]",)) for text in texts), *states)


@register("rnn")
class RNN(Recurrent, frozen=True):
    """Elman's recurrent layer (1990), `h = tanh(W x + b + U h + c)`, as torch.nn.RNN over a sequence `[L, D]`: it gives
    the outputs of all steps, `[L, hidden_size]` (both directions side by side). `take(-1)` is the last.

    `y, h = rnn(64)` gives the last state too, one row for each layer and direction, and `h0=` takes such a one."""

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
    outputs of all steps, `[L, hidden_size]` (both directions side by side). `take(-1)` is the last.

    `y, h, c = lstm(64)` gives the last states too, one row for each layer and direction; `h0=` and `c0=` take such ones
    (`c0` is 0 where it is not given)."""

    positional = 1
    node, gates, state = "LSTM", (0, 3, 1, 2), ("h", "c")  # PyTorch: i f g o; ONNX: i o f c
    optional_operands = ("h0", "c0")
    examples = (
        *recurrent_examples("lstm"),
        Example("lstm(3, num_layers=2, states=true, h0=y, c0=z)", ("[5, 4]", "[2, 3]", "[2, 3]")),
    )


@register("gru")
class GRU(Recurrent, frozen=True):
    """Gated recurrent unit (Cho et al., 2014), as torch.nn.GRU (the reset gate after the product) over a sequence
    `[L, D]`: it gives the outputs of all steps, `[L, hidden_size]` (both directions side by side).

    `y, h = gru(64)` gives the last state too, one row for each layer and direction, and `h0=` takes such a one."""

    positional = 1
    node, gates = "GRU", (1, 0, 2)  # PyTorch: r z n; ONNX: z r h
    examples = recurrent_examples("gru")

    def _attributes(self) -> dict[str, Any]:
        return super()._attributes() | {"linear_before_reset": 1}
