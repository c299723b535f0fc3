"""Arguments that an op does not take by position: what they mean in PyTorch, and how that is said here; which words an
argument may be."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from netdsl.ops.base import Op

_CONV = "in_channels out_channels kernel_size stride padding dilation groups bias"
_TRANSPOSED = "in_channels out_channels kernel_size stride padding output_padding groups bias dilation"
_RECURRENT = "input_size hidden_size num_layers bias batch_first dropout bidirectional"

PYTORCH: dict[str, tuple[str, str]] = {
    "conv": ("nn.Conv2d", _CONV), "scaled_conv": ("nn.Conv2d", _CONV), "upconv": ("nn.ConvTranspose2d", _TRANSPOSED),
    "dwconv": ("", "in_channels kernel_size stride padding dilation"),
    "linear": ("nn.Linear", "in_features out_features bias"),
    "bn": ("nn.BatchNorm2d", "num_features eps momentum affine"),
    "instancenorm": ("nn.InstanceNorm2d", "num_features eps momentum affine"),
    "groupnorm": ("nn.GroupNorm", "num_groups num_channels eps affine"),
    "layernorm": ("nn.LayerNorm", "normalized_shape eps elementwise_affine bias"),
    "rmsnorm": ("nn.RMSNorm", "normalized_shape eps elementwise_affine"),
    "lrn": ("nn.LocalResponseNorm", "size alpha beta k"),
    "l2_normalize": ("F.normalize", "p dim eps"),
    "rnn": ("nn.RNN", "input_size hidden_size num_layers nonlinearity bias batch_first dropout bidirectional"),
    "lstm": ("nn.LSTM", _RECURRENT), "gru": ("nn.GRU", _RECURRENT),
    "attention": ("nn.MultiheadAttention", "embed_dim num_heads dropout bias"),
    "cross_attention": ("nn.MultiheadAttention", "embed_dim num_heads dropout bias"),
    "maxpool": ("nn.MaxPool2d", "kernel_size stride padding dilation return_indices ceil_mode"),
    "avgpool": ("nn.AvgPool2d", "kernel_size stride padding ceil_mode count_include_pad"),
    "lppool": ("nn.LPPool2d", "norm_type kernel_size stride ceil_mode"),
    "dropout": ("nn.Dropout", "p inplace"), "dropout2d": ("nn.Dropout2d", "p inplace"),
    "alpha_dropout": ("nn.AlphaDropout", "p inplace"),
    "relu": ("nn.ReLU", "inplace"), "relu6": ("nn.ReLU6", "inplace"), "selu": ("nn.SELU", "inplace"),
    "silu": ("nn.SiLU", "inplace"), "mish": ("nn.Mish", "inplace"), "hardswish": ("nn.Hardswish", "inplace"),
    "hardsigmoid": ("nn.Hardsigmoid", "inplace"), "leaky_relu": ("nn.LeakyReLU", "negative_slope inplace"),
    "elu": ("nn.ELU", "alpha inplace"), "celu": ("nn.CELU", "alpha inplace"), "gelu": ("nn.GELU", "approximate"),
    "hardtanh": ("nn.Hardtanh", "min_val max_val inplace"), "rrelu": ("nn.RReLU", "lower upper inplace"),
    "threshold": ("nn.Threshold", "threshold value inplace"), "softplus": ("nn.Softplus", "beta threshold"),
    "prelu": ("nn.PReLU", "num_parameters init"),
    "softmax": ("softmax", "dim"), "log_softmax": ("log_softmax", "dim"), "softmin": ("softmin", "dim"),
    "glu": ("glu", "dim"), "concat": ("torch.cat", "dim"),
    "flatten": ("flatten", "start_dim end_dim"), "squeeze": ("squeeze", "dim"), "unsqueeze": ("unsqueeze", "dim"),
    "reduce_mean": ("mean", "dim keepdim"), "reduce_sum": ("sum", "dim keepdim"), "reduce_max": ("amax", "dim keepdim"),
    "reduce_min": ("amin", "dim keepdim"), "chunk": ("chunk", "chunks dim"), "split": ("split", "split_size dim"),
    "roll": ("roll", "shifts dims"), "narrow": ("narrow", "dim start length"),
    "unfold": ("nn.Unfold", "kernel_size dilation padding stride"),
    "fold": ("nn.Fold", "output_size kernel_size dilation padding stride"),
    "upsample": ("nn.Upsample", "size scale_factor mode align_corners"), "pad": ("F.pad", "pad mode value"),
}  # fmt: skip
"""What PyTorch calls an op, and its arguments in order; "" where nothing of PyTorch's is meant but a width."""

INFERRED = frozenset((
    "in_channels", "in_features", "num_features", "num_channels", "normalized_shape", "input_size", "embed_dim",
))  # fmt: skip
"""Arguments of PyTorch that follow from the value that flows in."""

NEEDLESS = frozenset(("inplace", "batch_first"))
"""Arguments of PyTorch that have no meaning here: memory is the compiler's choice, and the batch is not written."""

AXES = frozenset(("dim", "dims", "start_dim", "end_dim"))
"""Arguments of PyTorch that count the batch among the axes."""

OWN = {
    "dim": "axis", "dims": "axes", "start_dim": "start", "end_dim": "end", "keepdim": "keepdims", "num_heads": "heads",
    "split_size": "sizes", "pad": "padding",
}  # fmt: skip
"""What some arguments of PyTorch are called here."""


@cache
def words(op: type[Op], field: str) -> tuple[tuple[str, ...], bool]:
    """The words that an argument of an op may be, and whether it may be nothing else."""
    from msgspec import inspect

    info = inspect.type_info(op)
    assert isinstance(info, inspect.StructType)
    (kind,) = (f.type for f in info.fields if f.name == field)
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    literals = [k for k in kinds if isinstance(k, inspect.LiteralType)]
    return tuple(str(v) for k in literals for v in k.values), len(literals) == len(kinds)


class Written(Struct, frozen=True):
    """An argument given by position: its text and its value."""

    text: str
    value: Any


class Reading(Struct, frozen=True):
    """One thing that a call may mean: its arguments as they are written here, and why."""

    arguments: tuple[str, ...]
    why: str

    def call(self, op: type[Op]) -> str:
        return f"{op.kind}({', '.join(self.arguments)})" if self.arguments else op.kind


CLAMPS = {"maximum": "min", "minimum": "max"}
"""The bound of `clamp` that a number among the values of an op is."""


def refusal(
    op: type[Op], fields: tuple[str, ...], given: tuple[Written, ...], named: tuple[str, ...] = ()
) -> tuple[str, str | None]:
    """The message and the hint for more arguments by position than an op takes; `named`: the texts of the others."""
    if not fields:
        bound = CLAMPS.get(op.kind)
        return f"`{op.kind}` takes no arguments", f"`clamp({bound}={given[0].text})`" if bound and given else None
    names = " and ".join(f"`{f}`" for f in fields[: op.positional])
    count = f"{('no', 'one', 'two', 'three')[op.positional]} argument{'' if op.positional == 1 else 's'} by position"
    message = f"`{op.kind}` takes {count}" + (f", {names}" if names else "")
    return message, _meant(op, fields, given, named)


def _meant(op: type[Op], fields: tuple[str, ...], given: tuple[Written, ...], named: tuple[str, ...]) -> str | None:
    """The hint for arguments by position: their meaning, or their names."""
    if op.variadic and not any(isinstance(g.value, int) for g in given):
        return f"what it takes stands side by side, without brackets: `{op.kind}(a, b)`"
    if not given:
        return "a tensor is no argument of a layer: it flows in from the left"
    found = _beside(readings(op, fields, given), named)
    if found:
        return "; ".join(f"`{r.call(op)}` {r.why}" for r in found)
    rest = ", ".join(f"`{f}=`" for f in fields[op.positional :][:4])
    return f"name this argument: {rest}" if rest else None


def _beside(found: list[Reading], named: tuple[str, ...]) -> list[Reading]:
    """Readings with the arguments that are given by name, without those that say one of these too."""
    told = {text.partition("=")[0].strip() for text in named}
    fitting = [r for r in found if told.isdisjoint(a.partition("=")[0] for a in r.arguments)]
    return [replace(r, arguments=(*r.arguments, *named)) for r in fitting]


def _is_width(op: type[Op], given: tuple[Written, ...]) -> bool:
    """Whether the first of several arguments of `dwconv` may be a width: `dwconv(3, 2)` is a kernel and a stride."""
    return op.kind != "dwconv" or (len(given) > 1 and isinstance(given[1].value, int) and given[1].value > 2)


def readings(op: type[Op], fields: tuple[str, ...], given: tuple[Written, ...]) -> list[Reading]:
    """The meanings that a call with too many arguments by position may have, PyTorch's first."""
    found = [r for r in (_pytorch(op, fields, given), _own(op, fields, given)) if r is not None]
    return found[:1] if len(found) == 2 and found[0].arguments == found[1].arguments else found


def _pytorch(op: type[Op], fields: tuple[str, ...], given: tuple[Written, ...]) -> Reading | None:
    """The call with PyTorch's arguments under their names here; None where they have no such meaning."""
    torch_name, parameters = PYTORCH.get(op.kind, ("", ""))
    names = parameters.split()
    if not _may_stand(names, given) or not _is_width(op, given):
        return None
    said: dict[str, str] = {}
    for name, item in zip(names, given, strict=False):
        text, own = item.text, OWN.get(name, name)
        if name in AXES:
            if not isinstance(item.value, int) or item.value == 0:
                return None
            text = str(item.value - 1 if item.value > 0 else item.value)
        if name in INFERRED or name in NEEDLESS or (name, text) == ("start_dim", "0"):
            continue
        if own not in fields:
            return None
        said[own] = text
    return Reading(_ordered(op, fields, said), _because(torch_name, names[: len(given)]))


def _may_stand(names: list[str], given: tuple[Written, ...]) -> bool:
    """Whether arguments may be those of PyTorch by these names: a width that is inferred here is no fraction."""
    if not names or len(given) > len(names):
        return False
    if names[0] == "split_size":
        return not (given and isinstance(given[0].value, int))
    return not (given and names[0] in INFERRED and isinstance(given[0].value, float))


def _because(torch_name: str, names: list[str]) -> str:
    inferred = [n for n in names if n in INFERRED]
    if inferred and not torch_name:
        return f"has no width: `{inferred[0]}` is inferred here"
    if inferred:
        return f"is PyTorch's `{torch_name}({', '.join(names)})`: `{inferred[0]}` is inferred here"
    if AXES.intersection(names):
        return f"is PyTorch's `{torch_name}`, whose axes count the batch"
    return f"is PyTorch's `{torch_name}({', '.join(names)})`"


def _own(op: type[Op], fields: tuple[str, ...], given: tuple[Written, ...]) -> Reading | None:
    """The call with its arguments in the order of the fields here; None where they do not fit."""
    chosen = dict(zip(fields, given, strict=False))
    beyond = [f for f in fields[op.positional :] if f in chosen]
    if len(given) > len(fields) or not beyond or not {"eps", "momentum"}.isdisjoint(beyond):
        return None
    try:
        msgspec.convert({f: w.value for f, w in chosen.items()}, op)
    except msgspec.ValidationError:
        return None
    why = "counts axes without the batch" if {"axis", "axes", "start"}.intersection(beyond) else "names it"
    return Reading(_ordered(op, fields, {f: w.text for f, w in chosen.items()}), why)


def _ordered(op: type[Op], fields: tuple[str, ...], said: dict[str, str]) -> tuple[str, ...]:
    """Arguments in the order of the fields, those that may stand by position without their names."""
    by_position = [f for f in fields[: op.positional] if f in said]
    bare = by_position if by_position == list(fields[: len(by_position)]) else []
    return tuple(said[f] if f in bare else f"{f}={said[f]}" for f in fields if f in said)
