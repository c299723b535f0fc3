"""Several runs of one net as one batched model: their weights are stacked, and one forward and one backward pass
compute the step of all of them (`torch.func.vmap`).

Each run keeps its own loop: it draws its own batches, evaluates itself and writes its own checkpoints. Its weights,
averages and optimizer state are rows of the stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from netdsl.recipe.regularizers import Clip, ClipNorm
from netdsl.training.diagnose import Diverged
from netdsl.training.finite_checks import check_finite
from netdsl.training.losses.losses import Terms
from netdsl.training.optim.averages import Averages
from netdsl.training.optim.gradients import add_penalties, clip
from netdsl.training.optim.optimizers import Updater
from netdsl.training.trainer import Trainer

COUNTED = ("step", "mu_product")
"""State of optimizers that is a function of the step, and the same in all runs."""


class Stack:
    """The runs that stand at one step. A row without a run (it has ended, or is at another step) computes what nobody
    reads: a number of a run depends on its row and on how many there are, and not on what the others hold."""

    def __init__(self, rows: Sequence[Trainer | None]) -> None:
        self.rows = list(rows)
        self.first = next(loop for loop in rows if loop is not None)
        every = [loop or self.first for loop in rows]
        self.module = stacked([loop.module for loop in every])
        self.module.train()
        self.parameters: dict[str, Tensor] = dict(self.module.named_parameters())
        self.buffers: dict[str, Tensor] = dict(self.module.named_buffers())
        self.trained = [p for p in self.module.parameters() if p.requires_grad]
        first = self.first
        self.updater = Updater(self.module, first.groups, first.recipe, first.total)
        self.averages = Averages(self.module, first.recipe, first.total, first.per_epoch)
        self._take_states(every)
        self._take_averages(every)
        self._share_weights()

    @cached_property
    def weights(self) -> list[Tensor]:
        """The weights of convolutions and linears, which penalties are of."""
        own = {id(w) for w in self.first.weights}
        return [self.parameters[n] for n, p in self.first.module.named_parameters() if id(p) in own]

    def _share_weights(self) -> None:
        """Let the weights of each run be its row."""
        for row, loop in self.members():
            for own, all_ in zip(tensors_of(loop.module), tensors_of(self.module), strict=True):
                own.data = all_.data[row]

    def members(self) -> Iterator[tuple[int, Trainer]]:
        """The runs with their rows."""
        return ((row, loop) for row, loop in enumerate(self.rows) if loop is not None)

    def update(self, step: int) -> list[tuple[int, Diverged]]:
        """Make one training step in every row; gives the rows whose loss or gradient is not finite, with why."""
        first = self.first
        self.updater.set_lr(first.schedule(step, 0))
        self.updater.zero()
        losses = self._losses(step)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        losses = losses.detach()
        with torch.no_grad():
            norms = norms_of(self.trained)
            failed = self._not_finite(step, losses, norms)
            add_penalties(first.recipe.penalty, self.weights)
            clip_rows(first.recipe.clip, self.trained, norms_of(self.trained) if first.recipe.penalty else norms)
        self.updater.step()
        self.averages.update(self.module, step + 1)
        each = zip(losses.unbind(), norms.unbind(), strict=True)
        for loop, (loss, norm) in zip(self.rows, each, strict=True):
            if loop is not None:
                samples = loop.feed.count(step)
                loop.watch("step", {
                    "step": step + 1, "loss": loss, "lr": self.updater.lr, "samples": samples, "gradient": norm,
                })  # fmt: skip
        return failed

    def _losses(self, step: int) -> Tensor:
        """The loss of every row for its batch, [rows]."""
        batches = self._batches(step)
        with attention_in_parts():
            found: Tensor = vmap(self._loss)(self.parameters, self.buffers, *batches)
        return found

    def _batches(self, step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs and targets of every row, [rows, B, ...]: read at once where all rows draw from the same
        samples."""
        feed = self.first.feed
        feeds = [feed if loop is None else loop.feed for loop in self.rows]
        if all(f.bare and f.split is feed.split for f in feeds):
            epoch, slots = step // feed.per_epoch, feed.slots(step)
            each = [f.order(epoch)[slots] for f in feeds]
            inputs, target = feed.split.take(torch.cat(each))
            size = len(feeds), len(each[0])
            return tuple(_rows(x, size) for x in inputs), _rows(feed.targets(target), size)
        batches = [f.batch(step) for f in feeds]
        inputs = tuple(torch.stack(x) for x in zip(*(b.inputs for b in batches), strict=True))
        return inputs, torch.stack([b.target for b in batches])

    def _loss(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: tuple[Tensor, ...], target: Tensor
    ) -> Tensor:
        """The loss of one row, whose whole batch is computed at once."""
        result = functional_call(self.module, (parameters, buffers), inputs)
        terms: Terms = self.first.criterion(result, target)
        return terms.loss.sum() if self.first.recipe.loss.reduction == "sum" else terms.mean()

    def _not_finite(self, step: int, losses: Tensor, norms: Tensor) -> list[tuple[int, Diverged]]:
        good = torch.isfinite(losses) & torch.isfinite(norms)
        if bool(good.all()):
            return []
        failed = []
        for row, loop in list(self.members()):
            if not good[row]:
                loop.pending.append((step, torch.stack((losses[row], norms[row]))))
                try:
                    check_finite(loop)
                except Diverged as fault:
                    failed.append((row, fault))
                    self.leave(row)
        return failed

    def hand_over(self) -> None:
        """Give every run the optimizer's state of its row, as a checkpoint keeps it."""
        for row, loop in self.members():
            loop.updater.held = self.updater.held
            for own, (parameter, state) in self._with_states(loop):
                own.clear()
                own.update({n: v[row] if _is_row(v, parameter) else _copy(v) for n, v in state.items()})

    def _with_states(self, loop: Trainer) -> Iterator[tuple[dict[str, Any], tuple[Tensor, dict[str, Any]]]]:
        """The optimizer's state of each of a run's weights, and that of the same weights in the stack."""
        for own, shared in zip(loop.updater.optimizers, self.updater.optimizers, strict=True):
            for p, q in zip(_parameters(own), _parameters(shared), strict=True):
                yield own.state[p], (q, shared.state[q])

    def _take_states(self, every: Sequence[Trainer]) -> None:
        """Begin with the optimizers that the runs have: that of the first where a row has no run."""
        self.updater.held = self.first.updater.held
        states = [list(self._with_states(loop)) for loop in every]
        for weight in zip(*states, strict=True):
            parameter, state = weight[0][1]
            for name, value in weight[0][0].items():
                rows = [own[name] for own, _ in weight]
                state[name] = torch.stack(rows) if _is_whole(name, value, parameter) else _copy(value)

    def _take_averages(self, every: Sequence[Trainer]) -> None:
        """Begin with the averages that the runs have, which are rows from here on."""
        if self.averages.ema is None:
            return
        each = [loop.averages.ema.state for loop in every if loop.averages.ema is not None]
        self.averages.ema.state = {n: torch.stack([a[n] for a in each]) for n in each[0]}
        for row, loop in self.members():
            if loop.averages.ema is not None:
                loop.averages.ema.state = {n: t[row] for n, t in self.averages.ema.state.items()}

    def leave(self, row: int) -> None:
        """A run ends, or continues in another stack: it gets tensors of its own."""
        loop, self.rows[row] = self.rows[row], None
        if loop is None:
            return
        loop.latest = -1, {}  # its rows round by where they lie: what is reported is measured of tensors of its own
        for own in tensors_of(loop.module):
            own.data = own.data.clone()
        if loop.averages.ema is not None:
            loop.averages.ema.state = {n: t.clone() for n, t in loop.averages.ema.state.items()}
        for optimizer in loop.updater.optimizers:
            for state in optimizer.state.values():
                state.update({n: _copy(v) for n, v in state.items()})


@contextmanager
def attention_in_parts() -> Iterator[None]:
    """Compute attention by matrix products: `vmap` has no rule for the fused kernel and would call it row by row."""
    before = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]  # of a CPU too
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_flash_sdp(before)


def stacked(modules: Sequence[nn.Module]) -> nn.Module:
    """A module whose parameters and buffers are those of several of one kind, on a new first axis."""
    found = deepcopy(modules[0])
    each = zip(tensors_of(found), *(tensors_of(m) for m in modules), strict=True)
    for own, *rows in each:
        own.data = torch.stack([row.detach() for row in rows])
        own.grad = None
    return found


def tensors_of(module: nn.Module) -> list[Tensor]:
    """The parameters and buffers of a module, each once."""
    return [*module.parameters(), *module.buffers()]


def norms_of(parameters: Sequence[Tensor]) -> Tensor:
    """The 2-norm of all gradients of each row, [rows]."""
    each = [torch.linalg.vector_norm(p.grad.flatten(1) if p.ndim > 1 else p.grad[:, None], dim=1)
            for p in parameters if p.grad is not None]  # fmt: skip
    found: Tensor = torch.linalg.vector_norm(torch.stack(each), dim=0)
    return found


def clip_rows(how: Clip | None, parameters: Sequence[Tensor], norms: Tensor) -> None:
    """Clip the gradients of each row in place, as `clip` those of one run."""
    if not isinstance(how, ClipNorm):
        return clip(how, parameters)
    factor = (how.limit / (norms + 1e-6)).clamp(max=1.0)
    for p in parameters:
        if p.grad is not None:
            p.grad.mul_(factor.view(-1, *[1] * (p.ndim - 1)))
    return None


def _rows(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x.reshape(*size, *x.shape[1:])


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _is_whole(name: str, value: Any, parameter: Tensor) -> bool:
    """Whether a tensor of one run's optimizer is one for its weight: one row of those for `parameter`."""
    return name not in COUNTED and isinstance(value, Tensor) and value.shape == parameter.shape[1:]


def _is_row(value: Any, parameter: Tensor) -> bool:
    """Whether a tensor of an optimizer has a row for each run."""
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape == parameter.shape


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
