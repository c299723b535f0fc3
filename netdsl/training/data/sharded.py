"""The order of samples that lie in shards: files that are best read from front to back.

A uniformly random order would have every process open every file for every batch. Here the shards themselves are
shuffled, and the samples inside each; the sequence of all of them is cut into lanes, and every batch takes its next
positions from each lane. A process has the same few lanes for a whole epoch, so it reads whole shards of its own. The
order is a function of (seed, epoch, position): it doesn't depend on the number of processes or of workers, and no list
of all samples is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.training.rng import key, permutation

LANES = 64
"""Parts of an epoch that are read at the same time, where a batch has so many samples."""


class Shards(Struct, frozen=True):
    """Where the shards of an epoch's order lie. `ends`: the number of samples in each shard and all before it; `lanes`:
    the most parts of an epoch that are read at the same time."""

    seed: int
    ends: tuple[int, ...]
    batch: int
    drop_last: bool = False
    lanes: int = LANES

    @classmethod
    def of(cls, seed: int, counts: Sequence[int], batch: int, drop_last: bool = False, lanes: int = LANES) -> Shards:
        ends = torch.tensor(counts, dtype=torch.int64).cumsum(0).tolist()
        return cls(seed, tuple(ends), batch, drop_last, lanes)

    def samples(self, step: int, epoch: int, places: Tensor) -> Tensor:
        """The samples at some places of an epoch's step (0-based in its epoch), int64."""
        total = self.ends[-1]
        full, rest = divmod(total, self.batch)
        rest = 0 if self.drop_last else rest
        lanes = min(self.lanes, self.batch)
        lane = (places * lanes + lanes - 1) // self.batch  # of positions [-(-l * batch // lanes), ...)
        lane = torch.where(-(-lane * self.batch // lanes) > places, lane - 1, lane)
        first, last = (-(-x * self.batch // lanes) for x in (lane, lane + 1))
        start = full * first + first.clamp(max=rest)
        return self._in_sequence(epoch, start + step * (last - first) + places - first)

    def _in_sequence(self, epoch: int, at: Tensor) -> Tensor:
        """The samples at some positions of the sequence of shuffled shards."""
        order, ends = _sequence(self, epoch)
        which = torch.searchsorted(ends, at, right=True)
        found = torch.empty_like(at)
        for i in sorted(set(which.tolist())):
            shard = int(order[i])
            begin = self.ends[shard - 1] if shard else 0
            count = self.ends[shard] - begin
            here = which == i
            inside = at[here] - (int(ends[i]) - count)
            found[here] = begin + _inside(key(self.seed, "order", epoch, shard), count)[inside]
        return found


@lru_cache(maxsize=2)
def _sequence(shards: Shards, epoch: int) -> tuple[Tensor, Tensor]:
    """The shards of an epoch in order, and the number of samples in each and all before it."""
    ends = torch.tensor((0, *shards.ends), dtype=torch.int64)
    order = permutation(key(shards.seed, "shards", epoch), len(shards.ends))
    return order, ends.diff()[order].cumsum(0)


@lru_cache(maxsize=4 * LANES)
def _inside(base: int, count: int) -> Tensor:
    """The order of a shard's samples."""
    return permutation(base, count)
