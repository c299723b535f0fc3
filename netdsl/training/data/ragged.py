"""Batches that a net cannot be trained with, found before the first step: too few samples for a normalisation, or
for a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from netdsl.recipe.losses import Contrastive
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.shards import Norm
from netdsl.training.errors import DataError

if TYPE_CHECKING:
    from netdsl.training.trainer import Trainer


def check_batches(loop: Trainer) -> list[str]:
    """Notes about the smallest parts of the run's steps. Raises DataError for what cannot work."""
    smallest = min((_smallest(loop, step), step) for step in _kinds(loop))
    size, step = smallest
    count, world = loop.feed.count(step), loop.ranks.world
    if count < world:
        raise DataError("few-samples", f"{_update(loop, step)}: too few for {world} processes", _hint(loop, step))
    _check_pairs(loop, step)
    if loop.recipe.shard == "fsdp" and loop.recipe.micro_batch == 1 and count % world:
        raise DataError(
            "few-samples", f"{_update(loop, step)}, which {world} processes cannot take one by one", "`micro_batch = 2`"
        )
    shared = loop.recipe.batch_norm == "sync" and world > 1 and count > 1
    alone = [] if size > 1 or shared else _alone(loop, step)
    return alone or [*_in_parts(loop), *_single(loop)]


def _in_parts(loop: Trainer) -> list[str]:
    """Notes about batch norms that see a part of a step's samples at once, where the recipe says so."""
    micro, count = loop.recipe.micro_batch, loop.feed.count(0)
    most = max((b - a for a, b in loop.microbatches(0)), default=count)
    if not micro or most * loop.ranks.world >= count or not _trained_norms(loop):
        return []
    return [f"batch norms take their statistics from parts of {most} samples: `micro_batch` changes what they compute"]


def _trained_norms(loop: Trainer) -> dict[str, Any]:
    """The batch norms that follow their batches, by path."""
    norms = {n: m for n, m in loop.module.named_modules() if isinstance(m, Norm)}
    return {n: m for n, m in norms.items() if f"{n}.weight" not in loop.freezing.never}


def _alone(loop: Trainer, step: int) -> list[str]:
    """Notes about batch norms in a step of which a process computes one sample at once. Raises DataError for one that
    would see a single value of each channel."""
    norms = _trained_norms(loop)
    where = f"{_update(loop, step)}{_split(loop, step)}"
    places = _places(loop, norms) if norms else {}
    for name, number in places.items():
        if number == 1:
            message = f"{where}: the batch norm `{name}` would have a single number for each channel"
            raise DataError("few-samples", message, _hint(loop, step))
    return [f"{where}: batch norm takes its statistics from one sample; {_hint(loop, step)}"] if places else []


def _check_pairs(loop: Trainer, step: int) -> None:
    """Raise DataError for a step of one sample, where samples are compared with each other."""
    if isinstance(loop.recipe.loss, Contrastive) and loop.feed.count(step) < 2:
        reason = "there is no other one to compare it with"
        raise DataError("few-samples", f"{_update(loop, step)}: {reason}", _hint(loop, step))


def _single(loop: Trainer) -> list[str]:
    """Notes about a last step of one sample, whose gradient counts as that of a whole batch."""
    last = _kinds(loop)[-1]
    if loop.feed.count(last) > 1 or loop.recipe.batch == 1:
        return []
    return [f"{_update(loop, last)}, whose gradient counts as much as a batch's: {_hint(loop, last)}"]


def _kinds(loop: Trainer) -> list[int]:
    """Steps of every size that the run has: the first, and the last of an epoch."""
    last = loop.per_epoch - 1
    return [0, last] if loop.total >= loop.per_epoch else [0]


def _smallest(loop: Trainer, step: int) -> int:
    """Samples in the smallest part that any process computes at once; 0 where one has none."""
    count, world = loop.feed.count(step), loop.ranks.world
    parts = [ProcessGroup(r, world).parts(count, loop.recipe.micro_batch) for r in range(world)]
    return min(min((b - a for a, b in p), default=0) for p in parts)


def _update(loop: Trainer, step: int) -> str:
    count = loop.feed.count(step)
    which = "the last step of an epoch" if count < loop.recipe.batch else "a step"
    return f"{which} has {count} sample{'s' if count > 1 else ''}"


def _split(loop: Trainer, step: int) -> str:
    count, world, micro = loop.feed.count(step), loop.ranks.world, loop.recipe.micro_batch
    said = f" for {world} processes" if world > 1 else ""
    return said + (f", in parts of at most {micro}" if micro and count > 1 else "")


def _hint(loop: Trainer, step: int) -> str:
    if loop.feed.count(step) < loop.recipe.batch:
        return "leave it out: `drop_last = true`"
    micro = loop.recipe.micro_batch
    return f"`micro_batch = {micro + 1}` or more" if micro else "a larger `batch`"


@torch.no_grad()
def _places(loop: Trainer, norms: dict[str, Any]) -> dict[str, int]:
    """How many numbers one sample gives a channel of each normalisation that is trained."""
    found: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.setdefault(name, inputs[0].numel() // inputs[0].shape[1] // len(inputs[0]))

        return hook

    hooks = [m.register_forward_pre_hook(note(n)) for n, m in norms.items()]
    loop.module.eval()
    try:
        loop.module(*loop.feed.batch(0, 0, 1).inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found
