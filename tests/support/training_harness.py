"""Small runs of the training loop on plain modules, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from roles import roles_of
from torch import nn

from netdsl.recipe.schema import Recipe
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import Split
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.rng import KeyedRng
from netdsl.training.trainer import Job, Trainer


def samples(count: int = 50, classes: int = 3, seed: int = 0) -> Split:
    """Images [1, 8, 8] of one of some patterns in noise."""
    labels = torch.arange(count) % classes
    pattern = KeyedRng(9, torch.arange(classes)).uniform("pattern", 1, 8, 8)
    noise = KeyedRng(seed, torch.arange(count)).normal("noise", 1, 8, 8)
    return Split(((pattern[labels] + 0.2 * noise).clamp(0, 1),), labels)


def small_net(norm: bool = True, dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 4, 3), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(144, 3))


def loop_of(
    fields: str | Recipe,
    folder: Path | None = None,
    module: nn.Module | None = None,
    split: Split | None = None,
    **job: Any,
) -> Trainer:
    """A loop of a recipe's fields, at its first step."""
    found = fields if isinstance(fields, Recipe) else recipe(fields)
    module = small_net() if module is None else module
    split = samples() if split is None else split
    feed = BatchLoader(split, found, Targets(found, "classes", 3))
    given: dict[str, Any] = {"module": module, "recipe": found, "feed": feed, "held": samples(31, seed=5)}
    given |= {"parameters": roles_of(module), "names": ("output",), "kept": ("output",), "folder": folder}
    given |= {"task": "classes", "classes": 3, "ranks": ProcessGroup()}
    return Trainer(Job(**(given | job)))


def stop_after(loop: Trainer, step: int) -> None:
    """Run until the checkpoint of a step, and no further, as a kill would leave it."""
    own = loop.watch

    def watch(what: str, numbers: dict[str, Any]) -> None:
        own(what, numbers)
        if what == "saved" and numbers["step"] == step:
            raise KeyboardInterrupt

    loop.watch = watch
    with pytest.raises(KeyboardInterrupt):
        loop.run()
