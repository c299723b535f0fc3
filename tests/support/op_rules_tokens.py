"""Rules for the interpreter: shapes, values joined and apart, attention, sequences, indices, tensors of a layer."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from op_rules import RULES, Weights, counted, features, rule, together
from torch import Tensor
from torch.nn import functional as F

# Shapes.


@rule("flatten")
def flatten(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.flatten(counted(x, op.start), counted(x, op.end))


@rule("reshape")
def reshape(op: Any, w: Weights, x: Tensor) -> Tensor:
    rest = prod(x.shape[1:]) // prod(s for s in op.shape if s != -1)
    return x.reshape(x.shape[0], *(rest if s == -1 else s for s in op.shape))


@rule("permute")
def permute(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.permute(0, *(counted(x, a) for a in op.axes))


@rule("unsqueeze")
def unsqueeze(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.unsqueeze(op.axis + 1 if op.axis >= 0 else op.axis)


@rule("squeeze")
def squeeze(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.select(counted(x, op.axis), 0)


@rule("expand")
def expand(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.expand(x.shape[0], *op.shape)


@rule("concat")
def concat(op: Any, w: Weights, *xs: Tensor) -> Tensor:
    return torch.cat(together(*xs), counted(xs[0], op.axis))


@rule("stack")
def stack(op: Any, w: Weights, *xs: Tensor) -> Tensor:
    at = op.axis + 1 if op.axis >= 0 else op.axis
    return torch.cat([x.unsqueeze(at) for x in together(*xs)], at)


@rule("flip")
def flip(op: Any, w: Weights, x: Tensor) -> Tensor:
    for axis in (op.axis,) if isinstance(op.axis, int) else op.axis:
        at = counted(x, axis)
        x = x.index_select(at, torch.arange(x.shape[at] - 1, -1, -1))
    return x


@rule("cumsum")
def cumsum(op: Any, w: Weights, x: Tensor) -> Tensor:
    at = counted(x, op.axis)
    return torch.stack([x.narrow(at, 0, n + 1).sum(at) for n in range(x.shape[at])], at)


@rule("argmax")
def argmax(op: Any, w: Weights, x: Tensor) -> Tensor:
    at = features(x, op.axis)
    places = torch.sort(x, dim=at, descending=True, stable=True).indices.narrow(at, 0, 1)
    return places if op.keepdims else places.squeeze(at)


@rule("topk")
def topk(op: Any, w: Weights, x: Tensor) -> Any:
    at = features(x, op.axis)
    numbers, places = x.sort(at, descending=op.largest)
    return numbers.narrow(at, 0, op.k), places.narrow(at, 0, op.k)


@rule("reduce_var", "reduce_std")
def variance(op: Any, w: Weights, x: Tensor) -> Tensor:
    given = range(x.ndim - 1) if op.axis is None else (op.axis,) if isinstance(op.axis, int) else op.axis
    axes = tuple(counted(x, a) for a in given)
    count = prod(x.shape[a] for a in axes)
    centred = x - x.sum(axes, keepdim=True) / count
    var = centred.square().sum(axes, keepdim=op.keepdims) / (count - op.correction)
    return var.sqrt() if op.kind == "reduce_std" else var


@rule("chunk")
def chunk(op: Any, w: Weights, x: Tensor) -> Any:
    return x.tensor_split(op.chunks, counted(x, op.axis))


@rule("split")
def split(op: Any, w: Weights, x: Tensor) -> Any:
    return x.split(op.sizes, counted(x, op.axis))


def reduction(function: Callable[..., Tensor]) -> Any:
    def reduced(op: Any, w: Weights, x: Tensor) -> Tensor:
        given = range(x.ndim - 1) if op.axis is None else (op.axis,) if isinstance(op.axis, int) else op.axis
        axes = sorted({counted(x, a) for a in given}, reverse=True)
        for axis in axes:
            x = function(x, axis, op.keepdims)
        return x

    return reduced


RULES |= {
    "reduce_mean": reduction(torch.mean), "reduce_sum": reduction(torch.sum),
    "reduce_max": reduction(torch.amax), "reduce_min": reduction(torch.amin),
    "reduce_l2": reduction(lambda x, axis, keep: x.square().sum(axis, keep).sqrt()),
}  # fmt: skip


# Attention.


def attended(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, causal: bool = False) -> Tensor:
    """Softmax of the scores times the values; a mask of true and false says who is attended."""
    scores = q @ k.transpose(-1, -2) * scale
    if mask is not None:
        mask = mask.reshape(mask.shape[0], *[1] * (scores.ndim - mask.ndim), *mask.shape[1:])
        scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = torch.where(later, -torch.inf, scores)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True).clamp(min=-1e38))
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-38) @ v  # a query that attends to nothing gives 0


@rule("sdpa")
def sdpa(op: Any, w: Weights, q: Tensor, k: Tensor, v: Tensor, *mask: Tensor) -> Tensor:
    scale = q.shape[-1] ** -0.5 if op.scale is None else op.scale
    if op.enable_gqa:
        k, v = (torch.repeat_interleave(x, q.shape[-3] // x.shape[-3], dim=-3) for x in (k, v))
    return attended(q, k, v, scale, mask[0] if mask else None, op.causal)


@rule("matmul")
def matmul(op: Any, w: Weights, a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(*together(a, b))


def heads(x: Tensor, count: int) -> Tensor:
    return x.reshape(*x.shape[:-1], count, x.shape[-1] // count).transpose(-2, -3)


def joined(op: Any, w: Weights, q: Tensor, k: Tensor, v: Tensor, mask: tuple[Tensor, ...], causal: bool) -> Tensor:
    split_up = [heads(t, op.heads) for t in (q, k, v)]
    scale = (q.shape[-1] // op.heads) ** -0.5
    y = attended(*split_up, scale, mask[0] if mask else None, causal)
    y = y.transpose(-2, -3).flatten(-2)
    return F.linear(y, w["out_proj.weight"], w.get("out_proj.bias"))


@rule("attention")
def attention(op: Any, w: Weights, x: Tensor, *mask: Tensor) -> Tensor:
    weights = w["in_proj_weight"].chunk(3)
    biases = w["in_proj_bias"].chunk(3) if op.qkv_bias else (None,) * 3
    projected = [F.linear(x, a, b) for a, b in zip(weights, biases, strict=True)]
    return joined(op, w, *projected, mask, op.causal)


@rule("cross_attention")
def cross_attention(op: Any, w: Weights, x: Tensor, context: Tensor, *mask: Tensor) -> Tensor:
    given = zip(("q_proj", "k_proj", "v_proj"), (x, context, context), strict=True)
    projected = [F.linear(t, w[f"{n}.weight"], w.get(f"{n}.bias")) for n, t in given]
    return joined(op, w, *projected, mask, False)


def two(value: Any) -> tuple[int, int]:
    """A number for each axis of an image."""
    return value if isinstance(value, tuple) else (value, value)


@rule("windows")
def windows(op: Any, w: Weights, x: Tensor) -> Tensor:
    (a, b), (down, right) = two(op.size), two(op.shift)
    cut = x.roll((-down, -right), (2, 3)).unfold(2, a, a).unfold(3, b, b)
    return cut.permute(0, 2, 3, 4, 5, 1).reshape(len(x), -1, a * b, x.shape[1])


@rule("unwindows")
def unwindows(op: Any, w: Weights, x: Tensor) -> Tensor:
    n, _, area, c = x.shape
    size = two(op.size or round(area**0.5))
    columns = x.permute(0, 3, 2, 1).reshape(n, c * area, -1)
    return F.fold(columns, (op.height, op.width), size, stride=size).roll(two(op.shift), (2, 3))


@rule("window_bias")
def window_bias(op: Any, w: Weights, x: Tensor) -> Tensor:
    """Swin's: a learnt number by offset, and -100 between the regions that its authors paint in the image."""
    (s, t), shifts, table = two(op.size), two(op.shift), w["relative_position_bias_table"]
    places = [(i, j) for i in range(s) for j in range(t)]
    index = [[(a - c + s - 1) * (2 * t - 1) + b - d + t - 1 for c, d in places] for a, b in places]
    bias = table[torch.tensor(index)].permute(2, 0, 1)
    if not any(shifts):
        return bias[None]
    painted = torch.zeros(1, 1, *x.shape[2:])
    ends = [(n, n - side, n - shift) for n, side, shift in zip(x.shape[2:], (s, t), shifts, strict=True)]
    cuts = [(slice(0, b), slice(b, c), slice(c, a)) for a, b, c in ends]
    for number, (rows, columns) in enumerate((r, c) for r in cuts[0] for c in cuts[1]):
        painted[:, :, rows, columns] = number
    region = painted.unfold(2, s, s).unfold(3, t, t).reshape(-1, s * t)
    apart = (region[:, None] != region[:, :, None]) * -100.0
    return (bias + apart[:, None])[None]


# Sequences and indices.


@rule("rnn", "lstm", "gru")
def recurrent(op: Any, w: Weights, x: Tensor, *given: Tensor) -> Any:
    """One cell after the other: PyTorch's formulas by hand."""
    batch = max(t.shape[0] for t in (x, *given))
    x, *given = (t.expand(batch, *t.shape[1:]) for t in (x, *given))
    lasts = []
    for layer in range(op.num_layers):
        suffixes = [f"l{layer}"] + [f"l{layer}_reverse"] * op.bidirectional
        sides = []
        for suffix in suffixes:
            steps = x.flip(1) if suffix.endswith("reverse") else x
            out, last = unrolled(op, w, suffix, steps, [state[:, len(lasts)] for state in given])
            sides.append(out.flip(1) if suffix.endswith("reverse") else out)
            lasts.append(last)
        x = torch.cat(sides, -1)
    states = [torch.stack(state, 1) for state in zip(*lasts, strict=True)]
    return (x, *states[: 2 if op.kind == "lstm" else 1]) if op.states else x


def unrolled(op: Any, w: Weights, suffix: str, x: Tensor, given: list[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    zeros = x.new_zeros(x.shape[0], op.hidden_size)
    h, c = [*given, zeros, zeros][:2]
    outputs = []
    for t in range(x.shape[1]):
        own = F.linear(x[:, t], w[f"weight_ih_{suffix}"], w.get(f"bias_ih_{suffix}"))
        state = F.linear(h, w[f"weight_hh_{suffix}"], w.get(f"bias_hh_{suffix}"))
        if op.kind == "rnn":
            h = torch.tanh(own + state) if op.nonlinearity == "tanh" else torch.relu(own + state)
        elif op.kind == "gru":
            (r, z, n), (hr, hz, hn) = own.chunk(3, -1), state.chunk(3, -1)
            update = torch.sigmoid(z + hz)
            h = (1 - update) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + update * h
        else:
            i, f, g, o = (own + state).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1), (h, c)


@rule("embed")
def embed(op: Any, w: Weights, x: Tensor) -> Tensor:
    return w["weight"][x]


@rule("one_hot")
def one_hot(op: Any, w: Weights, x: Tensor) -> Tensor:
    return (x[..., None] == torch.arange(op.num_classes)).to(torch.float32)


@rule("gather")
def gather(op: Any, w: Weights, x: Tensor, index: Tensor) -> Tensor:
    return torch.stack([rows[chosen] for rows, chosen in zip(*_each(x, index), strict=True)])


@rule("scatter")
def scatter(op: Any, w: Weights, x: Tensor, index: Tensor) -> Tensor:
    return torch.stack([_collected(op, rows, to) for rows, to in zip(*_each(x, index), strict=True)])


@rule("propagate")
def propagate(op: Any, w: Weights, x: Tensor, source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    for sample in range(len(x)):
        for s, t, factor in zip(source[sample], target[sample], weight[sample], strict=True):
            total[sample, t] += factor.reshape((*factor.shape, *[1] * (x.ndim - 2 - factor.ndim))) * x[sample, s]
    return total


def _each(x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    batch = max(x.shape[0], index.shape[0])
    return x.expand(batch, *x.shape[1:]), index.expand(batch, *index.shape[1:])


def _collected(op: Any, rows: Tensor, to: Tensor) -> Tensor:
    how = {"sum": lambda t: t.sum(0), "mean": lambda t: t.mean(0), "max": lambda t: t.amax(0)}[op.reduce]
    arrived = [rows[to == n] for n in range(op.size)]
    return torch.stack([how(t) if len(t) else rows.new_zeros(rows.shape[1:]) for t in arrived])


# Tensors of a layer.


@rule("param")
def param(op: Any, w: Weights) -> Tensor:
    return w[""].reshape(1, *op.shape)


@rule("constant")
def constant(op: Any, w: Weights) -> Tensor:
    return w["value"][None]


@rule("noise")
def noise(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape)


@rule("rotary")
def rotary(op: Any, w: Weights, x: Tensor) -> Tensor:
    """Each pair as a complex number, turned by a power of e."""
    length, width = x.shape[-2:]
    frequencies = (op.base ** -(torch.arange(0, width, 2).double() / width)).float().to(x.dtype)
    angles = torch.arange(length)[:, None] * frequencies
    turn = torch.polar(torch.ones_like(angles), angles)
    pairs = x.unflatten(-1, (-1, 2)) if op.interleaved else torch.stack(x.chunk(2, -1), -1)
    turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turn)
    return turned.flatten(-2) if op.interleaved else torch.cat(turned.unbind(-1), -1)


@rule("arange")
def arange(op: Any, w: Weights) -> Tensor:
    start, end = (0, op.start) if op.end is None else (op.start, op.end)
    return torch.arange(start, end, op.step)[None]


@rule("linspace")
def linspace(op: Any, w: Weights) -> Tensor:
    return torch.linspace(op.start, op.end, op.steps)[None]


@rule("fill")
def fill(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.new_full((x.shape[0], op.channels, *x.shape[2:]), op.value)
