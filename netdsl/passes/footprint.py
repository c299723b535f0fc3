"""What a training step keeps in memory: the values that the backward pass needs, op by op, as PyTorch saves them."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.dims import Dim
from netdsl.ir.flatten import Node, flatten
from netdsl.ir.model import Program
from netdsl.passes.count import sum_bytes

VIEWS = frozenset({
    "flatten", "reshape", "permute", "squeeze", "unsqueeze", "expand", "identity", "chunk", "split", "narrow", "take",
    "crop", "subsample",
})  # fmt: skip
"""Ops whose result is the memory of their input (or nearly always)."""

NOTHING = frozenset({
    "add", "sub", "scalar", "concat", "pad", "neg", "gap", "reduce_mean", "reduce_sum", "avgpool", "adaptive_avgpool",
    "upsample", "drop_path", "roll", "fill", "param", "constant", "one_hot", "floor", "ceil", "sign", "cast",
    "channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "windows", "unwindows",
})  # fmt: skip
"""Ops whose gradient needs no value of theirs."""

OUTPUT = frozenset({"relu", "sigmoid", "tanh", "softmax", "log_softmax", "exp", "sqrt", "rsqrt", "reciprocal"})
"""Ops whose gradient is computed from their result."""

INDEXED = frozenset({"maxpool", "adaptive_maxpool", "gmp"})
"""Ops that remember where each result came from: an int64 for each."""

ATTENTION = frozenset({"attention", "cross_attention"})
RECURRENT = frozenset({"lstm", "gru", "rnn"})
GATES = 6
"""Values of the output's size that a recurrent layer keeps: about its gates and states."""


def kept_bytes(program: Program) -> Dim:
    """The bytes that the forward pass keeps for the backward pass, for one sample in float32."""
    roots: dict[str, str] = {}
    sizes: dict[str, Dim] = {}
    total: Dim = 0
    flat = flatten(program, training=True)
    for value in flat.inputs:
        sizes[value.name] = sum_bytes([value.type])
    kept: dict[str, None] = {}
    for node in flat:
        for out in node.outputs:
            sizes[out.name] = sum_bytes([out.type])
            if node.op.kind in VIEWS and node.inputs:
                roots[out.name] = roots.get(node.inputs[0].name, node.inputs[0].name)
        kept |= dict.fromkeys(roots.get(name, name) for name in _saved(node))
        total = total + _beside(node)
    for name in kept:
        total = total + sizes[name]
    return total


def _saved(node: Node) -> Iterable[str]:
    """The values of the net that a call keeps."""
    kind = node.op.kind
    if kind in VIEWS or kind in NOTHING or not any(v.type.batched for v in node.inputs):
        return ()
    return [v.name for v in (node.outputs if kind in OUTPUT else node.inputs) if v.type.batched]


def _beside(node: Node) -> Dim:
    """The bytes that a call keeps beside the values of the net."""
    kind = node.op.kind
    if kind in INDEXED:
        return sum_bytes(v.type for v in node.outputs) * 2
    if kind in ATTENTION:  # queries, keys, values, what they give
        return sum_bytes([node.inputs[0].type]) * 4
    if kind in RECURRENT:
        return sum_bytes([node.outputs[0].type]) * GATES
    if kind in ("dropout", "alpha_dropout"):
        return sum_bytes([node.outputs[0].type])
    return 0


def training_flops(program: Program) -> Dim:
    """The floating-point operations of a forward and a backward pass for one sample: 2 for each multiply-accumulate, in
    the forward pass and for the gradients of the weights and of the input, where something behind it is trained."""
    trained: set[str] = set()
    total: Dim = 0
    for node in flatten(program, training=True):
        macs = node.op.macs(node.outputs[0].type, *node.types)
        own = bool(node.op.params(*node.types))
        behind = min(1 if own else 2, sum(v.name in trained for v in node.inputs))
        total = total + macs * 2 * (1 + own + behind)
        if own or behind:
            trained.update(v.name for v in node.outputs)
    return total
