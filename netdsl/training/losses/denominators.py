"""The denominators of a step's loss: samples, class weights or valid positions of the whole global batch, whatever
micro-batches and ranks it is cut into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from netdsl.recipe.losses import L1, Bce, CrossEntropy, DiceCe, Huber, Mse
from netdsl.training.data.batches import Batch, BatchLoader
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.losses.criterion import Criterion
from netdsl.training.losses.losses import known_numbers

Part = tuple[int, int]


def _has_unknown(component: Any, target: Tensor) -> bool:
    """Whether some of the labels, or of the numbers, do not count."""
    if isinstance(component, Bce):
        return bool((target < 0).any())
    numbers = isinstance(component, Mse | L1 | Huber) and target.is_floating_point()
    return numbers and not bool(known_numbers(target).all())


class Denominators:
    """Gives the micro-batches of a step and what their losses are divided by.

    Most losses divide by the number of samples. With hard targets, cross entropy divides by the weights of their
    classes and leaves ignored positions out, as `bce` does labels that are unknown, and losses of numbers such
    numbers. How many positions of a mask are
    valid is known only once it is augmented: then all micro-batches of a step are read before the first is computed.
    """

    def __init__(self, component: Any, criterion: Criterion, feed: BatchLoader, ranks: ProcessGroup) -> None:
        self.criterion, self.feed, self.ranks = criterion, feed, ranks
        hard = isinstance(component, CrossEntropy | DiceCe) and not feed.targets.soft
        hard = hard and not feed.split.target.is_floating_point()
        void = not feed.targets.soft and _has_unknown(component, feed.split.target)
        self.positions = hard and feed.split.target.ndim > 1
        self.labels = void or (hard and not self.positions)
        self.read: dict[Part, Batch] = {}
        self.known: Tensor | None = None

    def begin(self, step: int, parts: Sequence[Part]) -> None:
        """A step begins, of which `parts` are this rank's micro-batches."""
        self.known = None
        together = self.positions and (len(parts) > 1 or self.ranks.world > 1)
        self.read = {part: self.feed.batch(step, *part) for part in parts} if together else {}

    def batch(self, step: int, first: int, last: int) -> Batch:
        """A micro-batch."""
        found = self.read.get((first, last)) if self.known is None else self.read.pop((first, last), None)
        return self.feed.batch(step, first, last) if found is None else found

    def total(self, step: int, batch: Batch, result: Any) -> Tensor:
        """The denominators [T] of the step's terms; `result` is the net's for one of its micro-batches."""
        if self.known is None:
            self.known = self._total(step, batch, result)
            self.read = {part: b for part, b in self.read.items() if b is not batch}
        return self.known

    def _total(self, step: int, batch: Batch, result: Any) -> Tensor:
        if self.labels:
            return self.criterion.totals(result, [self.feed.labels(step)])
        if not self.positions:
            ones = self.criterion.totals(result, [batch.target[:1]])
            return ones * batch.size
        targets = [b.target for b in self.read.values()] or [batch.target]
        return self.ranks.sum({"counts": self.criterion.totals(result, targets)})["counts"]
