"""`field`: how far an output position really looks: the gradient of it in the input, beside the theoretical field."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.analysis.receptive_field import receptive_field
from netdsl.ir.flatten import Flat, Node
from netdsl.ops.base import Op
from netdsl.probe.machine import Machine
from netdsl.probe.model import Cell, Finding, Plot
from netdsl.probe.subject import Subject, no_such
from netdsl.view.items import family

NETS = 8
"""Over so many initialisations the squared gradient is averaged, where the net is not trained."""


class Spread(Struct, frozen=True):
    """The theory of a value: the variance of where it looks, in pixels of the input along the vertical axis,
    and the pixels between two of its positions."""

    variance: float
    stride: float


def field(subject: Subject) -> Finding:
    """The effective receptive field of the middle of the last map (Luo et al. 2016). Raises Fault without a map."""
    total: Tensor | None = None
    node = None
    for seed in range(1 if subject.trained is not None else NETS):
        machine = Machine(subject.program, subject.module(seed).eval())
        node = last_map(machine.flat)
        if node is None:
            raise no_such(subject, "map", "an effective field is of a net that reads images or sequences of channels")
        seen = _seen(machine, node, subject.noise(seed, NETS))
        total = seen if total is None else total + seen
    assert total is not None
    assert node is not None
    return _finding(subject, node, total)


def last_map(flat: Flat) -> Node | None:
    """The last op that gives a map with the axes of the image, before it is pooled to one position or flattened."""
    least = _least_rank(flat)
    images = {v.name for v in flat.inputs if v.type.rank >= least and v.type.dtype == "float32"}
    rank = max((v.type.rank for v in flat.inputs if v.name in images), default=0)
    found = None
    for node in flat:
        if not images.isdisjoint(v.name for v in node.inputs):
            images.update(v.name for v in node.outputs)
            found = node if _is_map(node, rank) else found
    return found


def _least_rank(flat: Flat) -> int:
    """The axes of what is looked through: of an image, or of a sequence where convolutions read one."""
    sequences = [n for n in flat if n.op.kind == "conv" and n.inputs[0].type.rank == 2]
    return 2 if sequences else 3


def _is_map(node: Node, rank: int) -> bool:
    """Whether what an op gives has as many axes as the image, and more than one position along each."""
    shape = node.outputs[0].type.shape
    return len(shape) == rank and all(isinstance(s, int) and s > 1 for s in shape[1:])


def _seen(machine: Machine, node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """The squared gradient of the middle position in the first input that it reads, along its vertical axis."""
    images = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    x = machine.run(images)[node.outputs[0].name]
    chosen = x.flatten(2)[:, :, _middle_of(x.shape[2:])]
    signs = torch.randint(0, 2, chosen.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    read = [i for i in images if i.requires_grad]
    gradients = torch.autograd.grad((chosen * signs).sum(), read, allow_unused=True)
    squared = next(g for g in gradients if g is not None).square()
    axes = [a for a in range(squared.ndim) if a != 2]
    return squared.sum(axes).double()


def _middle_of(shape: Sequence[int]) -> int:
    """The place of the middle among all positions, row after row."""
    place = 0
    for size in shape:
        place = place * size + size // 2
    return place


def _finding(subject: Subject, node: Node, total: Tensor) -> Finding:
    share = total / total.sum()
    places = torch.arange(len(share), dtype=torch.float64)
    mean = (share * places).sum()
    deviation = (share * (places - mean).square()).sum().sqrt().item()
    whole = receptive_field(subject.program)
    size = whole.size if whole and whole.size else None
    expected = _expected(subject, node)
    reached = int((total > 0).sum())
    said = [f"a position of `{node.path}` looks at its neighbours with a deviation of {deviation:.2f} pixels"]
    if expected is not None:
        said[0] += f"; by theory {expected:.2f}"
    ninety = _middle(share)
    if size is not None:
        said.append(f"90% of the gradient comes from {ninety} of the {size} pixels of its receptive field")
        if size > len(share):
            said.append(f"the field is larger than the image of {len(share)} pixels: the border cuts it off")
    rows: list[tuple[Cell, ...]] = [("deviation", deviation, expected), ("90% of it", ninety, None)]
    rows += [("pixels reached", reached, size), ("pixels of the image", len(share), None)]
    seen = places[total > 0]
    near = (places >= seen.min() - 2) & (places <= seen.max() + 2)
    away = (places - mean.round())[near].tolist()
    curve = tuple(zip(away, share[near].tolist(), strict=True))
    series = {"measured": curve}
    if expected:
        normal = torch.exp(-(places - mean).square() / (2 * expected**2))
        series["normal, by theory"] = tuple(zip(away, (normal / normal.sum())[near].tolist(), strict=True))
    plot = Plot("what the middle position looks at", "pixels from the middle", "share of the squared gradient", series)
    return Finding("field", tuple(said), ("", "measured", "expected"), tuple(rows), (plot,))


def _middle(share: Tensor) -> int:
    """The fewest pixels around the middle that have nine tenths."""
    order = share.sort(descending=True).values.cumsum(0)
    return int((order < 0.9).sum()) + 1


def _expected(subject: Subject, last: Node) -> float | None:
    """The deviation by theory: every window adds the variance of its taps' places; a sum has the mean of its terms'."""
    flat = Machine(subject.program, subject.module()).flat
    known = {v.name: Spread(0.0, 1.0) for v in flat.inputs}
    for node in flat:
        given = [known[v.name] for v in node.inputs if v.name in known]
        if given:
            spread = _after(node.op, node, given)
            known |= {v.name: spread for v in node.outputs}
        if node is last:
            break
    found = known.get(last.outputs[0].name)
    return math.sqrt(found.variance) if found is not None and found.variance else None


def _after(op: Op, node: Node, given: Sequence[Spread]) -> Spread:
    variance = sum(s.variance for s in given) / len(given)
    stride = max(s.stride for s in given)
    if family(op) not in ("conv", "pool") or op.kind == "upconv":
        return Spread(variance, stride)
    kernel, step, dilation = (_vertical(getattr(op, n, 1)) for n in ("kernel_size", "stride", "dilation"))
    taps = dilation**2 * (kernel**2 - 1) / 12
    return Spread(variance + taps * stride**2, stride * step)


def _vertical(value: object) -> int:
    """The size of a window along the first axis."""
    found = value[0] if isinstance(value, tuple) else value
    return found if isinstance(found, int) else 1
