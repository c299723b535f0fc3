"""The mistakes of a net on a split, found chunk by chunk: which classes it confuses, and its worst samples.

Nothing that grows with samples times classes is kept: a chunk's outputs are dropped when its arg-max and its worst
losses are known.
"""

from __future__ import annotations

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
    cells: list[Tensor] = []
    found: list[Mistake] = []
    start = 0
    for inputs, target in chunks:
        logits = first_output(forward(*inputs)).float().cpu()
        truth = target.cpu()
        guess = logits.argmax(1)
        cells.append(truth * classes + guess)
        found = _worst([*found, *_mistakes(logits, truth, guess, start, worst)], worst)
        start += len(truth)
    values, counts = torch.unique(torch.cat(cells), return_counts=True)
    pairs = {divmod(v, classes): n for v, n in zip(values.tolist(), counts.tolist(), strict=True)}
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


@torch.no_grad()
def worst_masks(forward: Callable[..., Any], chunks: Chunks, count: int) -> list[tuple[int, float]]:
    """The samples whose masks are furthest from the truth, and the fraction of their positions that is right."""
    parts = []
    for inputs, target in chunks:
        output = first_output(forward(*inputs))
        truth = facing(target, output)
        right = (output.argmax(1) == truth) | (truth < 0)
        parts.append(right.flatten(1).double().mean(1).cpu())
    shares = torch.cat(parts)
    return [(i, float(shares[i])) for i in shares.argsort(stable=True)[:count].tolist()]


@torch.no_grad()
def mask_confusion(forward: Callable[..., Any], chunks: Chunks, classes: int) -> Tensor:
    """The places of each class that are taken for each class, [C, C] float64; rows are the truth."""
    total = torch.zeros(classes * classes, dtype=torch.float64)
    for inputs, target in chunks:
        output = first_output(forward(*inputs))
        truth = facing(target, output)
        known = truth >= 0
        cells = truth[known] * classes + output.argmax(1)[known]
        total += torch.bincount(cells.cpu(), minlength=classes * classes)
    return total.view(classes, classes)


@torch.no_grad()
def predictions(forward: Callable[..., Any], chunks: Chunks, most: int) -> tuple[Tensor, Tensor]:
    """Targets and outputs of up to `most` samples, spread over the split: [N, F] each."""
    pairs = [(target.flatten(1).cpu(), first_output(forward(*inputs)).flatten(1).cpu()) for inputs, target in chunks]
    truth, guess = (torch.cat(parts).float() for parts in zip(*pairs, strict=True))
    rows = torch.arange(min(most, len(truth))) * len(truth) // max(1, min(most, len(truth)))
    return truth[rows], guess[rows]
