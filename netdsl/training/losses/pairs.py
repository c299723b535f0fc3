"""Losses over pairs of vectors: each sample's two views, compared with those of all samples of a batch.

A batch that is computed by several processes is compared as a whole: the vectors of all are gathered, with the gradient
that leads back, and each process adds up the terms of its own samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.losses import Contrastive, NtXent, Triplet

Pair = tuple[Tensor, Tensor]
"""Vectors of both views, [B, D] each."""


def pair_terms(component: Any, pair: Pair, together: bool = False) -> Tensor:
    """The loss of each sample, [B]. `together`: with the samples of all processes."""
    a, b = (x.float().flatten(1) for x in pair)
    first, last = 0, len(a)
    if together:
        both, first = gathered(torch.cat((a, b), 1))
        last, (a, b) = first + len(a), both.chunk(2, 1)
    terms: Tensor = PAIR_LOSSES[type(component)](component, a, b)[first:last]
    return terms


def likeness(component: Any, pair: Pair) -> Tensor:
    """How alike the first view of each sample and the second of every sample are, [B, B]."""
    a, b = (x.float().flatten(1) for x in pair)
    if isinstance(component, NtXent):
        return functional.normalize(a) @ functional.normalize(b).T
    return -distances(a, b)


def _nt_xent(component: NtXent, a: Tensor, b: Tensor) -> Tensor:
    count = len(a)
    z = functional.normalize(torch.cat((a, b)))
    alike = z @ z.T / component.temperature
    alike.fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * count, device=a.device).roll(count)
    return functional.cross_entropy(alike, partner, reduction="none").view(2, count).mean(0)


def _triplet(component: Triplet, a: Tensor, b: Tensor) -> Tensor:
    apart = distances(a, b)
    own = apart.diagonal()
    same = torch.eye(len(a), dtype=torch.bool, device=a.device)
    terms = []
    for each in (apart, apart.T):  # rows: one anchor, and every sample's other view
        if component.negatives == "hardest":
            nearest = each.masked_fill(same, torch.inf).min(1).values
            terms.append((own - nearest + component.margin).clamp(min=0))
        else:
            lost = (own[:, None] - each + component.margin).clamp(min=0).masked_fill(same, 0)
            terms.append(lost.sum(1) / max(1, len(a) - 1))
    return torch.stack(terms).mean(0)


EPSILON = 1e-6
"""What torch.nn.TripletMarginLoss adds to each difference."""


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of all pairs, [B, B], with a slope also where they are 0."""
    squares = (a[:, None] - b + EPSILON).square().sum(2)
    return squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()


PAIR_LOSSES: dict[type[Contrastive], Callable[[Any, Tensor, Tensor], Tensor]] = {NtXent: _nt_xent, Triplet: _triplet}


def gathered(own: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes in their order, with a gradient, and the place of this one's first."""
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=own.device)
    counts[dist.get_rank()] = len(own)
    dist.all_reduce(counts)
    first = int(counts[: dist.get_rank()].sum())
    found: Tensor = _Gather.apply(own, first, int(counts.sum()))  # type: ignore[no-untyped-call]
    return found, first


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient of a row is the sum of what all processes found."""

    @staticmethod
    def forward(context: Any, own: Tensor, first: int, total: int) -> Tensor:
        context.rows = slice(first, first + len(own))
        whole = own.new_zeros(total, *own.shape[1:])
        whole[context.rows] = own
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        whole = gradients[0].clone()
        dist.all_reduce(whole)
        return whole[context.rows], None, None
