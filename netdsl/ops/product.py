"""Matrix products of values: `matmul`, `sdpa`."""

from typing import Any

from netdsl.ops.base import GLOBAL, Call, Code, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.features import floating, is_bare, same_elements, unclear
from netdsl.ops.lowering import full_shape
from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType


def same_groups(assume: Assumptions, kind: str, *inputs: TensorType, free: int = 2, hint: str | None = None) -> bool:
    """Whether the values are of the batch. Raises OpError, with `hint`, unless they agree in all but the last `free`
    axes."""
    first = inputs[0]
    for i, x in enumerate(inputs):
        floating(x, kind)
        if x.rank < 2:
            other = "`unsqueeze(axis=0)` makes a vector a matrix of one row; a product with learned weights is `linear`"
            raise OpError(f"`{kind}` needs matrices, found {x}", operand=i, hint=other)
        if x.rank != first.rank:
            message = f"`{kind}` needs matrices of one rank, found {first} and {x}"
            raise OpError(message, operand=i, hint="`unsqueeze` and `expand` repeat a matrix")
        if any(assume.equal(m, n) == IMPOSSIBLE for m, n in zip(first.shape[:-free], x.shape[:-free], strict=True)):
            raise OpError(f"`{kind}` needs as many matrices on all sides, found {first} and {x}", operand=i, hint=hint)
    same_elements(kind, *inputs)
    return any(x.batched for x in inputs)


@register("matmul")
class MatMul(Op, frozen=True):
    """The matrix product `a @ b` over the last two axes: `[M, K] @ [K, N]` gives `[M, N]`. Axes before must agree."""

    operands = ("a", "b")
    takes_it = False
    examples = (Example("matmul(x, y)", ("[3, 4]", "[4, 5]")), Example("matmul(x, y)", ("[2, 3, 4]", "[2, 4, 5]")))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        a, b = inputs
        batched = same_groups(assume, "matmul", a, b)
        message = f"`@` needs as many columns on the left as rows on the right, found {a} and {b}"
        turned = a.rank == 2 and a.shape[-1] == b.shape[-1]
        hint = "`permute((1, 0))` on the right exchanges its axes" if turned else None
        require(assume.equal(a.shape[-1], b.shape[-2]), message, operand=1, hint=hint)
        return TensorType((*a.shape[:-1], b.shape[-1]), a.dtype, batched)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return unclear(result)

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        return product(output.shape) * inputs[0].shape[-1]

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call("@", (X(0), X(1))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("MatMul", x[0].name, x[1].name)


OTHER_WAY_ROUND = (
    "true in `mask=` lets a token be seen, as in F.scaled_dot_product_attention; in the masks of nn.MultiheadAttention "
    "it leaves one out: `mask=other -> logical_not`"
)
"""What to say to a person who may follow the other convention."""

FOREIGN_MASKS = dict.fromkeys(("key_padding_mask", "attn_mask", "padding_mask", "attention_mask"), OTHER_WAY_ROUND)
"""Hints for the names that masks have elsewhere."""

LOWEST = -3.4028234e38
"""A score that softmax turns into 0 beside any other, and into equal weights beside its like."""


def mask_shape(assume: Assumptions, mask: TensorType, scores: tuple[Dim, ...]) -> int:
    """How many axes a mask lacks of the scores `[..., heads, L, S]`. Raises OpError unless it is the end of that shape,
    where sizes of 1 fit all, and true or false, or real numbers."""
    if mask.dtype not in ("bool", "float32", "unknown"):
        hint = f"bool says who is seen (`equal(1)` makes it), float32 is added to the scores; {OTHER_WAY_ROUND}"
        raise OpError(f"a mask is bool or float32, found {mask}", operand=-1, code="dtype-mismatch", hint=hint)
    target = scores[len(scores) - mask.rank :] if 1 <= mask.rank <= len(scores) else ()
    fits = bool(target) and all(
        m == 1 or assume.equal(m, n) != IMPOSSIBLE for m, n in zip(mask.shape, target, strict=True)
    )
    if not fits:
        message = f"a mask meets scores of [{', '.join(map(str, scores))}], found {mask}"
        hint = (
            "its shape must be the end of that of the scores: one number for each key, or a row of them for each query"
        )
        raise OpError(message, operand=-1, hint=hint)
    if is_bare(mask):
        hint = "`unsqueeze(axis=0)` makes it a row for all queries"
        raise OpError(f"a parameter of one axis cannot be a mask, found {mask}", operand=-1, hint=hint)
    return len(scores) - mask.rank


def mask_torch(index: int, mask: TensorType, lacking: int) -> Any:
    """The mask in a PyTorch form, with axes of size 1 after its batch axis for those that it lacks."""
    return Call("[]", (X(index), Code(", ".join([":"] + ["None"] * lacking)))) if lacking else X(index)


def mask_onnx(g: Graph, mask: Operand, lacking: int) -> str:
    """The mask with axes for those that it lacks; one that is the same for every sample is broadcast as it is."""
    axes = tuple(range(1, lacking + 1))
    return str(g.op("Unsqueeze", mask.name, g.const(axes, "int64"))) if lacking and mask.type.batched else mask.name


def attended(g: Graph, scores: str, masks: list[tuple[str, str]]) -> Any:
    """The weights of attention in ONNX: softmax of the scores under masks, which are pairs of a value and its dtype.

    Real numbers are added; where a mask of bool is false the weight is 0, also of a query that attends to nothing
    (as in PyTorch, where softmax alone would give values that are not finite).
    """
    for mask, dtype in masks:
        scores = g.op("Where", mask, scores, g.const(LOWEST)) if dtype == "bool" else g.op("Add", scores, mask)
    weights = g.op("Softmax", scores, axis=-1)
    for mask, dtype in masks:
        weights = g.op("Where", mask, weights, g.const(0.0)) if dtype == "bool" else weights
    return weights


def causal_mask(g: Graph, queries: Dim, keys: Dim) -> str:
    """Scores of -inf where a key comes after the query, else 0: `[L, S]`."""
    if isinstance(queries, int) and isinstance(keys, int):
        return g.const([[0.0 if j <= i else float("-inf") for j in range(keys)] for i in range(queries)])
    full = g.op("Expand", g.const(float("-inf")), g.shape(queries, keys, batch=False))
    return str(g.op("Trilu", full, g.const(1, "int64"), upper=1))


def heads_a_key(q: TensorType, k: TensorType, v: TensorType) -> int | None:
    """How many heads of queries `[..., heads, L, d]` share one of keys and values; None where they cannot."""
    if min(x.rank for x in (q, k, v)) < 3:
        return None
    many, few, others = (x.shape[-3] for x in (q, k, v))
    if not (isinstance(many, int) and isinstance(few, int) and few == others) or many % few:
        return None
    return many // few


def _for_each_head(g: Graph, query: Operand, shared: Operand) -> str:
    """Keys or values `[..., few, S, d]`, each repeated for the heads of queries that share it: `[..., heads, S, d]`."""
    shape = shared.type.shape
    repeats = query.type.shape[-3] // shape[-3]
    alone = g.op("Unsqueeze", shared.name, g.const((len(shape) - 1,), "int64"))
    many = g.op("Expand", alone, g.const((1,) * (len(shape) - 1) + (repeats, 1, 1), "int64"))
    return str(g.op("Reshape", many, full_shape(g, shared.type, *shape[:-3], query.type.shape[-3], *shape[-2:])))


@register("sdpa")
class ScaledDotProduct(Op, frozen=True):
    """`softmax(query @ key.T / sqrt(d) + mask) @ value` over the last two axes (Vaswani et al., 2017), without weights,
    as torch's F.scaled_dot_product_attention: `[heads, L, d]`, `[heads, S, d]`, `[heads, S, e]` give `[heads, L, e]`.

    `causal` lets a query see the keys up to its own place. `mask` is added to the scores; one of bool is true where a
    query attends to a key (nn.MultiheadAttention's are the other way round). Its shape is the end of that of the
    scores: `[S]` is for all queries. `scale` replaces `1 / sqrt(d)`. With `enable_gqa` several heads of queries share
    one of keys and values, each the next of theirs (Ainslie et al., 2023): `[8, L, d]`, `[2, S, d]`, `[2, S, e]`.
    """

    causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    layout = "sequence"
    laid_out = 3
    operands = ("query", "key", "value")
    optional_operands = ("mask",)
    takes_it = False
    hints = FOREIGN_MASKS
    examples = (
        Example("sdpa(x, y, z)", ("[2, 5, 4]", "[2, 6, 4]", "[2, 6, 3]")),
        Example("sdpa(x, y, z, causal=true)", ("[2, 5, 4]", "[2, 5, 4]", "[2, 5, 4]")),
        Example("sdpa(x, y, z, scale=0.3)", ("[5, 4]", "[6, 4]", "[6, 4]")),
        Example("sdpa(x, y, z, mask=w)", ("[2, 5, 4]", "[2, 6, 4]", "[2, 6, 3]", "[5, 6]")),
        Example("sdpa(x, y, z, mask=w)", ("[2, 5, 4]", "[2, 6, 4]", "[2, 6, 3]", "[1, 6] bool")),
        Example("sdpa(x, y, z, mask=w)", ("[2, 5, 4]", "[2, 6, 4]", "[2, 6, 3]", "[6] bool")),
        Example("sdpa(x, y, z, enable_gqa=true)", ("[6, 5, 4]", "[2, 7, 4]", "[2, 7, 3]")),
        Example("sdpa(x, y, z, enable_gqa=true, causal=true)", ("[3, 4, 5, 8]", "[3, 2, 5, 8]", "[3, 2, 5, 8]")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        q, k, v, *mask = inputs
        hint = "`enable_gqa=true` lets several heads of queries share one of keys" if heads_a_key(q, k, v) else None
        batched = same_groups(assume, "sdpa", q, k, v, free=3 if self.enable_gqa else 2, hint=hint)
        if self.enable_gqa and heads_a_key(q, k, v) is None:
            heads = [size for x in (q, k, v) for size in x.shape[-3:-2]]
            message = f"`enable_gqa` needs a multiple of the heads of keys for queries, found {q}, {k} and {v}"
            code = "indivisible" if all(isinstance(size, int) for size in heads) else "symbolic-size"
            raise OpError(message, argument="enable_gqa", code=code)
        require(assume.equal(q.shape[-1], k.shape[-1]), f"queries of {q} and keys of {k} differ in width", operand=1)
        require(assume.equal(k.shape[-2], v.shape[-2]), f"there are not as many keys as values: {k} and {v}", operand=2)
        if self.causal and mask:
            raise OpError("`causal` and a mask: add one to the other", argument="causal", code="argument-conflict")
        for m in mask:
            mask_shape(assume, m, (*q.shape[:-1], k.shape[-2]))
        return TensorType((*q.shape[:-1], v.shape[-1]), q.dtype, batched)

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        q, k, v = inputs[:3]
        return product(q.shape) * k.shape[-2] + product(q.shape[:-1]) * k.shape[-2] * v.shape[-1]

    def window(self, *inputs: TensorType) -> str:
        return GLOBAL

    def torch(self, *inputs: TensorType) -> Torch:
        q, k, _, *mask = inputs
        options: tuple[tuple[str, Any], ...] = (("is_causal", True),) if self.causal else ()
        for m in mask:
            lacking = mask_shape(Assumptions(), m, (*q.shape[:-1], k.shape[-2]))
            options += (("attn_mask", mask_torch(3, m, lacking)),)
        options += (("scale", self.scale),) if self.scale is not None else ()
        options += (("enable_gqa", True),) if self.enable_gqa else ()
        return Torch(expression=Call("F.scaled_dot_product_attention", (X(0), X(1), X(2)), options))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        q, k, v, *mask = x
        keys, values = [_for_each_head(g, q, y) if self.enable_gqa else y.name for y in (k, v)]
        perm = (*range(k.type.rank - 1), k.type.rank, k.type.rank - 1)
        scores = g.op("MatMul", self._scaled(g, q), g.op("Transpose", keys, perm=perm))
        masks = [(mask_onnx(g, m, q.type.rank - m.type.rank), m.type.dtype) for m in mask]
        masks += [(causal_mask(g, q.type.shape[-2], k.type.shape[-2]), "float32")] if self.causal else []
        return g.op("MatMul", attended(g, scores, masks), values)

    def _scaled(self, g: Graph, q: Operand) -> str:
        """The queries times the scale; a named width is read while the net runs."""
        width = q.type.shape[-1]
        if self.scale is None and not isinstance(width, int):
            return str(g.op("Div", q.name, g.op("Sqrt", g.op("Cast", g.shape(width, batch=False), to=1))))
        scale = self.scale if self.scale is not None else float(width) ** -0.5  # type: ignore[arg-type]
        return str(g.op("Mul", q.name, g.const(scale)))
