"""The batch of a training step: a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import tee

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.progressive import stage_of, staged
from netdsl.recipe.schema import Recipe
from netdsl.training.augment.cuts import cuts, first_cut
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.augment.registry import Standard
from netdsl.training.data.dataset import Cut, Split, as_classes, as_floats
from netdsl.training.data.imbalance import balance_of
from netdsl.training.data.mix import Mix, Mixer
from netdsl.training.data.pairs import both_views, second, takes_views
from netdsl.training.data.prefetch import Ahead, Share, loaded, processes
from netdsl.training.data.resident import Resident
from netdsl.training.data.sampler import EpochSampler
from netdsl.training.data.targets import Targets


class Batch(Struct, frozen=True, eq=False):
    """Inputs and targets of one share of a step; `size` is the number of samples of the whole step."""

    inputs: tuple[Tensor, ...]
    target: Tensor
    size: int


class Stage(Struct, frozen=True, eq=False):
    """The processing of images in some range of steps."""

    recipe: Recipe
    augment: Pipeline
    mixer: Mixer


class Stages(Struct, frozen=True, eq=False):
    """The stages of a run of `total` steps, all equally long."""

    each: tuple[Stage, ...]
    total: int

    def at(self, step: int) -> Stage:
        return self.each[stage_of(step, self.total, len(self.each))]


def stages_of(
    recipe: Recipe,
    total: int,
    mask: bool = False,
    standard: Standard | None = None,
    mixing: Tensor | None = None,
) -> Stages:
    """The stages of a recipe's run."""
    each = (
        Stage(r, Pipeline(r.augment, mask, standard, mixing), Mixer(r.mix, r.seed, r.repeat)) for r in staged(recipe)
    )
    return Stages(tuple(each), total)


class Decoder(Struct, frozen=True, eq=False):
    """Reads the images of a share of a step from their files: all that a process that reads must know."""

    order: EpochSampler
    stages: Stages
    read: Callable[[Tensor], tuple[Tensor, ...]] | None
    cut: Callable[[Tensor, Cut], tuple[Tensor, ...]] | None
    views: bool = False

    def places(self, share: Share) -> Tensor:
        """The share's places and those of its mixing partners."""
        return _places(self.order, self.stages.at(share[0]).mixer.draw(share[0]), share)

    def samples(self, share: Share) -> Tensor:
        """The samples at these places."""
        return self.order.at(share[0], self.places(share))

    def __call__(self, share: Share) -> tuple[Tensor, ...]:
        """The share's images and those of its mixing partners, uint8."""
        places = self.places(share)
        samples = self.order.at(share[0], places)
        if self.cut is not None and (how := self._cuts(share[0], places, samples)):
            found = [self.cut(samples, h) for h in how]
            return found[0] if len(found) == 1 else tuple(torch.cat(parts) for parts in zip(*found, strict=True))
        assert self.read is not None
        return self.read(samples)

    def _cuts(self, step: int, places: Tensor, samples: Tensor) -> list[Cut]:
        """The boxes cut out of images as they are decoded, for each view; nothing where augmentation doesn't begin
        so."""
        draws = self.order.draws(step, places, samples)
        augment, epoch = self.stages.at(step).augment, step // self.order.per_epoch
        how = [first_cut(augment, d, epoch) for d in ((draws, second(draws)) if self.views else (draws,))]
        return [h for h in how if h is not None]


def _places(order: EpochSampler, mix: Mix | None, share: Share, device: torch.device | None = None) -> Tensor:
    """The places of a share of a step, and behind them those of their mixing partners."""
    step, first, last = share
    own = order.places(step, first, last, device)
    return torch.cat((own, mix.others(own, order.count(step)))) if mix else own


class BatchLoader:
    """Batches of a training split.

    `batch(step, first, last)` gives the places first..last of step `step` (0-based). Every share of a step is the
    same whatever the other shares are: augmentation is drawn per sample, a mixing partner is a place of the whole
    update that has another sample. `standard`: mean and deviation with which the net standardises pixels.
    """

    def __init__(
        self,
        split: Split,
        recipe: Recipe,
        targets: Targets,
        mask: bool = False,
        standard: Standard | None = None,
        mixing: Tensor | None = None,
    ) -> None:
        self.split = split
        self.targets = targets
        self.workers = recipe.workers
        self.numbers = EpochSampler(
            recipe.seed, len(split), recipe.batch, recipe.repeat, recipe.drop_last, split.shards, split.lanes,
            balance_of(recipe, split), split.streams,
        )  # fmt: skip
        self.per_epoch = self.numbers.per_epoch
        self.total = recipe.total_steps(self.per_epoch)
        self.stages = stages_of(recipe, self.total, mask, standard, mixing)
        self.cuts = bool(split.cut) and cuts(recipe.augment)
        self.views = takes_views(recipe, split)
        self.decoder: Decoder | None = None
        if split.read or self.cuts:
            bare = stages_of(recipe, self.total)  # without tensors, which may lie on a device
            read = split.read.read if self.cuts and isinstance(split.read, Resident) else split.read
            self.decoder = Decoder(self.numbers, bare, read, split.cut if self.cuts else None, self.views)
        self.ahead: Ahead | None = None
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    @property
    def bare(self) -> bool:
        """Whether batches are samples in memory as they are stored: nothing is drawn for them but their order."""
        drawn = any(stage.augment or stage.mixer.components for stage in self.stages.each)
        return self.decoder is None and not self.views and not drawn and not self.split.shards

    def order(self, epoch: int) -> Tensor:
        """The samples of an epoch in order, int64, on the split's device."""
        if self._order[0] != epoch:
            self._order = (epoch, self.numbers.epoch(epoch).to(self.split.target.device))
        return self._order[1]

    def count(self, step: int) -> int:
        """Samples of step `step`: the recipe's batch, or what is left at the end of an epoch."""
        return self.numbers.count(step)

    def labels(self, step: int) -> Tensor:
        """The targets of step `step`, of all its samples, where they are in memory."""
        places = self.numbers.places(step, 0, self.count(step), self.split.target.device)
        return as_classes(self.split.target[self.samples(step, places)])

    def samples(self, step: int, places: Tensor) -> Tensor:
        """The samples at some places of step `step`, on the split's device."""
        if self.split.shards:
            return self.numbers.at(step, places.cpu()).to(places.device)
        return self.order(step // self.per_epoch)[self.slots(step)][places]

    def slots(self, step: int) -> slice:
        """Where update `step` stands in its epoch's order."""
        return self.numbers.slots(step)

    def begin(self, shares: Iterable[Share], unread: Sequence[tuple[int, int]] = ()) -> None:
        """Images in files: the shares that `batch` will be asked for, in order, are decoded ahead, by processes that do
        not need the memory `unread`."""
        ours, shares = tee(shares)
        first = next(ours, None)
        if self.decoder is None or first is None:
            return
        one = self.decoder((self.total - 1, first[1], first[1] + 1))  # the last images are the largest
        size = sum(x[:1].nbytes for x in one) * (first[2] - first[1])
        workers, device = processes(self.workers, size), self.split.target.device
        load = partial(loaded, workers=workers, pinned=device.type == "cuda", unread=unread)
        jobs, shares = tee(shares)
        if isinstance(self.decoder.read, Resident):
            found = self.decoder.read.in_order(map(self.decoder.samples, jobs), load)
        else:
            found = load(self.decoder, jobs)
        self.ahead = Ahead(self.decoder, shares, found, workers, device)

    def end(self) -> None:
        """Nothing more is read ahead."""
        if self.ahead is not None:
            self.ahead.close()

    def pause(self) -> float | None:
        """The fraction of the time since training last went on that was spent waiting for images in files; None
        where nothing is read."""
        return self.ahead.pause() if self.ahead is not None else None

    def go_on(self) -> None:
        """Training resumes after an evaluation, whose time does not count."""
        if self.ahead is not None:
            self.ahead.go_on()

    def _read(self, share: Share, samples: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs of some samples as they are stored, and their targets: those in memory, or those that were decoded
        for a share."""
        if self.decoder is None:
            return self.split.placed(self.split.stored(samples), samples, self.split.reads_target)
        found = self.ahead.take(share) if self.ahead else self.decoder(share)
        return self.split.placed(found, samples, self.split.cuts_target if self.cuts else self.split.reads_target)

    def batch(self, step: int, first: int = 0, last: int | None = None) -> Batch:
        """The places first..last of step `step`."""
        epoch, count = step // self.per_epoch, self.count(step)
        last = count if last is None else last
        stage = self.stages.at(step)
        mix = stage.mixer.draw(step)
        places = _places(self.numbers, mix, (step, first, last), self.split.target.device)
        samples = self.samples(step, places)
        inputs, target = self._read((step, first, last), samples)
        if self.views or stage.augment:
            draws = self.numbers.draws(step, places, samples)
            if self.views:
                inputs = both_views(stage.augment, inputs, target, draws, epoch, int(self.cuts))
            else:
                inputs, target = stage.augment(inputs, target, draws, epoch, after=int(self.cuts))
        inputs, target = tuple(map(as_floats, inputs)), self.targets(target)
        if mix:
            inputs, target = mix.apply(inputs, target, self.numbers.places(step, first, last))
        return Batch(inputs, target, count)
