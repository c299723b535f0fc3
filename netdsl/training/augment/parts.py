"""Samples of a batch that are changed in different ways, each kind at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Change = Callable[[int, Tensor, Tensor], Tensor]
"""(number of the kind, images of it [B, C, H, W], their places in the batch [B]) -> the images, changed."""


def changed(x: Tensor, kind: Tensor, count: int, change: Change) -> Tensor:
    """Each image changed as its kind [B] says, from 0 to `count`; those of kind `count` stay.

    They are sorted by their kind, so that a device is asked once how many there are of each, and every image is copied
    twice, however many kinds there are.
    """
    order = kind.argsort(stable=True)
    each = torch.arange(count + 1, device=x.device)
    counts = (kind[:, None] == each).sum(0).tolist()
    parts = []
    for number, (images, places) in enumerate(
        zip(torch.split(x[order], counts), torch.split(order, counts), strict=True)
    ):
        still = number == count or not len(places)
        parts.append(images if still else change(number, images, places))
    return torch.cat(parts)[order.argsort()]
