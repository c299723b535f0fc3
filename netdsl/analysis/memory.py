"""The activation memory of a training step: the values that PyTorch saves for the backward pass, op by op."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.analysis.count import sum_bytes
from netdsl.ir.flatten import Node, flatten
from netdsl.ir.model import Program
from netdsl.sizes.dims import Dim, total


def kept_bytes(program: Program) -> Dim:
    """The bytes that the forward pass keeps for the backward pass, for one sample in float32."""
    roots: dict[str, str] = {}
    sizes: dict[str, Dim] = {}
    beside: list[Dim] = []
    flat = flatten(program, training=True)
    for value in flat.inputs:
        sizes[value.name] = sum_bytes([value.type])
    kept: dict[str, None] = {}
    for node in flat:
        for out in node.outputs:
            sizes[out.name] = sum_bytes([out.type])
            if node.op.saves == "view" and node.inputs:
                roots[out.name] = roots.get(node.inputs[0].name, node.inputs[0].name)
        kept |= dict.fromkeys(roots.get(name, name) for name in _saved(node))
        beside.append(sum_bytes(v.type for v in node.outputs) * node.op.saves_beside)
    return total((*beside, *(sizes[name] for name in kept)))


def _saved(node: Node) -> Iterable[str]:
    """The values of the net that a call keeps."""
    saves = node.op.saves
    if saves in ("view", "nothing") or not any(v.type.batched for v in node.inputs):
        return ()
    return [v.name for v in (node.outputs if saves == "output" else node.inputs) if v.type.batched]


def training_flops(program: Program) -> Dim:
    """The floating-point operations of a forward and a backward pass for one sample: 2 for each multiply-accumulate, in
    the forward pass and for the gradients of the weights and of the input, where something behind it is trained."""
    trained: set[str] = set()
    found: list[Dim] = []
    for node in flatten(program, training=True):
        macs = node.op.macs(node.outputs[0].type, *node.types)
        own = bool(node.op.params(*node.types))
        behind = min(1 if own else 2, sum(v.name in trained for v in node.inputs))
        found.append(macs * 2 * (1 + own + behind))
        if own or behind:
            trained.update(v.name for v in node.outputs)
    return total(found)
