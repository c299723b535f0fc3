"""Losses, gradients and weights that are not finite: looked for while a run trains, and said with where they begin."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from netdsl.training.checkpoints.manager import State
from netdsl.training.data.batches import Batch, BatchLoader
from netdsl.training.devices import autocasting
from netdsl.training.diagnose import Diverged, diagnose, diagnose_gradient
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.shards import local
from netdsl.training.losses.losses import Terms

PATIENCE = 50
"""Steps after which a device is asked whether the losses were finite: asking makes it wait."""

LEAST_SCALE = 2.0**-24
"""The scale of fp16 below which no gradient is finite at any."""


class Loop(Protocol):
    """The training loop as the finite checks see it. `pending`: steps with their losses and gradient norms that are not
    checked yet; `skipped`: steps in a row that the scaler of fp16 left out."""

    pending: list[tuple[int, Tensor]]
    skipped: int
    module: nn.Module
    trained: list[nn.Parameter]
    feed: BatchLoader
    ranks: ProcessGroup
    device: torch.device
    autocast: torch.dtype | None
    scaler: Any
    state: State

    def microbatches(self, step: int) -> list[tuple[int, int]]: ...

    def judged(self, result: Any, target: Tensor) -> Terms: ...


def check_finite(loop: Loop) -> None:
    """Raise Diverged if a loss or gradient since the last look is not finite. A CPU is asked before every
    step."""
    if not loop.pending:
        return
    steps = [step for step, _ in loop.pending]
    finite = torch.isfinite(torch.stack([numbers for _, numbers in loop.pending]))
    loop.pending = []
    if loop.scaler.is_enabled():
        return _check_scale(loop, steps, finite[:, 0])
    if bool(finite.all()):
        return None
    worst = int((~finite.all(1)).int().argmax())
    batch = loop.feed.batch(steps[worst], *loop.microbatches(steps[worst])[0])
    if bool(finite[worst, 0]):
        with autocasting(loop.device, loop.autocast):
            raise Diverged(steps[worst], diagnose_gradient(loop.module, batch, loop.judged), "gradient")
    raise Diverged(steps[worst], _diagnosed(loop, batch))


def _check_scale(loop: Loop, steps: list[int], finite: Tensor) -> None:
    """The scaler of fp16 skips a step that is not finite and lowers its scale; not for ever."""
    for step, good in zip(steps, finite.tolist(), strict=True):
        loop.skipped = 0 if good else loop.skipped + 1
        if loop.skipped == PATIENCE or loop.scaler.get_scale() < LEAST_SCALE:
            raise Diverged(step, _diagnosed(loop, loop.feed.batch(step)))


def _diagnosed(loop: Loop, batch: Batch) -> str:
    with autocasting(loop.device, loop.autocast):
        return diagnose(loop.module, batch, loop.judged)


def check_good(loop: Loop) -> None:
    """Raise Diverged where what would be evaluated and saved is not finite."""
    check_finite(loop)
    good = bool(torch.isfinite(torch.stack([p.detach().sum() for p in map(local, loop.trained)])).all())
    if loop.ranks.any(not good):
        batch = loop.feed.batch(loop.state.step - 1, 0, 1)
        raise Diverged(loop.state.step - 1, _diagnosed(loop, batch), "update")
