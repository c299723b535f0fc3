"""Which samples an update sees, and in what form: a function of (seed, step)."""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.schema import Recipe
from netdsl.training.augment.cuts import first_cut
from netdsl.training.augment.pipeline import Pipeline, Standard
from netdsl.training.data import Split
from netdsl.training.draws import Draws, key, permutation
from netdsl.training.mix import Mixer
from netdsl.training.target import Targets


class Batch(Struct, frozen=True, eq=False):
    """Inputs and targets of one share of an update; `size` is the number of samples of the whole update."""

    inputs: tuple[Tensor, ...]
    target: Tensor
    size: int


class Feed:
    """Batches of a training split.

    `batch(step, first, last)` gives the places first..last of update `step` (0-based). Every share of an update is the
    same whatever the other shares are: augmentation is drawn per sample, a mixing partner is the next place of the
    whole update that has another sample. `standard`: mean and deviation with which the net standardises pixels.
    """

    def __init__(
        self, split: Split, recipe: Recipe, targets: Targets, mask: bool = False, standard: Standard | None = None
    ) -> None:
        self.split = split
        self.seed = recipe.seed
        self.size = recipe.batch
        self.repeat = recipe.repeat
        self.targets = targets
        self.augment = Pipeline(recipe.augment, mask, standard)
        self.mixer = Mixer(recipe.mix, recipe.seed)
        whole, rest = divmod(len(split), self.size)
        self.per_epoch = max(1, whole if recipe.drop_last or not rest else whole + 1)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def order(self, epoch: int) -> Tensor:
        """The samples of an epoch in order, int64; with `repeat`, neighbours are copies of one sample."""
        if self._order[0] != epoch:
            order = permutation(key(self.seed, "order", epoch), len(self.split))
            if self.repeat > 1:
                order = order.repeat_interleave(self.repeat)[: len(self.split)]
            self._order = (epoch, order.to(self.split.target.device))
        return self._order[1]

    def count(self, step: int) -> int:
        """Samples of update `step`: the recipe's batch, or what is left at the end of an epoch."""
        return min(self.size, len(self.split) - step % self.per_epoch * self.size)

    def slots(self, step: int) -> slice:
        """Where update `step` stands in its epoch's order."""
        start = step % self.per_epoch * self.size
        return slice(start, start + self.count(step))

    def batch(self, step: int, first: int = 0, last: int | None = None) -> Batch:
        """The places first..last of update `step`."""
        epoch, within = divmod(step, self.per_epoch)
        count = self.count(step)
        last = count if last is None else last
        mix = self.mixer.draw(step)
        more = self.repeat if mix else 0  # neighbours are copies of one sample: the partner stands behind them
        places = torch.arange(first, last + more, device=self.split.target.device) % count
        slots = within * self.size + places
        samples = self.order(epoch)[slots]
        copies = samples + len(self.split) * (slots % self.repeat)
        draws = Draws(key(self.seed, "augment", epoch), copies)
        cut = first_cut(self.augment, draws, epoch) if self.split.cut else None
        inputs, target = self.split.take_cut(samples, cut) if cut else self.split.take(samples)
        if self.augment:
            inputs, target = self.augment(inputs, target, draws, epoch, after=1 if cut else 0)
        target = self.targets(target)
        if mix:
            inputs, target = mix.apply(inputs, target, places[:-more])
        return Batch(inputs, target, count)
