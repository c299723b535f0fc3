"""Metrics as sums: what is added over samples (and ranks), and the number they give at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Sums = dict[str, Tensor]


class Metrics:
    """Adds up what the metrics of a task need, on the device; every sample counts once.

    `task`: classes, mask, tokens, nodes (all with a confusion matrix up to 1,000 classes), labels (each yes or no) or
    numbers.
    """

    def __init__(self, task: str, classes: int, wanted: tuple[str, ...] = ()) -> None:
        self.task = task
        self.classes = classes
        self.wanted = wanted
        self.sums: Sums = {}

    def add(self, output: Tensor, target: Tensor, loss: Tensor, count: Tensor | None = None) -> None:
        """Add a batch: the net's output, hard targets, and of every sample the numerators and the denominators (1 where
        not given) of the loss, [B] or [T, B]."""
        self._add("n", loss.new_full((), len(target)))
        self._add("loss", loss.double().sum(-1))
        self._add("counts", (torch.ones_like(loss) if count is None else count).double().sum(-1))
        if self.task == "numbers":
            self._add("squares", (output.double() - target.reshape(output.shape)).square().flatten(1).mean(1).sum())
            return
        if self.task == "labels":
            self._add("places", loss.new_full((), target.numel()))
            self._add("right", ((output > 0) == (target > 0.5)).double().sum())
            return
        self._add_classes(output, target)

    def _add_classes(self, output: Tensor, target: Tensor) -> None:
        """Count right guesses and confusions. The classes stay on their axis: a copy of a mask's output is large."""
        axis = 2 if output.ndim == 3 and target.shape == output.shape[:2] else 1
        guess, known = output.argmax(axis), target >= 0
        self._add("places", known.sum())
        self._add("right", (guess == target).sum())  # a guess is never negative
        if self.classes > 5 and "top5" in self.wanted:
            near = output.topk(5, axis).indices
            self._add("near", (near == target.unsqueeze(axis)).any(axis).sum())
        if self.classes <= 1000:
            cells = torch.where(known, target * self.classes + guess, 0).flatten()
            if "confusion" not in self.sums:
                empty = torch.zeros(self.classes, self.classes, dtype=torch.float64, device=output.device)
                self.sums["confusion"] = empty
            self.sums["confusion"].view(-1).index_add_(0, cells, known.flatten().double())

    def _add(self, name: str, value: Tensor) -> None:
        value = value.double()
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def results(self) -> dict[str, Any]:
        """Numbers by name; `confusion` (rows: truth, columns: guess) and `per_class` as lists where asked for."""
        sums = self.sums
        n = max(1.0, float(sums.get("n", torch.tensor(0.0))))
        found: dict[str, Any] = {"n": 0}
        if "loss" in sums:
            tiny = torch.finfo(torch.float64).tiny
            found = {"n": int(n), "loss": float((sums["loss"] / sums["counts"].clamp(min=tiny)).sum())}
        if "squares" in sums:
            found["rmse"] = (float(sums["squares"]) / n) ** 0.5
        if "right" in sums:
            places = max(1.0, float(sums["places"]))
            found["top1"] = float(sums["right"]) / places
            if "near" in sums and "top5" in self.wanted:
                found["top5"] = float(sums["near"]) / places
            if "confusion" in sums:
                found |= self._from_confusion(sums["confusion"])
        if self.task == "tokens" and "loss" in found:
            found["perplexity"] = float(torch.tensor(found["loss"]).exp())
        return found

    def _from_confusion(self, matrix: Tensor) -> dict[str, Any]:
        right, truth, guess = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        found: dict[str, Any] = {}
        if self.task == "mask" or "mean_iou" in self.wanted:
            union = truth + guess - right
            found["mean_iou"] = float((right / union.clamp(min=1))[union > 0].mean())
        if "per_class" in self.wanted:
            found["per_class"] = (right / truth.clamp(min=1)).tolist()
        if "confusion" in self.wanted:
            found["confusion"] = matrix.long().tolist()
        return found


HIGHER = frozenset(("top1", "top5", "mean_iou"))
"""Metrics of which more is better."""

SAID = {"top1": "accuracy", "top5": "top-5", "mean_iou": "mean IoU"}
"""What metrics are called where people read them; these are fractions."""


def score(metric: str, numbers: Mapping[str, Any]) -> float:
    """A metric as a number of which less is better; the loss where it was not measured."""
    value: float = numbers.get(metric, numbers["loss"])
    return -value if metric in HIGHER else value


def improves(found: float, best: float | None, least: float) -> bool:
    """Whether a score is better than the best so far, by more than `least`."""
    return best is None or found < best - least or not math.isfinite(best)


def headline(task: str) -> str:
    """The metric that tells how good a net of this task is."""
    return {"numbers": "rmse", "mask": "mean_iou", "tokens": "loss"}.get(task, "top1")
