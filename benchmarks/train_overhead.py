"""The trainer's overhead over a bare loop: the same module, batches and fused optimizer, one thread, CPU time.

    python benchmarks/train_overhead.py [rounds]

The two take turns, block by block, so that what else the machine does falls on both; the median of the ratios is
printed. The bare loop has no augmentation, no schedule and no checks; the trainer runs its own `update`.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from plain_nets import usual_step

from netdsl.analysis.count import parameters
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.planning.groups import Parameter
from netdsl.recipe.optimizers import AdamW
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Synthetic
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import Split
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.trainer import Job, Trainer

SPECS = Path(__file__).parent.parent / "specs"
BATCH, BLOCK = 32, 2


def trainer(target: str, size: int, batch: int = BATCH) -> Trainer:
    """A loop on random images."""
    file, _, name = target.partition(":")
    net = Spec(load_source(SPECS / file), read_import).net(name)
    found = tuple(Parameter(p.path, p.role, p.shape) for p in parameters(net.checked.main))
    recipe = Recipe(data=Synthetic(), steps=10_000, batch=batch, optimizer=AdamW(lr=1e-4))
    torch.manual_seed(0)
    split = Split((torch.rand(batch * 4, 3, size, size),), torch.randint(0, 1000, (batch * 4,)))
    feed = BatchLoader(split, recipe, Targets(recipe, "classes", 1000))
    names = ("output",)
    job = Job(
        module=net.module(0),
        recipe=recipe,
        feed=feed,
        held=split,
        parameters=found,
        names=names,
        kept=names,
        task="classes",
        classes=1000,
        folder=None,
        ranks=ProcessGroup(),
    )
    return Trainer(job)


def bare(loop: Trainer) -> Callable[[int], None]:
    """The loop that anybody would write, on a copy of the module."""
    module = copy.deepcopy(loop.module).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)
    (x,), y = loop.feed.split.inputs, loop.feed.split.target
    return usual_step(module, optimizer, x, y, BATCH)


def timed(step: Callable[[int], None], first: int) -> float:
    start = time.process_time()
    for i in range(first, first + BLOCK):
        step(i)
    return time.process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    for target, size in (("resnet.net:ResNet18", 64), ("convnext.net:ConvNeXt_T", 32)):
        loop = trainer(target, size)
        plain = bare(loop)
        timed(plain, 0), timed(loop.update, 0)
        ratios = []
        for r in range(rounds):
            pair = [timed(plain, r * BLOCK), timed(loop.update, r * BLOCK)]
            ratios.append(pair[1] / pair[0])
        print(f"{target} at {size} px: trainer / bare loop = {statistics.median(ratios):.3f} (median of {rounds})")


if __name__ == "__main__":
    main()
