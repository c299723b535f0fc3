"""The mistakes of a net on a split, found chunk by chunk: which classes it confuses, and its worst samples.

Nothing that grows with samples times classes is kept: a chunk's outputs are dropped when its arg-max and its worst
losses are known. Nor is a tensor kept from one chunk to the next, however small: one that lies behind the outputs of
its chunk keeps the allocator from giving their place to the next (glibc seeks some bytes more than an aligned block
that is free again has), so that all outputs would stay in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from netdsl.training.evaluate import first_output
from netdsl.training.losses.criterion import facing

Chunks = Iterable[tuple[tuple[Tensor, ...], Tensor]]
"""Inputs and targets of consecutive samples of a split."""


class Mistake(Struct, frozen=True):
    """A sample whose class is not the likeliest one, with the probabilities of its class and of the guess."""

    index: int
    truth: int
    guess: int
    loss: float
    of_truth: float
    of_guess: float


class Confusions(Struct, frozen=True):
    """How often each class is taken for each other. `pairs`: (truth, guess) -> samples, only those that occur;
    `samples`: of each class that occurs; `worst`: the mistakes with the largest losses."""

    pairs: dict[tuple[int, int], int]
    samples: dict[int, int]
    worst: tuple[Mistake, ...]

    def most_frequent(self, count: int) -> list[tuple[int, int, int]]:
        """The most frequent mistakes as (truth, guess, samples)."""
        wrong = [(i, j, n) for (i, j), n in self.pairs.items() if i != j]
        return sorted(wrong, key=lambda w: (-w[2], w[0], w[1]))[:count]

    def matrix(self, classes: int) -> list[list[int]]:
        """The confusion matrix; rows are the truth, columns the guess."""
        return [[self.pairs.get((i, j), 0) for j in range(classes)] for i in range(classes)]


@torch.no_grad()
def confusions(forward: Callable[..., Any], chunks: Chunks, classes: int, worst: int) -> Confusions:
    """The confusions of a classifier, and its `worst` mistakes."""
    cells: Counter[int] = Counter()
    found: list[Mistake] = []
    start = 0
    for inputs, target in chunks:
        logits = first_output(forward(*inputs)).float().cpu()
        truth = target.cpu()
        guess = logits.argmax(1)
        cells.update((truth * classes + guess).tolist())
        found = _worst([*found, *_mistakes(logits, truth, guess, start, worst)], worst)
        start += len(truth)
    pairs = {divmod(cell, classes): n for cell, n in sorted(cells.items())}
    samples: dict[int, int] = {}
    for (i, _), n in pairs.items():
        samples[i] = samples.get(i, 0) + n
    return Confusions(pairs, samples, tuple(found))


def _worst(mistakes: list[Mistake], count: int) -> list[Mistake]:
    return sorted(mistakes, key=lambda m: -m.loss)[:count]


def _mistakes(logits: Tensor, truth: Tensor, guess: Tensor, start: int, worst: int) -> list[Mistake]:
    """The worst mistakes of a chunk whose first sample is number `start`."""
    wrong = (guess != truth).nonzero()[:, 0]
    losses = functional.cross_entropy(logits[wrong], truth[wrong], reduction="none")
    order = losses.argsort(descending=True, stable=True)[:worst]
    found = []
    for i, loss in zip(wrong[order].tolist(), losses[order].tolist(), strict=True):
        chances = logits[i].softmax(0)
        t, g = int(truth[i]), int(guess[i])
        found.append(Mistake(start + i, t, g, loss, float(chances[t]), float(chances[g])))
    return found


class Masks(Struct, frozen=True):
    """The masks of a split. `worst`: the samples furthest from the truth, and the fraction of their places that is
    right; `right`, `truth`, `guess` [C]: places of each class that are found, that it has, that are taken for it."""

    worst: list[tuple[int, float]]
    right: Tensor
    truth: Tensor
    guess: Tensor


@torch.no_grad()
def masks(forward: Callable[..., Any], chunks: Chunks, classes: int, worst: int) -> Masks:
    """The places of each class, and the `worst` masks, in one pass. What has no class counts as right."""
    places = torch.zeros(3, classes, dtype=torch.float64)
    found: list[tuple[int, float]] = []
    start = 0
    for inputs, target in chunks:
        output = first_output(forward(*inputs))
        truth, guess = facing(target, output), output.argmax(1)
        known = truth >= 0
        right = guess == truth
        for row, some in zip(places, (truth[right], truth[known], guess[known]), strict=True):
            row += some.bincount(minlength=classes).cpu()
        shares = (right | ~known).flatten(1).double().mean(1).tolist()
        found = sorted([*found, *enumerate(shares, start)], key=lambda f: f[1])[:worst]
        start += len(shares)
    return Masks(found, *places)


@torch.no_grad()
def predictions(
    pairs: Iterable[tuple[Tensor, Tensor]], rows: Tensor, width: int, outputs: int
) -> tuple[Tensor, Tensor]:
    """Of `pairs` of tensors, which hold rows of `width` numbers one behind the other: the first `outputs` numbers of
    some rows, rising, [N, F] of either side."""
    found: list[list[list[float]]] = []
    start = 0
    for pair in pairs:
        both = torch.stack([x.reshape(-1, width).float() for x in pair], 1)
        here = rows[(rows >= start) & (rows < start + len(both))] - start
        found += both[here.to(both.device), :, :outputs].tolist()
        start += len(both)
    one, other = torch.tensor(found).unbind(1)
    return one, other
