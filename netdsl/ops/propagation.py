"""Message passing over the weighted edges of a graph: `propagate`."""

from typing import Any

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.features import floating, same_elements
from netdsl.ops.indexing import Gather, Scatter, indexed
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

HELPER = '''\
def propagate(x: Tensor, source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Rows of x [N, M, ...] sent along edges [N, E], times their weight [N, E, ...], and summed.

    Some messages are computed at once, and again for the gradient: memory never holds all of them.
    """
    if len(x) > 1:  # all samples as rows of one matrix
        first = x.shape[1] * torch.arange(len(x), device=x.device)[:, None]
        source, target = source + first, target + first
    nodes = x.reshape(len(x) * x.shape[1], x.shape[2:].numel())
    edges = source.flatten(), target.flatten(), weight.flatten(0, 1)
    width = nodes.shape[1] // weight.shape[2:].numel()  # numbers that share a weight

    def messages(nodes: Tensor, source: Tensor, weight: Tensor) -> Tensor:
        sent = nodes.gather(0, source[:, None].expand(-1, nodes.shape[1]))
        return (sent.reshape(*weight.shape, width) * weight[..., None]).flatten(1)

    total = torch.zeros_like(nodes, dtype=torch.result_type(x, weight))  # autocast: they may differ
    for source, target, weight in zip(*(part.split(2**17) for part in edges), strict=True):
        sent = torch.utils.checkpoint.checkpoint(
            messages, nodes, source, weight, use_reentrant=False, preserve_rng_state=False
        )
        total = total.scatter_add(0, target[:, None].expand_as(sent), sent)
    return total.reshape(x.shape)
'''


@register("propagate")
class Propagate(Op, frozen=True):
    """Rows of `x` sent along weighted edges and summed: `[N, ...]`, the edges' `source` and `target` `[E]` and their
    `weight` give `[N, ...]`, row n being the sum of `weight[e] * x[source[e]]` over the edges with `target[e] == n`.
    `weight` is `[E]`, or `[E, heads]` for an `x` of `[N, heads, dim]`. As `gather`, a product and `scatter`, of which
    training holds no message.
    """

    operands = ("source", "target", "weight")
    hints = {
        "weight": "messages without weights are two steps: `gather(index=source) -> scatter(index=target, size=N)`",
    }
    examples = (
        Example("propagate(source=y, target=z, weight=w)", ("[4, 6]", "[5] int64", "[5] int64", "[5]")),
        Example("propagate(source=y, target=z, weight=w)", ("[4, 2, 3]", "[5] int64", "[5] int64", "[5, 2]")),
        Example("propagate(source=y, target=z, weight=w)", ("[4, 3]", "[5] int64", "[5] int64", "[5, 3]")),
        Example("propagate(source=y, target=z, weight=w)", ("[4]", "[5] int64", "[5] int64", "[5]")),
    )

    def alone(self) -> bool:
        return True

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, source, target, weight = inputs
        same_elements("propagate", floating(x, "propagate"), floating(weight, "propagate", 3))
        if x.rank < 1 or not 1 <= weight.rank <= x.rank:
            raise OpError(f"`propagate` needs rows [N, ...] and weights [E, ...], found {x} and {weight}", operand=3)
        for i, t in enumerate(inputs):
            if not t.batched:
                raise OpError("`propagate` needs values of each sample, found a parameter", operand=i)
        edges = indexed("propagate", x, source)
        for i, t in ((2, target), (3, weight)):
            require(assume.equal(t.shape[0], edges), f"`propagate` over {edges} edges, found {t}", operand=i)
        indexed("propagate", x, target)
        for own, width in zip(weight.shape[1:], x.shape[1:], strict=False):
            require(assume.equal(own, width), f"weights {weight} do not fit rows {x}", operand=3)
        return x

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call("propagate", tuple(map(X, range(4)))), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        rows, source, target, weight = x
        sent = Gather().infer(Assumptions(), rows.type, source.type)
        new = tuple(range(1 + weight.type.rank, 1 + sent.rank))
        factor = g.op("Unsqueeze", weight.name, g.const(new, "int64")) if new else weight.name
        messages = g.op("Mul", Gather().onnx(g, rows, source), factor)
        return Scatter(size=rows.type.shape[0]).onnx(g, Operand(messages, sent), target)
