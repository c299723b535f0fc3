"""Information in names: the order of the members of one family, and words that mean the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

SYNONYMS = {
    "downsample": "shortcut", "shortcut": "shortcut", "skip": "shortcut", "identity": "shortcut", "match": "shortcut",
    "enc": "encoder", "encoder": "encoder", "dec": "decoder", "decoder": "decoder",
    "up": "up", "upconv": "up", "deconv": "up", "convtranspose": "up", "transpose": "up", "transposed": "up",
    "upsample": "up", "q": "query", "query": "query", "k": "key", "key": "key", "v": "value",
    "value": "value", "fc": "head", "head": "head", "heads": "head", "classifier": "head", "logits": "head",
    "cls": "class", "class": "class", "pos": "position", "position": "position", "positions": "position",
    "positional": "position", "gamma": "scale", "ls": "scale", "scale": "scale", "aux": "aux", "auxiliary": "aux",
    "row": "row", "rows": "row", "col": "column", "cols": "column", "column": "column", "columns": "column",
    "wq": "query", "wk": "key", "wv": "value", "emb": "embedding", "embed": "embedding", "embedding": "embedding",
    "embeddings": "embedding", "wte": "embedding",
    "mu": "mean", "mean": "mean", "var": "variance", "variance": "variance", "logvar": "variance",
    "multihead": "cross", "crossattention": "cross", "crossattn": "cross",
}  # fmt: skip
"""Words of torchvision, timm, Hugging Face, Keras and of this language that mean one thing."""

SILENT = frozenset({
    "conv", "bn", "norm", "ln", "layernorm", "batchnorm", "groupnorm", "gn", "linear", "layer", "layers", "block",
    "blocks", "weight", "bias", "module", "modules", "unit", "units", "net", "model", "features", "stage", "stages",
    "seq", "attn", "attention", "proj", "branch", "branches",
})  # fmt: skip
"""Words that say of what kind a layer is, which its shapes say already, or nothing."""

EARLIER = (
    ("before", "after"), ("pre", "post"), ("encoder", "decoder"), ("first", "second"), ("first", "last"),
    ("in", "out"), ("input", "output"), ("input", "post"), ("left", "right"), ("reduce", "expand"), ("start", "end"),
    ("self", "encoder"), ("self", "final"), ("encoder", "final"),  # norms of fairseq, BART, OPT, Whisper
)  # fmt: skip
"""Pairs of words of which the first names what is used first, where one of the two feeds the other."""

ATTENTION, NORM = frozenset({"attn", "attention", "att", "mha"}), frozenset({"norm", "ln", "layernorm", "rmsnorm"})

REPEATED = frozenset(
    {"block", "blocks", "layers", "stages", "layer", "encoder", "encoders", "decoders", "h", "features"}
)
FINAL = frozenset({
    "norm", "ln", "ln_f", "norm_f", "final_norm", "norm_final", "layernorm", "layer_norm", "final", "final_layer_norm",
    "after_norm",
})  # fmt: skip
"""What everybody calls the body of a net and the norm after it."""

PREVIOUS = frozenset({"prev", "previous"})
"""Words for what reads the output before the latest."""

BACKWARDS = frozenset({"dec", "decoder", "up", "upconv", "deconv", "upsample", "expand", "conv_up", "us"})
"""Families that are numbered from the top by some and from the bottom by others: only shapes tell their order."""


KERAS = re.compile(
    r"(dense|(conv|depthwise_conv|separable_conv)\dd(_transpose)?|(batch|layer|group)_normalization)(_\d+)?"
)
"""What Keras calls layers without a name: the first of a kind has no number."""

COUNTING = frozenset("abcdef")
"""Letters that people count with: `conv_a`, `conv_b`; further ones stand for words."""


@lru_cache(maxsize=1 << 16)
def tokens(name: str) -> tuple[str, ...]:
    """The words and numbers of a name; `3x3` is a word: `Conv2d_1a_3x3` is conv 2 d 1 a 3x3."""
    found = re.findall(r"\d+x\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return tuple(t.lower() for t in found)


@lru_cache(maxsize=1 << 18)
def comes_before(a: str, b: str) -> bool | None:
    """Whether `a` comes before `b` by the numbers in their names; None where names of siblings do not say it."""
    first, second = tokens(a), tokens(b)
    for i, (x, y) in enumerate(zip(first, second, strict=False)):
        if x == y:
            continue
        return _parts_before(x, y, first[i - 1] if i else "")
    if KERAS.fullmatch(a) and KERAS.fullmatch(b):
        return len(first) < len(second)  # dense, dense_1
    shorter, longer = sorted((first, second), key=len)
    if len(longer) == len(shorter) + 1 and longer[-1].isalpha() and len(longer[-1]) == 1:
        return len(first) < len(second)  # conv2, conv2b
    return None


def _parts_before(x: str, y: str, before: str) -> bool | None:
    """Whether a name with `x` comes before one with `y`, both after the word or number `before`."""
    if before in BACKWARDS:
        return None
    if x.isdecimal() and y.isdecimal():
        return int(x) < int(y)
    letters = len(x) == len(y) == 1 and f"{x}{y}".isalpha()
    counted = before.isdecimal() or (before and {x, y} <= COUNTING)
    return x < y if letters and counted else None


def stamp(name: str) -> tuple[str, ...]:
    """The numbers of a name, and the letters that count: what the layers `conv1` and `bn1` have in common."""
    found = tokens(name)
    return tuple(t for i, t in enumerate(found) if t.isdecimal() or (i and t in COUNTING))


def lettered(names: Sequence[str]) -> bool:
    """Whether siblings are called a, b, c ... and so have an order."""
    plain = sorted({n.lower() for n in names if len(n) == 1 and n.isalpha()})
    return len(plain) > 1 and "".join(plain) == "abcdefghijklmnop"[: len(plain)]


def concepts(name: str) -> frozenset[str]:
    """The meanings of the words of a name, without those that say nothing. `attention_norm` is one meaning,
    and `embed_out` what `lm_head` is."""
    words = frozenset(tokens(name))
    said = frozenset(SYNONYMS.get(t, t) for t in words if t not in SILENT and not t.isdecimal())
    if words & ATTENTION and words & NORM and not words & {"post", "after", "output"}:
        said |= {"attention norm"}
    return (said - {"embedding"}) | {"lm"} if "embedding" in said and words & {"out", "output"} else said


def earlier(a: str, b: str) -> bool | None:
    """Whether words say that `a` is used before `b`."""
    first, second = concepts(a), concepts(b)
    for early, late in EARLIER:
        if early in first - second and late in second - first:
            return True
        if early in second - first and late in first - second:
            return False
    return None


def is_repeated(name: str) -> bool:
    """Whether this is what people call the body of a net: its blocks, one after the other."""
    return name.lower() in REPEATED


def is_final(name: str) -> bool:
    """Whether this is what people call the norm after all blocks."""
    return name.lower() in FINAL
