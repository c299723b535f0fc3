"""Names that a person would choose: of values, blocks and arguments."""

from __future__ import annotations

from netdsl.lift.model import Call
from netdsl.lift.names import free
from netdsl.lift.term import Term, items, walk

KINDS = {"chunk": "part", "split": "part", "lstm": "y", "gru": "y", "rnn": "y", "topk": "top", "param": "learnt"}
STATES = ("y", "h", "c")


def value_names(call: Call, used: list[bool], taken: set[str]) -> list[str]:
    """Names of a call's results, that no value has yet; `_` for one that nothing reads."""
    several = len(call.outputs) > 1
    found: list[str] = []
    for index, is_used in enumerate(used):
        if not is_used:
            found.append("_")
            continue
        stem = STATES[index] if several and call.op.unpacked else KINDS.get(call.kind, "x")
        name, number = stem, 1
        while name in taken or name in found or (several and name == "part"):
            name, number = f"{stem}{number}", number + 1
        found.append(name)
    return found


SHOWN = {
    "conv": "Conv", "dwconv": "DW", "linear": "Linear", "bn": "BN", "relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU",
    "gelu": "GELU", "hardswish": "HSwish", "sigmoid": "Sigmoid", "layernorm": "LN", "groupnorm": "GN", "tanh": "Tanh",
    "upconv": "Up", "maxpool": "Pool", "avgpool": "Pool", "leaky_relu": "LReLU",
}  # fmt: skip
"""How layers are called in the name of a short block."""


def block_name(body: Term, taken: set[str]) -> str:
    """A name for a block, by what it does."""
    return free(_stem(body), taken)


def _stem(body: Term) -> str:
    heads = [t.head for t in items(body)]
    inside = {t.head for t in walk(body)}
    kinds = [h[3:] for h in heads if h.startswith("op:")]
    if "residual" in heads:
        return "TransformerBlock" if inside & ATTENDS else _residual(body)
    if inside & ATTENDS:
        return "Attention"
    if "op:concat" in heads:
        return _concat(body)
    return _of_layers(heads, kinds, inside)


ATTENDS = {"op:attention", "op:sdpa", "op:softmax"}


def _of_layers(heads: list[str], kinds: list[str], inside: set[str]) -> str:
    if heads == ["op:mul"] and not inside.isdisjoint(("op:gap", "op:adaptive_avgpool")):
        return "SE"
    if "dwconv" in kinds and len(kinds) > 2:
        return "Inverted"
    if kinds.count("linear") == 2 and len(heads) <= 4:
        return "MLP"
    is_short = len(kinds) == len(heads) <= 4 and SHOWN.keys() >= set(kinds)
    return "".join(SHOWN[k] for k in kinds) if is_short else "Block"


def _residual(body: Term) -> str:
    link = next(t for t in items(body) if t.head == "residual")
    kernels = [dict(t.fields).get("kernel_size") or dict(t.fields).get("k") for t in items(link.kids[1])]
    found = [k for k in kernels if k is not None]
    stem = "Bottleneck" if len(found) == 3 and found[0] == found[2] == 1 else "Residual"
    return f"Down{stem}" if link.kids[0].head != "it" else stem


def _concat(body: Term) -> str:
    joined = next(t for t in items(body) if t.head == "op:concat")
    return "Dense" if any(k.head == "it" for k in joined.kids) else "Inception" if len(joined.kids) > 2 else "Branches"
