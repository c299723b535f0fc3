"""Parameters that no weighed output depends on: DistributedDataParallel would wait for their gradients for ever."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from netdsl.training.data.dataset import Split, as_floats


def hold_unreached(module: nn.Module, criterion: Any, split: Split) -> None:
    """Ask for no gradient of the parameters that the loss does not depend on. Alone, a process finds them without one
    too, so they stay what they are in both."""
    if all(criterion.weights.values()):
        return
    names = unreached(module, criterion, split)
    for name, parameter in module.named_parameters():
        if name in names:
            parameter.requires_grad_(False)


def unreached(module: nn.Module, criterion: Any, split: Split) -> set[str]:
    """The names of the trained parameters that no weighed output depends on: found on two samples without numbers."""
    bare = deepcopy(module).to("meta").train()
    inputs = [as_floats(torch.empty(2, *x.shape[1:], dtype=x.dtype, device="meta")) for x in split.example()]
    weighed = [x for name, x in criterion.named(bare(*inputs)).items() if criterion.weights.get(name)]
    trained = {name: p for name, p in bare.named_parameters() if p.requires_grad}
    total = torch.stack([x.float().sum() for x in weighed]).sum()
    gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
    return {name for name, gradient in zip(trained, gradients, strict=True) if gradient is None}
