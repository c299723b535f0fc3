"""Multi-head attention with its projections: `attention`, `cross_attention`."""

from typing import Annotated, Any

from msgspec import Meta

from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, OpError, Param, Torch, known, register
from netdsl.ops.features import floating, nearest_divisor
from netdsl.ops.lowering import reshaped
from netdsl.ops.product import FOREIGN_MASKS, attended, causal_mask, mask_onnx, mask_shape
from netdsl.ops.spatial import Positive, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType

Rate = Annotated[float, Meta(ge=0, lt=1)]

SELF_HELPER = '''\
class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017) over [..., L, dim]."""

    def __init__(self, dim: int, heads: int[[inner:, inner: int | None = None]][[bias:, bias: bool = True]]\
[[qkv_bias:, qkv_bias: bool = True]][[causal:, causal: bool = False]][[dropout:, dropout: float = 0.0]]) -> None:
        super().__init__()
        [[inner:inner = inner or dim]]
        self.heads = heads
        [[causal:self.causal = causal]]
        [[dropout:self.dropout = dropout]]
        self.in_proj_weight = nn.Parameter(torch.empty(3 * [[inner:inner]][[!inner:dim]], dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * [[inner:inner]][[!inner:dim]]))\
[[qkv_bias: if qkv_bias else None]]
        self.out_proj = nn.Linear([[inner:inner]][[!inner:dim]], dim[[bias:, bias=bias]])
        nn.init.xavier_uniform_(self.in_proj_weight)
        [[bias:if bias:]]
        [[bias:     ]]nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor[[mask:, mask: Tensor | None = None]]) -> Tensor:
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.transpose(-2, -4).unbind(-3)  # each [..., heads, L, [[inner:inner]][[!inner:dim]] // heads]
        [[mask:if mask is not None:  # the axes it lacks come after the batch]]
        [[mask:    mask = mask.unflatten(0, (-1, *[1] * (x.ndim + 1 - mask.ndim)))]]
        [[dropout:dropout = self.dropout if self.training else 0.0]]
        y = F.scaled_dot_product_attention(\
q, k, v[[mask:, mask]][[dropout:, dropout_p=dropout]][[causal:, is_causal=self.causal]])
        return self.out_proj(y.transpose(-2, -3).flatten(-2))
'''

CROSS_HELPER = '''\
class CrossAttention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017) of [..., L, dim] to [..., S, context_dim]."""

    def __init__(self, dim: int, context_dim: int, heads: int[[inner:, inner: int | None = None]]\
[[bias:, bias: bool = True]][[qkv_bias:, qkv_bias: bool = True]][[dropout:, dropout: float = 0.0]]) -> None:
        super().__init__()
        [[inner:inner = inner or dim]]
        self.heads = heads
        [[dropout:self.dropout = dropout]]
        self.q_proj = nn.Linear(dim, [[inner:inner]][[!inner:dim]][[qkv_bias:, bias=qkv_bias]])
        self.k_proj = nn.Linear(context_dim, [[inner:inner]][[!inner:dim]][[qkv_bias:, bias=qkv_bias]])
        self.v_proj = nn.Linear(context_dim, [[inner:inner]][[!inner:dim]][[qkv_bias:, bias=qkv_bias]])
        self.out_proj = nn.Linear([[inner:inner]][[!inner:dim]], dim[[bias:, bias=bias]])

    def forward(self, x: Tensor, context: Tensor[[mask:, mask: Tensor | None = None]]) -> Tensor:
        inputs = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for t in inputs)
        [[mask:if mask is not None:  # the axes it lacks come after the batch]]
        [[mask:    mask = mask.unflatten(0, (-1, *[1] * (x.ndim + 1 - mask.ndim)))]]
        [[dropout:dropout = self.dropout if self.training else 0.0]]
        y = F.scaled_dot_product_attention(q, k, v[[mask:, mask]][[dropout:, dropout_p=dropout]])
        return self.out_proj(y.transpose(-2, -3).flatten(-2))
'''


class MultiHead(Op, frozen=True):
    """The base of both attention ops: `heads` heads over the last two axes `[L, D]`; axes before (windows) are
    attended one by one."""

    heads: Positive
    dim: Positive | None = None
    bias: bool = True
    qkv_bias: bool = True
    dropout: Rate = 0.0

    layout = "sequence"
    is_layer = True
    hints = FOREIGN_MASKS | dict.fromkeys(
        ("attn_drop", "attn_dropout", "attention_dropout", "attn_pdrop", "dropout_p"), "it is called `dropout`"
    )
    saves_beside = 4  # queries, keys, values, what they give

    def alone(self) -> bool:
        return self.dropout > 0

    def widths(self, x: TensorType) -> tuple[int, int]:
        """The width of the input and that inside. Raises OpError unless the heads divide it."""
        width = known(floating(x, self.kind).shape[-1], "the width of the tokens") if x.rank >= 2 else 0
        inner = self.dim or width
        if x.rank < 2:
            raise OpError(f"`{self.kind}` needs a sequence [L, D], found {x}", operand=0)
        if inner % self.heads:
            hint = f"`heads={nearest_divisor(inner, self.heads)}` would"
            raise OpError(f"{self.heads} heads do not divide {inner}", argument="heads", code="indivisible", hint=hint)
        return width, inner

    def projection(self, name: str, inputs: int, outputs: int, bias: bool) -> dict[str, Param]:
        weight = {f"{name}.weight": Param((outputs, inputs), "linear")}
        return weight | ({f"{name}.bias": Param((outputs,), "bias")} if bias else {})

    def products(self, x: TensorType, keys: Dim, inner: int) -> Dim:
        """The MACs of queries times keys and weights times values."""
        return 2 * product(x.shape[:-1]) * keys * inner

    def options(self, dim: int, **values: Any) -> tuple[tuple[str, Any], ...]:
        given = {"inner": self.dim or dim, "bias": self.bias, "qkv_bias": self.qkv_bias, "dropout": self.dropout}
        defaults = {"inner": dim, "bias": True, "qkv_bias": True, "causal": False, "dropout": 0.0}
        return optional(defaults, **given, **values)

    def window(self, *inputs: TensorType) -> str:
        return GLOBAL

    def mix(self, g: Graph, q: str, k: str, v: str, masks: list[tuple[str, str]]) -> Any:
        """`softmax(q @ k + masks) @ v` in ONNX, where q is scaled and k transposed."""
        return g.op("MatMul", attended(g, g.op("MatMul", q, k), masks), v)

    def output(self, g: Graph, y: str) -> Any:
        y = g.op("MatMul", y, g.const(g.array("out_proj.weight").T))
        return g.op("Add", y, g.weight("out_proj.bias")) if self.bias else y


@register("attention")
class Attention(MultiHead, frozen=True):
    """Multi-head self-attention over a sequence `[L, D]` (Vaswani et al., 2017), with torch.nn.MultiheadAttention's
    weights and names, computed by torch's fused `F.scaled_dot_product_attention`.

    `dim` is the width inside, of all heads together (D by default); `causal` lets a token see those up to itself.
    `mask` is added to the scores `[heads, L, L]` (a relative position bias); one of bool is true where a token attends,
    as for torch's function (nn.MultiheadAttention's are the other way round: `logical_not`). Its shape is the end of
    that of the scores: `[L]` says which tokens are seen by all (padding). Of windows `[N, L, D]` each is attended by
    itself, and scores are `[N, heads, L, L]`.
    """

    causal: bool = False

    positional = 1
    optional_operands = ("mask",)
    examples = (
        Example("attention(2)", ("[5, 8]",)),
        Example("attention(4, qkv_bias=false)", ("[5, 8]",)),
        Example("attention(2, bias=false, dim=12)", ("[5, 8]",)),
        Example("attention(2, causal=true)", ("[5, 8]",)),
        Example("attention(2, mask=y)", ("[5, 8]", "[2, 5, 5]")),
        Example("attention(2, mask=y)", ("[5, 8]", "[5, 5]")),
        Example("attention(2)", ("[3, 5, 8]",)),
        Example("attention(2, mask=y)", ("[3, 5, 8]", "[2, 5, 5]")),
        Example("attention(2, mask=y)", ("[3, 5, 8]", "[3, 1, 5, 5]")),
        Example("attention(2, mask=y)", ("[5, 8]", "[1, 5] bool")),
        Example("attention(2, mask=y)", ("[5, 8]", "[5] bool")),
        Example("attention(2, mask=y)", ("[3, 5, 8]", "[2, 5, 5] bool")),
        Example("attention(2, mask=y)", ("[5, 8]", "[1, 5]")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, *mask = inputs
        self.widths(x)
        if any(m.batched and not x.batched for m in mask):
            raise OpError("the mask differs between samples, and the tokens do not", operand=1)
        if mask and self.causal:
            raise OpError("`causal` and a mask: add one to the other", argument="causal", code="argument-conflict")
        for m in mask:
            mask_shape(assume, m, self._scores(x))
        return TensorType(x.shape, x.dtype, any(t.batched for t in inputs))

    def _scores(self, x: TensorType) -> tuple[Dim, ...]:
        return (*x.shape[:-2], self.heads, x.shape[-2], x.shape[-2])

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        width, inner = self.widths(inputs[0])
        packed = {"in_proj_weight": Param((3 * inner, width), "linear")}
        packed |= {"in_proj_bias": Param((3 * inner,), "bias")} if self.qkv_bias else {}
        return packed | self.projection("out_proj", inner, width, self.bias)

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        x = inputs[0]
        _, inner = self.widths(x)
        return product(x.shape) * (4 * inner) + self.products(x, x.shape[-2], inner)

    def torch(self, *inputs: TensorType) -> Torch:
        width, _ = self.widths(inputs[0])
        layer = Call("Attention", (width, self.heads), self.options(width, causal=self.causal))
        return Torch(layer, helper=SELF_HELPER, options=("mask",) if len(inputs) > 1 else ())

    def onnx(self, g: Graph, *x: Operand) -> Any:
        _, inner = self.widths(x[0].type)
        size = inner // self.heads
        fused = g.opset >= 23 and x[0].type.rank == 2 and all(self._fusible(m.type, x[0].type) for m in x[1:])
        scale = 1.0 if fused else size**-0.5
        qkv = g.op("MatMul", x[0].name, g.const(first_scaled(g.array("in_proj_weight"), inner, scale).T))
        if self.qkv_bias:
            qkv = g.op("Add", qkv, g.const(first_scaled(g.array("in_proj_bias"), inner, scale)))
        rank = x[0].type.rank
        masks = [(mask_onnx(g, m, rank + 1 - m.type.rank), m.type.dtype) for m in x[1:]]
        if fused:
            q, k, v = g.op("Split", qkv, outputs=3, axis=-1, num_outputs=3)
            heads = {"q_num_heads": self.heads, "kv_num_heads": self.heads}
            y = g.op("Attention", q, k, v, *(name for name, _ in masks), **heads, is_causal=int(self.causal) or None)
            return self.output(g, y)
        length = x[0].type.shape[-2]
        masks += [(causal_mask(g, length, length), "float32")] if self.causal else []
        cut = reshaped(g, Operand(qkv, x[0].type), *x[0].type.shape[:-1], 3, self.heads, size)
        moved = g.op("Transpose", cut, perm=(rank, *range(rank - 1), rank + 1, rank - 1, rank + 2))
        q, k, v = g.op("Split", moved, outputs=3, axis=0, **({"num_outputs": 3} if g.opset >= 18 else {}))
        k = g.op("Transpose", k, perm=(*range(rank + 1), rank + 2, rank + 1))
        y = g.op("Transpose", self.mix(g, q, k, v, masks), perm=(*range(1, rank), rank + 1, 0, rank, rank + 2))
        return self.output(g, reshaped(g, Operand(y, x[0].type), *x[0].type.shape[:-1], inner))

    def _fusible(self, mask: TensorType, x: TensorType) -> bool:
        """Whether ONNX's Attention takes a mask: onnxruntime's wants a row for each query."""
        length = x.shape[-2]
        return mask.dtype != "bool" and mask.shape[-2:] == (length, length)


def first_scaled(weight: Any, count: int, scale: float) -> Any:
    """The weight with its first `count` rows (those of the queries) times `scale`."""
    if scale == 1:
        return weight
    scaled = weight.copy()
    scaled[:count] *= scale
    return scaled


@register("cross_attention")
class CrossAttention(MultiHead, frozen=True):
    """Multi-head attention of a sequence `[L, D]` to a context `[S, E]` (Vaswani et al., 2017): queries come from the
    value that flows in, keys and values from `context`. Arguments and `mask` are those of `attention`."""

    laid_out = 2
    positional = 1
    operands = ("context",)
    optional_operands = ("mask",)
    examples = (
        Example("cross_attention(2, context=y)", ("[5, 8]", "[6, 4]")),
        Example("cross_attention(2, context=y, dim=12, qkv_bias=false)", ("[5, 8]", "[6, 8]")),
        Example("cross_attention(2, context=y, bias=false, mask=z)", ("[5, 8]", "[6, 4]", "[2, 5, 6]")),
        Example("cross_attention(2, context=y, mask=z)", ("[5, 8]", "[6, 4]", "[6] bool")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, context, *mask = inputs
        self.widths(x)
        if x.rank != 2 or context.rank != 2:
            raise OpError(f"`cross_attention` needs sequences [L, D] and [S, E], found {x} and {context}", operand=1)
        for m in mask:
            mask_shape(assume, m, self._scores(x, context))
        return TensorType(x.shape, x.dtype, any(t.batched for t in inputs))

    def _scores(self, x: TensorType, context: TensorType) -> tuple[Dim, ...]:
        return (self.heads, x.shape[-2], context.shape[-2])

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        width, inner = self.widths(inputs[0])
        other = known(inputs[1].shape[-1], "the width of the context")
        given = (("q_proj", width, inner), ("k_proj", other, inner), ("v_proj", other, inner))
        inside = [self.projection(*g, self.qkv_bias) for g in given]
        return inside[0] | inside[1] | inside[2] | self.projection("out_proj", inner, width, self.bias)

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        x, context = inputs[:2]
        _, inner = self.widths(x)
        projections = 2 * inner * product(x.shape) + 2 * inner * product(context.shape)
        return projections + self.products(x, context.shape[-2], inner)

    def torch(self, *inputs: TensorType) -> Torch:
        width, _ = self.widths(inputs[0])
        layer = Call("CrossAttention", (width, inputs[1].shape[-1], self.heads), self.options(width))
        return Torch(layer, helper=CROSS_HELPER, options=("mask",) if len(inputs) > 2 else ())

    def onnx(self, g: Graph, *x: Operand) -> Any:
        _, inner = self.widths(x[0].type)
        size = inner // self.heads

        def project(name: str, value: Operand, perm: tuple[int, ...], scale: float = 1.0) -> Any:
            y = g.op("MatMul", value.name, g.const(first_scaled(g.array(f"{name}.weight"), inner, scale).T))
            if self.qkv_bias:
                y = g.op("Add", y, g.const(first_scaled(g.array(f"{name}.bias"), inner, scale)))
            cut = reshaped(g, Operand(y, value.type), value.type.shape[0], self.heads, size)
            return g.op("Transpose", cut, perm=perm)

        q = project("q_proj", x[0], (0, 2, 1, 3), size**-0.5)
        k, v = project("k_proj", x[1], (0, 2, 3, 1)), project("v_proj", x[1], (0, 2, 1, 3))
        masks = [(mask_onnx(g, m, 3 - m.type.rank), m.type.dtype) for m in x[2:]]
        y = g.op("Transpose", self.mix(g, q, k, v, masks), perm=(0, 2, 1, 3))
        sizes = (x[0].type.shape[0], inner)
        return self.output(g, reshaped(g, Operand(y, self.infer(Assumptions(), *(o.type for o in x))), *sizes))
