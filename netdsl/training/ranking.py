"""Metrics that look at the order of all samples by a score: the area under the ROC curve, and average precision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def area_under_roc(scores: Tensor, truth: Tensor) -> float | None:
    """How often a positive sample has a higher score than a negative one, ties counted half, as
    sklearn.metrics.roc_auc_score; None where one of the two kinds is absent.

    `scores` [N]; `truth`, bool [N].
    """
    ordered, positive = scores.sort().values, scores[truth].contiguous()
    negative = len(scores) - len(positive)
    if not len(positive) or not negative:
        return None
    below, upto = (torch.searchsorted(ordered, positive, right=right).double() for right in (False, True))
    ranks = ((below + upto + 1) / 2).sum()
    least = len(positive) * (len(positive) + 1) / 2
    return float((ranks - least) / (len(positive) * negative))


def average_precision(scores: Tensor, truth: Tensor) -> float | None:
    """The precision at every threshold, weighted by the recall that it adds, as
    sklearn.metrics.average_precision_score; None without a positive sample."""
    if not bool(truth.any()):
        return None
    order = scores.argsort(descending=True)
    ordered, found = scores[order], truth[order].double().cumsum(0)
    last = torch.cat((ordered[1:] != ordered[:-1], truth.new_ones(1)))  # equal scores have one threshold
    found, taken = found[last], (last.nonzero()[:, 0] + 1).double()
    added = torch.diff(found, prepend=found.new_zeros(1))
    return float((added * found / taken).sum() / found[-1])


RANKINGS: dict[str, Callable[[Tensor, Tensor], float | None]] = {
    "auroc": area_under_roc,
    "average_precision": average_precision,
}


def of_each_class(name: str, scores: Tensor, target: Tensor) -> list[float | None]:
    """A ranking metric of every class on its own, against all others.

    `scores` [N, C]; `target` [N], or [N, C] of labels that hold above one half. What is negative does not count.
    """
    if target.ndim == 1:
        scores, target = scores[target >= 0], target[target >= 0]
    each = (target == c if target.ndim == 1 else target[:, c] for c in range(scores.shape[1]))
    return [RANKINGS[name](scores[y >= 0, c], y[y >= 0] > 0.5) for c, y in enumerate(each)]
