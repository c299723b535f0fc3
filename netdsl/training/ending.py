"""The end of a run: which weights it ends with, and what they measure on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn

from netdsl.recipe.retention import Last
from netdsl.training.capacity import held_on
from netdsl.training.checkpoints import format as files
from netdsl.training.checkpoints.run_dir import WEIGHTS
from netdsl.training.data.batches import BatchLoader
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.shards import gathered, is_sharded
from netdsl.training.kernels.compiler import uncompile
from netdsl.training.optim.reparametrization import merge
from netdsl.training.rng import key, seed_layers
from netdsl.training.setup import Prepared
from netdsl.training.trainer import Trainer
from netdsl.version import LANGUAGE


def finish(prepared: Prepared, loop: Trainer, folder: Path) -> dict[str, Any]:
    """Choose the weights, write them, and measure them on the test split. Raises CheckpointError."""
    weights = loop.chosen_weights()
    merge(prepared.module, loop.factors)
    files.load_state(prepared.module, weights)
    if prepared.recipe.swa is not None and loop.averages.count:
        loop.set_dropout(loop.state.step - 1)
        refresh(prepared.module, loop.feed, prepared.recipe.seed, prepared.recipe.micro_batch)
    prepared.module.eval()
    state = gathered(prepared.module.state_dict(), loop.ranks.first)
    if loop.ranks.first:
        files.save_tensors(folder / WEIGHTS, state, {"language": LANGUAGE})
    if measured_already(prepared, loop):
        return dict(loop.latest[1])
    test = held_on(loop.device, prepared.data.test, prepared.data.name)
    return loop.measured(prepared.module, test)


def measured_already(prepared: Prepared, loop: Trainer) -> bool:
    """Whether the last evaluation was of the weights that a run ends with, on the test split."""
    as_they_are = not loop.factors and loop.averages.state() is None and isinstance(prepared.recipe.evaluated, Last)
    on_test = not prepared.recipe.validation and prepared.data.validation is None
    return as_they_are and on_test and loop.latest[0] == loop.state.step


@torch.no_grad()
def refresh(module: nn.Module, feed: BatchLoader, seed: int, micro: int = 0) -> None:
    """Recompute the batch-norm statistics over one epoch more (Izmailov et al. 2018)."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    begin = -(-feed.total // feed.per_epoch) * feed.per_epoch
    for step in range(begin, begin + feed.per_epoch if norms else begin):
        seed_layers(key(seed, "refresh", step))
        for part in ProcessGroup().parts(feed.count(step), micro):
            module(*feed.batch(step, *part).inputs)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def plain(prepared: Prepared, folder: Path) -> Prepared:
    """The run with its final weights in a module that computes without the compiler, from here on on the host: a module
    of its own, where the weights it trained are in parts."""
    if not is_sharded(prepared.module):
        uncompile(prepared.module)
        return prepared
    module = prepared.net.module(0).eval()
    files.load_state(module, files.load_tensors(folder / WEIGHTS)[0])
    return replace(prepared, module=module)
