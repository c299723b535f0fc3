"""The order in which a net uses its layers, and the layers that feed each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netdsl.ir.flatten import Node, flatten
from netdsl.ir.model import Program
from netdsl.weights.slots import Unit

ORDERED = frozenset({"concat"})
"""Ops whose operands have an order that people keep when they number what comes together there."""


class Use:
    """The layers of a net in order of use.

    `feeds[i]`: a bit for every layer whose output layer `i` reads, directly or not. `words[i]`: what
    names may say of it that the net's structure shows: that it reads a pool, that it is a transposed convolution.
    """

    def __init__(self, units: Sequence[Unit], program: Program) -> None:
        nodes = tuple(flatten(program, training=True))
        first: dict[str, int] = {}
        for number, node in enumerate(nodes):
            first.setdefault(node.layer_path, number)
        at = {unit: _first_use(unit, first) for unit in units}
        places = {unit: i for i, unit in enumerate(units)}
        self.units = sorted(units, key=lambda u: (at[u], places[u]))
        self.nodes = nodes
        self.feeds, self._behind = self._walk(at)
        self.words = _words(self.units, at, nodes, attention_parts(program))

    def _walk(self, at: dict[Unit, int]) -> tuple[list[int], list[int]]:
        """For every layer what it reads, and for every op call all layers behind it, the call's own included."""
        used_by: dict[int, int] = {}
        for number, unit in enumerate(self.units):
            used_by[at[unit]] = used_by.get(at[unit], 0) | 1 << number
        behind: dict[str, int] = {}
        masks: list[int] = []
        before: list[int] = []
        for number, node in enumerate(self.nodes):
            given = _union(behind.get(v.name, 0) for v in node.inputs)
            before.append(given)
            masks.append(given | used_by.get(number, 0))
            behind.update((v.name, masks[-1]) for v in node.outputs)
        return [_before_unit(u, before, at) for u in self.units], masks

    def depends(self, later: int, earlier: int) -> bool:
        """Whether a layer of the set `later` reads what one of the set `earlier` gives. Sets are bits."""
        return any(self.feeds[i] & earlier for i in bits(later))

    def reads(self, members: int) -> int:
        """The layers outside a set that it reads, directly or not."""
        return _union(self.feeds[i] for i in bits(members)) & ~members

    def joined_in_order(self, first: int, second: int) -> bool | None:
        """Whether the op where two sets of layers first meet has `first` before `second`; None where it has no order.

        Two that never meet are outputs, in their order.
        """
        behind: dict[str, int] = {}
        for node, mask in zip(self.nodes, self._behind, strict=True):
            given = [behind.get(v.name, 0) for v in node.inputs]
            meets = _union(given) & first and _union(given) & second
            if meets and not any(g & first and g & second for g in given):
                return _operands_in_order(node, given, first, second)
            behind.update((v.name, mask) for v in node.outputs)
        return True


def bits(mask: int) -> list[int]:
    """The numbers of the bits that are set."""
    first = (mask & -mask).bit_length() - 1
    return [first + i for i, bit in enumerate(bin(mask >> max(first, 0))[:1:-1]) if bit == "1"]


SHOWN = {
    "upconv": frozenset({"up"}),
    "embed": frozenset({"embedding"}),
    "attention": frozenset({"self"}),
    "cross_attention": frozenset({"cross", "encoder"}),
}
"""What names say of layers whose ops show it: `up`, `tok_embeddings`, `self_attn`, `encoder_attn`."""

GATES = frozenset({"silu", "gelu", "sigmoid"})
"""What the gating half of a gated MLP passes through."""


def _words(
    units: Sequence[Unit], at: dict[Unit, int], nodes: Sequence[Node], parts: Mapping[str, str]
) -> list[frozenset[str]]:
    """The words for every layer that its name may have, as the structure shows them; `parts` of attentions."""
    places = {
        "pool": _pooled(nodes, set(at.values())),
        "attention norm": _before_attention(nodes, parts),
        "gate": _gated(nodes),
        "lm": {at[u] for u in units[-1:]} & {i for i, node in enumerate(nodes) if node.op.kind == "linear"},
    }
    found = []
    for unit in units:
        words = frozenset(word for word, numbers in places.items() if at[unit] in numbers)
        shown = SHOWN.get(nodes[at[unit]].op.kind, frozenset()) if at[unit] < len(nodes) else frozenset()
        found.append(words | shown | ({parts[unit.name]} if unit.name in parts else set()))
    return found


def _gated(nodes: Sequence[Node]) -> set[int]:
    """The calls whose values pass through the activation of a gate."""
    gated = {v.name for node in nodes if node.op.kind in GATES for v in node.inputs}
    return {number for number, node in enumerate(nodes) if any(v.name in gated for v in node.outputs)}


def _before_attention(nodes: Sequence[Node], parts: Mapping[str, str]) -> set[int]:
    """The norms of which an attention, and nothing else, reads what they give."""
    read: dict[str, list[bool]] = {}
    for node in nodes:
        for value in node.inputs:
            read.setdefault(value.name, []).append("attention" in node.op.kind or node.layer_path in parts)
    given = (
        (i, [a for v in n.outputs for a in read.get(v.name, ())]) for i, n in enumerate(nodes) if "norm" in n.op.kind
    )
    return {number for number, attends in given if attends and all(attends)}


def _pooled(nodes: Sequence[Node], owned: set[int]) -> set[int]:
    """The op calls that read a pool, with nothing but calls of one input and no weights between."""
    values: set[str] = set()
    found: set[int] = set()
    for number, node in enumerate(nodes):
        reads = any(v.name in values for v in node.inputs)
        if reads:
            found.add(number)
        if "pool" in node.op.kind or (reads and number not in owned and len(node.inputs) == 1):
            values.update(v.name for v in node.outputs)
    return found


def _first_use(unit: Unit, first: dict[str, int]) -> int:
    """The first op call with the layer's tensors: the longest prefix of its key that is the path of a layer."""
    parts = unit.keys[0].split(".")
    for depth in range(len(parts), -1, -1):
        number = first.get(".".join(parts[:depth]))
        if number is not None:
            return number
    return len(first)


def _before_unit(unit: Unit, before: list[int], at: dict[Unit, int]) -> int:
    number = at[unit]
    return before[number] if number < len(before) else 0


def _operands_in_order(node: Node, given: list[int], first: int, second: int) -> bool | None:
    if node.op.kind not in ORDERED:
        return None
    return next(i for i, g in enumerate(given) if g & first) < next(i for i, g in enumerate(given) if g & second)


def _union(masks: object) -> int:
    total = 0
    for mask in masks:  # type: ignore[attr-defined]
        total |= mask
    return total


def attention_parts(program: Program) -> dict[str, str]:
    """The layers that give an attention its query, key and value, by their paths: the operands of `sdpa`, and of the
    two matrix products around a softmax. What several attentions read is none of them."""
    nodes = tuple(flatten(program, training=True))
    producer = {v.name: node for node in nodes for v in node.outputs}
    found: dict[str, set[str]] = {}
    for node in nodes:
        for part, value in zip(("query", "key", "value"), _attended(node, producer), strict=False):
            layer = _projection(value, producer)
            if layer is not None:
                found.setdefault(layer, set()).add(part)
    return {layer: next(iter(parts)) for layer, parts in found.items() if len(parts) == 1}


def _attended(node: Node, producer: dict[str, Node]) -> tuple[str, ...]:
    """The query, key and value that an op call puts together, if it does."""
    if node.op.kind == "sdpa":
        return tuple(v.name for v in node.inputs[:3])
    if node.op.kind != "matmul":
        return ()
    weights = _back(node.inputs[0].name, producer, "softmax")
    scores = _back(weights.inputs[0].name, producer, "matmul") if weights else None
    if scores is None:
        return ()
    return (scores.inputs[0].name, scores.inputs[1].name, node.inputs[1].name)


def _back(name: str, producer: dict[str, Node], kind: str) -> Node | None:
    """The op call of a kind that a value comes from, through op calls without weights."""
    node = producer.get(name)
    while node is not None and node.op.kind != kind and node.inputs and not node.op.params(*node.types):
        node = producer.get(node.inputs[0].name)
    return node if node is not None and node.op.kind == kind else None


def _projection(name: str, producer: dict[str, Node]) -> str | None:
    """The path of the linear layer that a value comes from, but for its shape."""
    node = _back(name, producer, "linear")
    return node.layer_path if node is not None else None


def over_images(program: Program) -> list[str]:
    """The paths of linear layers over a flattened image, whose inputs are in the order of the image's axes."""
    flat: set[str] = set()
    found: list[str] = []
    for node in flatten(program, training=True):
        if not node.inputs:
            continue
        is_flat = node.inputs[0].name in flat
        if node.op.kind == "linear" and is_flat:
            found.append(node.layer_path)
        elif is_flat or _flattens(node):
            flat.update(v.name for v in node.outputs if v.type.rank == 1)
    return found


def _flattens(node: Node) -> bool:
    """Whether an image of more than one position is made a vector."""
    return node.op.kind in ("flatten", "reshape", "rearrange") and any(s != 1 for s in node.inputs[0].type.spatial)
