"""The loss of a smaller file: both run in onnxruntime on the same samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from torch import Tensor

from netdsl.backends.onnx.session import Session
from netdsl.recipe.metrics import LABELS, METRICS, NODES, NUMBERS, headline
from netdsl.training.data.dataset import DataSet
from netdsl.training.evaluate import Evaluator, first_output
from netdsl.training.export import forward_of


class Loss(Struct, frozen=True):
    """The loss of a smaller file. `metric`: the one that tells how good a net of this task is, of the float file
    (`before`) and of the smaller one (`after`); `agreement`: the share of samples (or places) with the same
    class, None where there are none; `difference`: the largest of an output, relative to the largest output."""

    metric: str
    before: float
    after: float
    agreement: float | None
    difference: float

    @property
    def drop(self) -> float:
        """How much worse: in points of a fraction, otherwise as a part of the metric of the float file."""
        kind = METRICS.get(self.metric)
        higher, fraction = (kind.higher, kind.fraction) if kind is not None else (False, False)
        worse = self.before - self.after if higher else self.after - self.before
        return worse if fraction else worse / max(abs(self.before), 1e-12)


class Comparison:
    """A float file on a test split, with which smaller ones are compared."""

    def __init__(self, source: Session, data: DataSet, evaluator: Evaluator) -> None:
        self.data, self.evaluator = data, evaluator
        self.source = source
        self.expected = forward_of(source)
        self.metric = headline(data.task)
        self.before = self._measured(self.expected)

    def __call__(self, session: Session) -> Loss:
        forward, count = forward_of(session), Agreement(self.data.task)

        def both(*inputs: Tensor) -> Tensor:
            found = first_output(forward(*inputs))
            count.add(first_output(self.expected(*inputs)).numpy(), found.numpy())
            return found

        after = self._measured(both)
        return Loss(self.metric, self.before, after, count.share, count.difference / max(count.largest, 1e-12))

    def _measured(self, forward: Any) -> float:
        return float(self.evaluator(forward, self.data.test)[self.metric])


def largest(values: np.ndarray) -> float:
    """The largest magnitude among numbers; what is not a number does not count."""
    return float(np.nanmax(np.abs(values), initial=0))


def largest_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest |expected - found|. A number where the other is none, or is infinite, is infinitely far; NaN and NaN,
    or infinity and the same infinity, are equal."""
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.subtract(expected, found, dtype=np.float64))
    apart[np.isnan(apart)] = np.inf
    return float(apart[~same].max(initial=0))


class Agreement:
    """The agreement of two outputs, over batches."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.same = self.places = 0
        self.difference = self.largest = 0.0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        self.largest = max(self.largest, largest(expected))
        self.difference = max(self.difference, largest_difference(expected, found))
        if self.task in (*NUMBERS, "pairs"):
            return
        axis = -1 if self.task in ("tokens", "tags", *NODES) else 1
        known = np.isnan(expected) == np.isnan(found)
        signs = self.task in LABELS
        same = (expected > 0) == (found > 0) if signs else expected.argmax(axis) == found.argmax(axis)
        same &= known if signs else known.all(axis)
        self.same, self.places = self.same + int(same.sum()), self.places + same.size

    @property
    def share(self) -> float | None:
        """The share of samples, or places, with the same class; None where there are no classes."""
        return self.same / self.places if self.places else None
