"""Integers as vectors: `embed`, `one_hot`."""

from typing import Any

from netdsl.ops.base import Call, Code, Example, Graph, Op, Operand, OpError, Param, Torch, X, register
from netdsl.ops.spatial import Positive
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType


def integers(x: TensorType, kind: str) -> TensorType:
    """The type itself. Raises OpError for one that does not hold integers."""
    if not x.dtype.startswith(("int", "unknown")):
        hint = "declare the input as `input tokens [L] int64`, or use `cast(dtype=int64)`"
        raise OpError(f"`{kind}` needs integers, found {x}", operand=0, code="dtype-mismatch", hint=hint)
    return x


@register("embed")
class Embed(Op, frozen=True):
    """A learnt vector for each integer below `num_embeddings`, as torch.nn.Embedding: `[L] int64` to `[L, D]`."""

    num_embeddings: Positive
    embedding_dim: Positive

    positional = 2
    is_layer = True
    takes_integers = True
    examples = (
        Example("embed(7, 4)", ("[5] int64",)),
        Example("embed(3, 6)", ("[] int64",)),
        Example("embed(9, 2)", ("[3, 4] int64",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = integers(inputs[0], "embed")
        return TensorType((*x.shape, self.embedding_dim), batched=x.batched)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return result.rank - 1

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return {"weight": Param((self.num_embeddings, self.embedding_dim), "embedding")}

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("nn.Embedding", (self.num_embeddings, self.embedding_dim)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Gather", g.weight("weight"), x[0].name)


@register("one_hot")
class OneHot(Op, frozen=True):
    """Each integer below `num_classes` as a vector of zeros with a one at its place, as torch's F.one_hot (but of real
    numbers): `[L] int64` to `[L, num_classes]`."""

    num_classes: Positive

    positional = 1
    saves = "nothing"
    examples = (Example("one_hot(4)", ("[5] int64",)), Example("one_hot(3)", ("[] int64",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = integers(inputs[0], "one_hot")
        return TensorType((*x.shape, self.num_classes), batched=x.batched)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return result.rank - 1

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(".to", (Call("F.one_hot", (X(), self.num_classes)), Code("torch.float32"))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("OneHot", x[0].name, g.const(self.num_classes, "int64"), g.const((0.0, 1.0)), axis=-1)
