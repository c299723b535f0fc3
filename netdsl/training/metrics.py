"""Metrics as sums: what is added over samples (and ranks), and the number they give at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from netdsl.recipe.metrics import LABELS, METRICS, MOST_PAIRED, NODES, NUMBERS, always_measured
from netdsl.training.ranking import of_each_class

Sums = dict[str, Tensor]


class Metrics:
    """Adds up what the metrics of a task need, on the device; every sample counts once.

    `task`: classes, mask, tokens, nodes (all with a confusion matrix up to 1,000 classes), labels (each yes or no,
    or negative: not known) or numbers (one that is not finite is not known), of samples or of nodes. `samples`: how
    many there are in all, for metrics that look at their order; `origin`: a target, from which others are measured
    where their spread counts; `bytes_per_token`: of a text, 0 where that is not known.
    """

    def __init__(
        self,
        task: str,
        classes: int,
        wanted: tuple[str, ...] = (),
        samples: int = 0,
        origin: Tensor | None = None,
        keep: bool = False,
        bytes_per_token: float = 0.0,
    ) -> None:
        self.bytes_per_token = bytes_per_token
        self.task = task
        self.classes = classes
        self.wanted = tuple(m for m in wanted if task in METRICS[m].tasks)
        self.samples = samples
        self.origin = origin
        self.keep = keep
        self.sums: Sums = {}

    def add(
        self,
        output: Tensor,
        target: Tensor,
        loss: Tensor,
        count: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> None:
        """Add a batch: the net's output, hard targets, and of every sample the numerators and the denominators (1 where
        not given) of the loss, [B] or [T, B]; `rows`: which of all samples they are."""
        self._add("n", loss.new_full((), len(target)))
        self._add("loss", loss.double().sum(-1))
        self._add("counts", (torch.ones_like(loss) if count is None else count).double().sum(-1))
        if self.task in NUMBERS:
            self._add_numbers(output, target)
        elif self.task in LABELS:
            self._add_labels(output, target)
        elif self.task == "pairs":
            self._add_pairs(output)
        else:
            self._add_classes(output, target)
        if rows is not None and self.keep:
            self._keep(rows, outputs=output, targets=target)
        if self._ranked():
            assert rows is not None
            self._keep_scores(output, target, rows)

    def _add_numbers(self, output: Tensor, target: Tensor) -> None:
        output, target = self._in_rows(output).double(), self._in_rows(target.reshape(output.shape)).double()
        known = torch.isfinite(target)
        distance = torch.where(known, output - target, 0)
        self._add("nodes", known.any(1).sum())
        self._add("numbers", known.double().mean(1).sum())
        self._add("squares", distance.square().mean(1).sum())
        if "mae" in self.wanted:
            self._add("absolute", distance.abs().mean(1).sum())
        if "r2" in self.wanted:
            away = torch.where(known, target - (0 if self.origin is None else self.origin.flatten()), 0)
            self._add("known", known.double().sum(0))
            self._add("residual", distance.square().sum(0))
            self._add("away", away.sum(0))
            self._add("away_squared", away.square().sum(0))

    def _add_labels(self, output: Tensor, target: Tensor) -> None:
        output, target = self._in_rows(output), self._in_rows(target)
        guess, truth, known = output > 0, target > 0.5, target >= 0
        self._add("places", known.sum())
        self._add("nodes", known.any(1).sum())
        self._add("right", ((guess == truth) & known).sum())
        pairs = [(truth == t) & (guess == g) & known for t in (True, False) for g in (True, False)]
        self._add("labels", torch.stack([p.double().sum(0) for p in pairs]))

    def _in_rows(self, labels: Tensor) -> Tensor:
        """Labels, their scores or numbers as [rows, L]: a row for each sample, or for each node of all samples."""
        return labels.flatten(0, -2) if self.task in NODES else labels.flatten(1)

    def _add_pairs(self, alike: Tensor) -> None:
        """Count the samples whose other view is the most alike, [B, B], from either view."""
        own = torch.arange(len(alike), device=alike.device)
        right = sum((x.argmax(1) == own).double().sum() for x in (alike, alike.T))
        self._add("right", torch.as_tensor(right))
        self._add("places", torch.tensor(2.0 * len(alike), device=alike.device))

    def _add_classes(self, output: Tensor, target: Tensor) -> None:
        """Count right guesses and confusions. The classes stay on their axis: a copy of a mask's output is large."""
        axis = self._axis(output, target)
        guess, known = output.argmax(axis), target >= 0
        self._add("places", known.sum())
        self._add("right", (guess == target).sum())  # a guess is never negative
        if self.classes > 5 and "top5" in self.wanted:
            self._add("near", _among_first(5, output, target, axis).sum())
        if {"confidence", "calibration_error"}.intersection(self.wanted):
            self._add("bins", binned(output.float().softmax(axis).amax(axis)[known], (guess == target)[known]))
        if self.classes <= MOST_PAIRED:
            cells = torch.where(known, target * self.classes + guess, 0).flatten()
            if "confusion" not in self.sums:
                empty = torch.zeros(self.classes, self.classes, dtype=torch.float64, device=output.device)
                self.sums["confusion"] = empty
            self.sums["confusion"].view(-1).index_add_(0, cells, known.flatten().double())

    def _axis(self, output: Tensor, target: Tensor) -> int:
        return 2 if output.ndim == 3 and target.shape == output.shape[:2] else 1

    def _ranked(self) -> list[str]:
        return [m for m in self.wanted if METRICS[m].scores]

    def _keep_scores(self, output: Tensor, target: Tensor, rows: Tensor) -> None:
        """Keep what the samples are ordered by, each in its own row: rows of other processes stay 0 and are added."""
        if self.task not in LABELS:
            axis = self._axis(output, target)  # in doubles: in floats the same scores in another order would differ
            output = output.double().log_softmax(axis).float().movedim(axis, -1)
        self._keep(rows, scores=output, truth=target)

    def _keep(self, rows: Tensor, **each: Tensor) -> None:
        for name, values in each.items():
            if name not in self.sums:
                self.sums[name] = values.new_zeros(self.samples, *values.shape[1:], dtype=torch.float64)
            self.sums[name][rows] = values.double()

    def _add(self, name: str, value: Tensor) -> None:
        value = value.double()
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def results(self) -> dict[str, Any]:
        """Numbers by name; `confusion` (rows: truth, columns: guess) and what ends in `per_class` as lists where asked
        for. A metric that the samples leave open is absent."""
        sums = self.sums
        n = max(1.0, float(sums.get("n", torch.tensor(0.0))))
        found: dict[str, Any] = {"n": 0}
        if "loss" in sums:
            tiny = torch.finfo(torch.float64).tiny
            found = {"n": int(n), "loss": float((sums["loss"] / sums["counts"].clamp(min=tiny)).sum())}
        if "squares" in sums:
            found |= self._of_numbers()
        if "right" in sums:
            places = max(1.0, float(sums["places"]))
            found["n"] = int(sums.get("nodes", sums["places"])) if self.task in NODES else found["n"]
            found["top1"] = float(sums["right"]) / places
            if "near" in sums:
                found["top5"] = float(sums["near"]) / places
            if "bins" in sums:
                found |= {n: v for n, v in of_bins(sums["bins"], places).items() if n in self.wanted}
            found |= self._of_classes()
        if self.task == "tokens" and "loss" in found:
            found["perplexity"] = float(torch.tensor(found["loss"]).exp())
            if self.bytes_per_token:
                found["bits_per_byte"] = found["loss"] / math.log(2) / self.bytes_per_token
        return found

    def _of_numbers(self) -> dict[str, Any]:
        sums = self.sums
        n = max(1.0, float(sums["numbers"]))
        found: dict[str, Any] = {"n": int(sums["nodes"])} if self.task in NODES else {}
        found["rmse"] = (float(sums["squares"]) / n) ** 0.5
        if "absolute" in sums:
            found["mae"] = float(sums["absolute"]) / n
        if "residual" in sums:
            each = sums["known"].clamp(min=1)
            found["r2"] = explained(sums["residual"], sums["away_squared"] - sums["away"].square() / each)
        return found

    def _of_classes(self) -> dict[str, Any]:
        """The metrics of classes that were asked for: a mean over them, their values, and the pairs of them."""
        each, asked = self._each(), {*self.wanted, *always_measured(self.task)}
        means = {name: _mean(values) for name, values in each.items() if name in asked}
        found: dict[str, Any] = {name: mean for name, mean in means.items() if mean is not None}
        if "micro_f1" in asked:
            hit, missed, wrong, _ = self.sums["labels"].sum(1).tolist()
            found["micro_f1"] = 2 * hit / max(1.0, 2 * hit + missed + wrong)
        if "per_class" in asked and "recall" in each:
            found |= {"per_class": [v or 0.0 for v in each["recall"]], **_lists(each, means)}
        if "confusion" in asked and "confusion" in self.sums:
            found["confusion"] = self.sums["confusion"].long().tolist()
        return found

    def _each(self) -> dict[str, list[float | None]]:
        """The metrics that have a value for each class."""
        each = {}
        if "scores" in self.sums:
            each = {name: of_each_class(name, *self._scores()) for name in self._ranked()}
        if "confusion" in self.sums:
            return each | of_pairs(from_confusion(self.sums["confusion"]))
        return each | of_pairs(self.sums["labels"], apart=True) if "labels" in self.sums else each

    def _scores(self) -> tuple[Tensor, Tensor]:
        """Scores [N, C], and classes [N] or labels [N, C]."""
        scores, truth = self.sums["scores"], self.sums["truth"]
        if self.task in LABELS:
            return self._in_rows(scores), self._in_rows(truth)
        return scores.flatten(0, -2), truth.flatten()


def _among_first(count: int, scores: Tensor, target: Tensor, axis: int) -> Tensor:
    """Whether each target is one of the `count` classes of the highest scores; of equal ones the first, as `argmax`
    takes them. Classes stand on an axis of `scores`; a negative target is none."""
    known, number = target >= 0, torch.arange(scores.shape[axis], device=scores.device)
    chosen = target.clamp(min=0).unsqueeze(axis).long()
    own, later = scores.gather(axis, chosen), number.view(-1, *[1] * (scores.ndim - 1 - axis)) > chosen
    behind = (scores < own) | ((scores == own) & later)
    return known & (scores.shape[axis] - behind.sum(axis) <= count)


BINS = 15
"""Bins of equal width that confidences are sorted into, as in Guo et al. 2017."""


def binned(confidence: Tensor, right: Tensor) -> Tensor:
    """Sums [2, BINS] over guesses by their confidence: of the confidence itself, and of those that are right."""
    place = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    sums = torch.zeros(2, BINS, dtype=torch.float64, device=confidence.device)
    return sums.index_add_(1, place, torch.stack([confidence.double(), right.double()]))


def of_bins(sums: Tensor, places: float) -> dict[str, float]:
    """The mean confidence, and the expected calibration error (Naeini et al. 2015; Guo et al. 2017): the distance of
    confidence and accuracy in each bin, weighted by its guesses."""
    confidence, right = sums
    return {
        "confidence": float(confidence.sum()) / places,
        "calibration_error": float((confidence - right).abs().sum()) / places,
    }


SUMMED = ("recall", "balanced_accuracy")
"""Metrics whose values for each class stand in `per_class` already."""


def _lists(each: dict[str, list[float | None]], shown: Iterable[str]) -> dict[str, list[float | None]]:
    return {f"{name}_per_class": each[name] for name in shown if name not in SUMMED}


def from_confusion(matrix: Tensor) -> tuple[Tensor, ...]:
    """Of every class: true positives, false negatives, false positives and true negatives."""
    return from_places(matrix.diagonal(), matrix.sum(1), matrix.sum(0))


def from_places(right: Tensor, truth: Tensor, guess: Tensor) -> tuple[Tensor, ...]:
    """The same, from what is right of every class, what has it, and what is taken for it."""
    return right, truth - right, guess - right, truth.sum() - truth - guess + right


def of_pairs(counts: Iterable[Tensor], apart: bool = False) -> dict[str, list[float | None]]:
    """Metrics of every class from its true positives, false negatives, false positives and true negatives, as in
    scikit-learn; None for what does not occur at all, and does not count in a mean. `apart`: each is a yes or no of
    its own, whose balanced accuracy is the mean of both."""
    hit, missed, wrong, left = counts
    there = (hit + missed + wrong) > 0
    balanced = _share(hit, hit + missed, (hit + missed) > 0)
    if apart:
        no = _share(left, left + wrong, (left + wrong) > 0)
        balanced = [(a + b) / 2 if a is not None and b is not None else None for a, b in zip(balanced, no, strict=True)]
    return {
        "balanced_accuracy": balanced, "precision": _share(hit, hit + wrong, there),
        "recall": _share(hit, hit + missed, there), "f1": _share(2 * hit, 2 * hit + missed + wrong, there),
        "mean_iou": _share(hit, hit + missed + wrong, there),
    }  # fmt: skip


def _share(part: Tensor, whole: Tensor, there: Tensor) -> list[float | None]:
    """Fractions, 0 of nothing; None where a class is not there."""
    values = (part / whole.clamp(min=1)).tolist()
    return [v if known else None for v, known in zip(values, there.tolist(), strict=True)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def explained(residual: Tensor, spread: Tensor) -> float:
    """The share of the targets' spread that a net explains, as sklearn.metrics.r2_score: the mean over its outputs. One
    that does not vary counts 1 where the net gives it exactly, else 0."""
    constant = spread <= 0
    each = 1 - residual / torch.where(constant, torch.ones_like(spread), spread)
    return float(torch.where(constant, (residual == 0).double(), each).mean())


def score(metric: str, numbers: Mapping[str, Any]) -> float:
    """A metric as a number of which less is better; the loss where it was not measured."""
    if metric not in numbers:
        return float(numbers["loss"])
    value: float = numbers[metric]
    return -value if metric in METRICS and METRICS[metric].higher else value


def improves(found: float, best: float | None, least: float) -> bool:
    """Whether a score is better than the best so far, by more than `least`."""
    return best is None or found < best - least or not math.isfinite(best)
