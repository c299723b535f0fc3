"""Samples in files that stay in memory once they are read: training begins before the rest is decoded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import tee

import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]
Read = Callable[[Tensor], Inputs]
"""The samples of some numbers, from their files."""
Load = Callable[[Read, Iterable[Tensor]], Generator[Inputs, None, None]]
"""Reads one list of samples after the other, perhaps ahead and by other processes."""


class Resident:
    """Reads samples as `read` does, each of them once: what was read is kept, on the device that asked for it.

    `like`: the first sample, [1, ...], as `read` gives it; `count`: how many there are.
    """

    def __init__(self, read: Read, like: Inputs, count: int) -> None:
        self.read = read
        self.kept = tuple(torch.empty(count, *x.shape[1:], dtype=x.dtype) for x in like)
        self.known = torch.zeros(count, dtype=torch.bool)
        self._keep(torch.arange(1), like)

    def __call__(self, index: Tensor) -> Inputs:
        """The samples of an index (int64 [B], on the CPU), read now where they are not known."""
        missing: Tensor = index[~self.known[index]].unique()  # type: ignore[no-untyped-call]
        if len(missing):
            self._keep(missing, self.read(missing))
        return self._of(index)

    def in_order(self, parts: Iterable[Tensor], load: Load) -> Generator[Inputs, None, None]:
        """The samples of one index after the other. `load` reads what is missing, in the order of its first use."""
        claimed = self.known.clone()
        ours, ahead = tee((part, _claimed(part, claimed)) for part in parts)
        found = load(self.read, _missing(ahead, int((~claimed).sum())))
        del ahead  # it would remember what only `ours` still passes
        try:
            if bool(self.known.all()):
                found.close()
            for part, missing in ours:
                if len(missing):
                    self._keep(missing, next(found))
                    if bool(self.known.all()):
                        found.close()
                yield self._of(part)
        finally:
            found.close()

    def to(self, device: torch.device) -> None:
        """Keep what is known and what will be on a device."""
        self.kept = tuple(x.to(device) for x in self.kept)

    def _of(self, index: Tensor) -> Inputs:
        return tuple(x[index.to(x.device)] for x in self.kept)

    def _keep(self, index: Tensor, found: Inputs) -> None:
        for x, new in zip(self.kept, found, strict=True):
            x[index.to(x.device)] = new.to(x.device)
        self.known[index] = True


def _claimed(index: Tensor, claimed: Tensor) -> Tensor:
    """The samples of an index that nobody has claimed so far, each once; they are claimed now."""
    missing: Tensor = index[~claimed[index]].unique()  # type: ignore[no-untyped-call]
    claimed[missing] = True
    return missing


def _missing(parts: Iterable[tuple[Tensor, Tensor]], count: int) -> Iterator[Tensor]:
    """The missing samples of each part, until `count` have been named."""
    for _, missing in parts:
        if len(missing):
            count -= len(missing)
            yield missing
        if not count:
            return
