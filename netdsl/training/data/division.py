"""The division of samples into those to train on and those to test on: at random, by groups, or in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from netdsl.training.errors import DataError
from netdsl.training.rng import key, permutation


def group_numbers(names: Sequence[object]) -> Tensor:
    """The number of each sample's group [N], int64, of groups that are called by anything."""
    found: dict[str, int] = {}
    return torch.tensor([found.setdefault(str(name), len(found)) for name in names], dtype=torch.int64)


def check_grouped(names: Sequence[object], group: str, where: str, first: int = 0) -> None:
    """Raise DataError for a row that has no group: all such rows would be one. Rows are counted from `first`."""
    row = next((i for i, name in enumerate(names, first) if name is None or name != name or name == ""), None)
    if row is not None:
        message = f"row {row:,} of {where} has no `{group}`, by which rows belong together"
        raise DataError("data-value", message, "leave the row out, or give it a group of its own")


def numbers_of(groups: Tensor) -> Tensor:
    """The groups of some of all samples, counted without gaps, [N]."""
    return torch.from_numpy(np.unique(groups.cpu().numpy(), return_inverse=True)[1])


def in_both(groups: Tensor | None, count: int) -> list[str]:
    """A note on groups with samples among the first `count`, which are trained on, and among the others."""
    if groups is None:
        return []
    both = len(set(groups[:count].tolist()) & set(groups[count:].tolist()))
    return [f"of the groups that are trained on, {both:,} are tested on too"] if both else []


def held_rows(samples: int, count: int, seed: int, groups: Tensor | None, ordered: bool) -> tuple[Tensor, Tensor]:
    """The samples to train on, and about `count` that are held out, the same for every run of a seed: drawn, the last
    ones, or whole groups. Raises DataError where all are of one group."""
    if ordered:
        return torch.arange(samples - count), torch.arange(samples - count, samples)
    if groups is None:
        order = permutation(seed, samples)
        return order[count:], order[:count]
    own = numbers_of(groups)
    sizes = own.bincount()
    if len(sizes) < 2:
        raise DataError("few-samples", "all samples are of one group: none can be held out", "leave out `group`")
    order = permutation(seed, len(sizes))
    so_far = sizes[order].cumsum(0)
    chosen = 1 + int((so_far[:-1] - count).abs().argmin())  # a group is left to train on
    held = torch.isin(own, order[:chosen])
    return torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]


def parts_of(classes: Tensor | None, samples: int, count: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """The part of every sample, [N]: in an order of the seed, class after class, or group after group."""
    if groups is not None:
        return _parts_of_groups(classes, groups, count, key(seed, "folds"))
    order = permutation(key(seed, "folds"), samples)
    if classes is not None:
        order = order[classes.cpu()[order].argsort(stable=True)]
    part = torch.empty(samples, dtype=torch.int64)
    part[order] = torch.arange(samples) % count
    return part


def parts_in_time(samples: int, count: int) -> Tensor:
    """The part of every sample, [N], from 0 to `count`: part i + 1 is tested on after all before it were trained on, as
    in scikit-learn's TimeSeriesSplit, and equally long."""
    size = samples // (count + 1)
    first = samples - count * size
    return (torch.arange(samples) - first).div(max(1, size), rounding_mode="floor").clamp(min=-1) + 1


def _parts_of_groups(classes: Tensor | None, groups: Tensor, count: int, seed: int) -> Tensor:
    """Whole groups, those of the most uneven classes (without classes, the largest) first, each to the part where it
    leaves the classes (the samples) spread most evenly, as scikit-learn's StratifiedGroupKFold (GroupKFold)."""
    own = numbers_of(groups)
    number = int(own.max()) + 1
    labels = torch.zeros_like(own) if classes is None else classes.cpu()
    kinds = int(labels.max()) + 1
    counts = torch.bincount(own * kinds + labels, minlength=number * kinds).view(number, kinds).double().numpy()
    shares = counts / np.maximum(1, counts.sum(0))  # every class weighs the same
    order = permutation(seed, number).numpy()
    uneven = counts.std(1) if kinds > 1 else counts[:, 0]
    order = order[np.argsort(-uneven[order], kind="stable")]
    filled, sizes = np.zeros((count, kinds)), np.zeros(count)
    part = np.empty(number, np.int64)
    for group in order:
        at = _evenest(filled, sizes, shares[group])
        part[group] = at
        filled[at] += shares[group]
        sizes[at] += counts[group].sum()
    return torch.from_numpy(part)[own]


def _evenest(filled: np.ndarray, sizes: np.ndarray, added: np.ndarray) -> int:
    """The part to which a group of `added` shares of the classes goes, by the spread over the parts that it leaves; of
    equally good parts the smallest."""
    count, mean = len(filled), filled.mean(0)
    apart = filled - mean
    squares = (apart**2).sum(0) + 2 * apart * added + added**2 - added**2 / count
    worth = np.sqrt(np.maximum(0, squares)).mean(1)
    near = np.flatnonzero(np.isclose(worth, worth.min(), rtol=1e-9, atol=1e-12))
    return int(near[sizes[near].argmin()])
