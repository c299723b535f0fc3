"""The sample indices of a training step, equal in the training process and in the reading processes."""

from __future__ import annotations

from functools import lru_cache

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.schema import updates_per_epoch
from netdsl.training.data.balance import Balance, BalancedEpoch, balanced_epoch
from netdsl.training.data.sharded import LANES, Shards
from netdsl.training.rng import KeyedRng, key, permutation


class EpochSampler(Struct, frozen=True):
    """The order of `samples` samples in steps of `batch`, for every epoch. `repeat`: copies of a sample in an
    epoch (Hoffer et al. 2020); `drop_last`: the short last step is left out; `shards`: how many samples each file
    has, where an epoch is read file by file (but not with `repeat`), `lanes` of them at a time at most; `balance`: an
    epoch has its classes equally often (without `repeat` and `shards`). `streams`: the samples are that many texts,
    each of neighbouring windows, and every step shows the next window of each."""

    seed: int
    samples: int
    batch: int
    repeat: int = 1
    drop_last: bool = False
    shards: tuple[int, ...] = ()
    lanes: int = LANES
    balance: Balance | None = None
    streams: int = 0

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return updates_per_epoch(self.samples, self.batch, self.drop_last)

    def epoch(self, number: int) -> Tensor:
        """The samples of an epoch in order, int64; with `repeat`, neighbours are copies of one sample."""
        if self.streams:
            return side_by_side(self.samples, self.streams)
        return _epoch(self, number) if self.balance is None else self._balanced(self.balance, number).samples

    def _balanced(self, balance: Balance, number: int) -> BalancedEpoch:
        return balanced_epoch(balance, key(self.seed, "order", number), self.samples)

    def at(self, step: int, places: Tensor) -> Tensor:
        """The samples at some places of step `step`, on the CPU."""
        epoch, within = divmod(step, self.per_epoch)
        if self.shards and self.repeat == 1:
            return _shards(self).samples(within, epoch, places)
        return self.epoch(epoch)[self.slots(step)][places]

    def count(self, step: int) -> int:
        """Samples of step `step`: the batch, or what is left at the end of an epoch."""
        return min(self.batch, self.samples - step % self.per_epoch * self.batch)

    def slots(self, step: int) -> slice:
        """Where update `step` stands in its epoch's order."""
        start = step % self.per_epoch * self.batch
        return slice(start, start + self.count(step))

    def places(self, step: int, first: int, last: int, device: torch.device | None = None) -> Tensor:
        """The places first..last of step `step`; behind its last place comes its first."""
        return torch.arange(first, last, device=device) % self.count(step)

    def draws(self, step: int, places: Tensor, samples: Tensor) -> KeyedRng:
        """The random keys for the augmentation of some samples; copies of one differ."""
        epoch, within = divmod(step, self.per_epoch)
        if self.balance is None:
            copies = (within * self.batch + places) % self.repeat
        else:
            copies = self._balanced(self.balance, epoch).copies[self.slots(step)].to(places.device)[places]
        return KeyedRng(key(self.seed, "augment", epoch), samples + self.samples * copies)


@lru_cache(maxsize=2)
def side_by_side(samples: int, streams: int) -> Tensor:
    """The windows of some texts, step by step: the first of each, the second of each. The first texts are one window
    longer where they are not all equally long."""
    full, longer = divmod(samples, streams)
    first = first_rows(torch.arange(streams), full, longer)
    whole = (torch.arange(full)[:, None] + first).flatten()
    return torch.cat((whole, first[:longer] + full))


def first_rows(streams: Tensor, full: int, longer: int) -> Tensor:
    """The first row of some texts, of which the first `longer` have one window more than `full`."""
    return streams * full + streams.clamp(max=longer)


@lru_cache(maxsize=2)
def _shards(order: EpochSampler) -> Shards:
    return Shards.of(order.seed, order.shards, order.batch, order.drop_last, order.lanes)


@lru_cache(maxsize=2)
def _epoch(order: EpochSampler, number: int) -> Tensor:
    found = permutation(key(order.seed, "order", number), order.samples)
    return found.repeat_interleave(order.repeat)[: order.samples] if order.repeat > 1 else found
