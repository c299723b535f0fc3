"""Random numbers as functions of a key: (seed, epoch, sample, purpose, index).

There is no state, so nothing depends on the number of workers, ranks or micro-batches, and a resumed run needs nothing
restored. The generator is SplitMix64's finaliser (Steele et al. 2014) over the key, in int64 arithmetic that wraps
alike on every device.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

MASK = (1 << 64) - 1
STEPS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def _signed(x: int) -> int:
    x &= MASK
    return x - (1 << 64) if x >> 63 else x


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _scramble(x: Tensor) -> Tensor:
    x = x + _signed(STEPS[0])
    x = (x ^ _shifted(x, 30)) * _signed(STEPS[1])
    x = (x ^ _shifted(x, 27)) * _signed(STEPS[2])
    return x ^ _shifted(x, 31)


def scramble(x: int) -> int:
    """The same finaliser for one Python number."""
    x = (x + STEPS[0]) & MASK
    x = ((x ^ (x >> 30)) * STEPS[1]) & MASK
    x = ((x ^ (x >> 27)) * STEPS[2]) & MASK
    return x ^ (x >> 31)


def key(*parts: int | str) -> int:
    """One number for a sequence of numbers and words; another sequence gives another number."""
    x = 0
    for part in parts:
        x = scramble(x ^ (zlib.crc32(part.encode()) if isinstance(part, str) else part & MASK))
    return x


class KeyedRng:
    """Random numbers for a batch of samples: `uniform("flip")` gives one number in [0, 1) for each.

    `samples` are the numbers that identify the samples in this epoch (int64 [B]); the result depends on nothing else
    than `base` (a key of seed and epoch), the sample, and the purpose.
    """

    def __init__(self, base: int, samples: Tensor) -> None:
        self.base = base
        self.samples = samples

    @property
    def device(self) -> torch.device:
        return self.samples.device

    def __len__(self) -> int:
        return len(self.samples)

    def bits(self, purpose: str, *shape: int) -> Tensor:
        """53 random bits for every sample and place, int64 [B, *shape]."""
        places = torch.arange(math.prod(shape), device=self.device)
        per_sample = _scramble(self.samples ^ _signed(key(self.base, purpose)))
        return _shifted(_scramble(per_sample[:, None] ^ places), 11).reshape(len(self.samples), *shape)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Numbers in [0, 1), float32 [B, *shape]."""
        return _shifted(self.bits(purpose, *shape), 29).to(torch.float32) * 2.0**-24

    def between(self, purpose: str, low: float, high: float, *shape: int) -> Tensor:
        """Numbers in [low, high)."""
        return low + (high - low) * self.uniform(purpose, *shape)

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        """Whole numbers in [0, high), int64."""
        return self.bits(purpose, *shape) % high

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers (Box & Muller 1958)."""
        u = self.uniform(purpose, 2, *shape)
        return (-2 * torch.log1p(-u[:, 0])).sqrt() * torch.cos(2 * math.pi * u[:, 1])

    def chance(self, purpose: str, p: float) -> Tensor:
        """True with probability p, bool [B]."""
        return self.uniform(purpose) < p


def permutation(base: int, n: int) -> Tensor:
    """A random order of n things, int64 [n], from a key."""
    return KeyedRng(base, torch.arange(n)).bits("order").argsort(stable=True)


def beta(base: int, alpha: float, n: int = 1) -> Tensor:
    """n numbers of Beta(alpha, alpha), float32 [n], from a key."""
    generator = torch.Generator().manual_seed(base >> 1)
    gamma = torch._standard_gamma(torch.full((n, 2), alpha, dtype=torch.float64), generator=generator)
    total = gamma.sum(1)
    share = torch.where(total > 0, gamma[:, 0] / total, 0.5)
    return share.to(torch.float32)


def seed_layers(base: int) -> None:
    """Key the generators that dropout and drop-path inside the net draw from."""
    torch.default_generator.manual_seed(base >> 1)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(base >> 1)
