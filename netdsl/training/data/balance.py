"""The order of an epoch in which classes are balanced: a function of (seed, epoch), as any other order."""

from __future__ import annotations

from functools import lru_cache

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.training.rng import key, permutation


class Balance(Struct, frozen=True, eq=False):
    """The samples of each class, and how strongly frequent classes are held back (`power`, 1: entirely).

    Two of them are never equal, so that an order that has one is found again by its identity alone.
    """

    members: tuple[Tensor, ...]
    power: float

    @classmethod
    def of(cls, labels: Tensor, power: float) -> Balance:
        """`labels`: the class of every sample, [N]."""
        labels = labels.cpu()
        members = (torch.nonzero(labels == c)[:, 0] for c in torch.unique(labels).tolist())
        return cls(tuple(members), power)

    def quotas(self, base: int, count: int) -> list[int]:
        """How many of `count` samples each class has; what doesn't come out even goes to classes drawn with `base`."""
        shares = torch.tensor([float(len(m)) for m in self.members], dtype=torch.float64) ** (1 - self.power)
        exact = shares / shares.sum() * count
        quotas = exact.floor().long()
        drawn = permutation(key(base, "quotas"), len(quotas))
        missing = count - int(quotas.sum())
        first = drawn[(exact - quotas)[drawn].argsort(descending=True, stable=True)][:missing]
        quotas[first] += 1
        return [int(q) for q in quotas]


class BalancedEpoch(Struct, frozen=True, eq=False):
    """An epoch's samples in order, and which copy of its sample each place shows."""

    samples: Tensor
    copies: Tensor


@lru_cache(maxsize=2)
def balanced_epoch(balance: Balance, base: int, count: int) -> BalancedEpoch:
    """The epoch of a key: every sample of a class is shown equally often, give or take one."""
    samples, copies = [], []
    for i, (members, quota) in enumerate(zip(balance.members, balance.quotas(base, count), strict=True)):
        at = torch.arange(quota)
        order = permutation(key(base, "class", i), len(members))
        samples.append(members[order[at % len(members)]])
        copies.append(at // len(members))
    mixed = permutation(base, count)
    return BalancedEpoch(torch.cat(samples)[mixed], torch.cat(copies)[mixed])
