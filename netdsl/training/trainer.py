"""The training loop: steps, evaluations, checkpoints. Everything it does follows from the step it is at."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from netdsl.planning.groups import Parameter, group
from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.recipe.metrics import headline
from netdsl.recipe.schema import Recipe
from netdsl.training.capacity import Attempt, fits_in_memory, within_memory
from netdsl.training.checkpoints import format as files
from netdsl.training.checkpoints.manager import CheckpointManager, Current, State
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import Split
from netdsl.training.devices import autocasting, channels_last, half_precision
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.reach import hold_unreached
from netdsl.training.distributed.shards import blocks, exchanged, gathered, is_sharded, rest, whole
from netdsl.training.evaluate import Evaluator, Forward
from netdsl.training.finite_checks import PATIENCE, check_finite, check_good
from netdsl.training.freezing import Freezing
from netdsl.training.kernels.compiler import Work, compile_as_asked, is_compiled
from netdsl.training.kernels.cpu_convolutions import takes_channels_last, use_fast_convolutions
from netdsl.training.kernels.memory import give_back, keep_memory, pages_of
from netdsl.training.losses.criterion import Criterion
from netdsl.training.losses.denominators import Denominators
from netdsl.training.losses.distillation import Distillation
from netdsl.training.losses.losses import Terms
from netdsl.training.metrics import improves, score
from netdsl.training.optim.averages import Averages
from netdsl.training.optim.gradients import add_penalties, clip, norm_of
from netdsl.training.optim.optimizers import Updater
from netdsl.training.optim.plateau import judged
from netdsl.training.optim.reparametrization import folded, split
from netdsl.training.phases import Timed, untimed
from netdsl.training.recurrent_states import carried_of
from netdsl.training.regularization import dropouts, set_drop_path, time_rate
from netdsl.training.rng import key, seed_layers
from netdsl.training.test_time import averaged
from netdsl.training.user_functions import Own
from netdsl.training.varying_dropout import let_rates_vary, set_rate

Watch = Callable[[str, dict[str, Any]], None]
"""Told of what happens: (`step` | `evaluation` | `saved`, its numbers)."""


class Job(Struct, frozen=True, eq=False):
    """All that a run depends on. `held` is what the best weights are chosen on; `folder` gets the checkpoints."""

    module: nn.Module
    recipe: Recipe
    feed: BatchLoader
    held: Split
    parameters: tuple[Parameter, ...]
    names: tuple[str, ...]
    kept: tuple[str, ...]
    task: str
    classes: int
    folder: Path | None
    ranks: ProcessGroup
    layers: dict[str, int] | None = None
    deviation: Tensor | None = None
    teacher: Distillation | None = None
    own: Own | None = None
    whole: bool = True
    macs: int | None = None
    current: Current = dict


class Trainer:
    """One run of training. `run()` resumes from `state`, which `restore()` may have set.

    `interrupted`, set from outside, leaves a checkpoint and ends; `ending` also evaluates, as the last step does.
    """

    def __init__(self, job: Job, watch: Watch = lambda what, numbers: None) -> None:
        recipe = self.recipe = job.recipe
        self.job, self.watch, self.feed, self.ranks = job, watch, job.feed, job.ranks
        self.module = job.module
        self.device = next(job.module.parameters()).device
        if self.device.type == "cpu":
            keep_memory()
        self.per_epoch = job.feed.per_epoch
        self.total = job.feed.total
        self.schedule = Schedule(recipe.schedule, peak_lr(recipe), self.total, self.per_epoch, recipe.schedule_unit)
        self.freezing = Freezing(self.module, recipe, job.parameters, self.per_epoch)
        conv_or_linear = (p.path for p in job.parameters if p.role in ("conv", "linear"))
        weights = dict.fromkeys(path for path in conv_or_linear if path not in self.freezing.never)
        self.factors = split(self.module, recipe, weights)
        self.groups = group(recipe, job.parameters, job.layers)
        self.channels_last = recipe.shard is None and takes_channels_last(recipe.layout, self.module)
        self.criterion = Criterion(recipe, job.names, job.kept, job.deviation, job.teacher, job.own, job.whole)
        self.autocast = half_precision(recipe, self.device)
        self.parallel: Any = self._distributed_module()
        self.sharded = is_sharded(self.module)
        self.carried = carried_of(self.module, job.feed.split)
        self.updater = Updater(self.module, self.groups, recipe, self.total, self.factors)
        self.averages = Averages(self.module, recipe, self.total, self.per_epoch)
        self.denominators = Denominators(recipe.loss, self.criterion, job.feed, job.ranks)
        more = job.folder, job.deviation, job.own, self.carried
        self.evaluator = Evaluator(recipe, job.names, job.kept, job.task, job.classes, job.ranks, *more)
        if recipe.drop_path is not None:
            set_drop_path(self.module, recipe.drop_path)
        self.trained = [p for p in self.module.parameters() if p.requires_grad]
        self.weights = [p for n, p in self.module.named_parameters() if n in weights]
        self.metric = recipe.stop.metric if recipe.stop else headline(job.task)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.autocast == torch.float16)
        self.state = State()
        self.store = CheckpointManager(job.folder, recipe, self.per_epoch, self.ranks.first, job.current)
        self.interrupted = self.ending = False
        self.pending: list[tuple[int, Tensor]] = []
        self.skipped, self.latest = 0, (-1, dict[str, Any]())
        self.timed: Timed = untimed

    def _distributed_module(self) -> nn.Module:
        """The module in its memory layout, compiled, and joined with those of other processes. Raises DataError."""
        if self.channels_last:
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.device.type == "cpu" and self.recipe.compile != "on" and self.recipe.precision in ("fp32", "tf32"):
                use_fast_convolutions(self.module)
        parts = blocks(self.module) if self.recipe.shard is not None and self.ranks.world > 1 else [self.module]
        self.notes = compile_as_asked(parts, self.recipe, self.device, Work(self.total, self.job.macs))
        if self.recipe.dropout is not None and is_compiled(self.module):
            let_rates_vary(self.module)
        if self.ranks.world > 1:
            self.freezing.together = True
            hold_unreached(self.module, self.criterion, self.feed.split)
        return self.ranks.wrap(self.module, self.recipe, self.autocast)

    def run(self) -> State:
        """Train to the end, to an early stop, or until `interrupted` is set; a checkpoint is left in each case. Raises
        Diverged where the loss is no longer finite."""
        steps = range(self.state.step, self.total)
        shares = ((step, *part) for step in steps for part in self.microbatches(step))
        self.feed.begin(shares, pages_of([*self.module.parameters(), *self.updater.tensors()]))
        try:
            return self._run()
        finally:
            self.feed.end()

    def _run(self) -> State:
        while not self.is_over():
            self.update(self.state.step)
            if self.advance():
                break
        return self.state

    @property
    def intervals(self) -> tuple[int, int]:
        """Steps between evaluations, and between checkpoints."""
        return self.recipe.evaluate.steps(self.per_epoch) or 1, self.recipe.checkpoint.steps(self.per_epoch) or 1

    def advance(self) -> bool:
        """Count a step that was made, evaluate and save where that is due; whether the run was interrupted."""
        every, save = self.intervals
        self.state.step += 1
        if self.state.step % every == 0 or self.is_over():
            check_good(self)
            self.evaluate()
        interrupted = self._is_interrupted()
        if self.state.step % save == 0 or self.is_over() or interrupted:
            check_good(self)
            self.save()
        return interrupted

    def _is_interrupted(self) -> bool:
        """Whether any process is told to end. Asking the others makes a device wait: now and then is enough."""
        asked = self.ranks.world == 1 or self.device.type == "cpu" or self.state.step % 10 == 0
        return asked and self.ranks.any(self.interrupted)

    def is_over(self) -> bool:
        """Whether no step is left to be made."""
        return self.state.step >= self.total or self.state.stopped or self.ending

    def update(self, step: int) -> None:
        """One training step from the samples of `step`."""
        self._prepare(step)
        count = self.feed.count(step)
        parts = self.microbatches(step)
        total = torch.zeros((), device=self.device)
        with within_memory(lambda: self._attempt(step)):
            with self.timed("data"):
                self.denominators.begin(step, parts)
            for part in parts:
                total += self._backward(step, *part, final=part == parts[-1])
        with self.timed("optimizer"):
            self._step(step, total, count)

    def _step(self, step: int, total: Tensor, count: int) -> None:
        """Update the weights by the gradient of a step, whose loss is `total`."""
        self.freezing.drop()
        if self.carried is not None:
            self.carried.join(self.ranks, count)
        total = self.ranks.sum({"loss": total})["loss"]
        # finite where the gradient is; the scaler of fp16 looks after that itself
        norm = torch.zeros_like(total) if self.scaler.is_enabled() else norm_of(self.trained)
        shown = whole(norm)
        self.pending.append((step, torch.stack((total, shown))))
        if self.device.type == "cpu" or len(self.pending) >= PATIENCE:
            check_finite(self)
        if self.recipe.clip is not None or self.recipe.penalty:
            for optimizer in self.updater.optimizers:
                self.scaler.unscale_(optimizer)
            add_penalties(self.recipe.penalty, self.weights, tuple(self.factors.values()))
            known = norm if not (self.scaler.is_enabled() or self.recipe.penalty) else None
            clip(self.recipe.clip, self.trained, known)
        for optimizer in self.updater.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        self.averages.update(self.module, step + 1)
        numbers: dict[str, Any] = {"step": step + 1, "loss": total, "lr": self.updater.lr, "samples": count}
        self.watch("step", numbers if self.scaler.is_enabled() else {**numbers, "gradient": shown})

    def _attempt(self, step: int) -> Attempt:
        """The passes of a training step, to be tried with fewer samples after they did not fit."""
        first, last = self.microbatches(step)[0]
        own, _ = self.ranks.share(self.feed.count(step))

        def fits(count: int) -> bool:
            self.updater.zero()
            done = fits_in_memory(lambda: self._backward(step, own, own + count, True))
            self.updater.zero()
            return done

        share = -(-self.recipe.batch // self.ranks.world)
        return Attempt(last - first, share, fits if self.ranks.world == 1 else None, self.job.folder)

    def judged(self, result: Any, target: Tensor, inputs: tuple[Tensor, ...] = ()) -> Terms:
        """The terms of the loss, from what the net gives for a batch of the training split; without its inputs, of the
        recipe's alone."""
        return self.criterion(*self.feed.split.by_sample(result, target), inputs)

    def microbatches(self, step: int) -> list[tuple[int, int]]:
        """This process's places of a step, first and last of what is computed at once."""
        return self.ranks.parts(self.feed.count(step), self.recipe.micro_batch)

    def _prepare(self, step: int) -> None:
        if not self.module.training:  # after an evaluation: walking through all layers takes a step's time
            self.parallel.train()
        self.freezing.set(step)
        seed_layers(key(self.recipe.seed, "layers", step, self.ranks.rank))
        self.set_dropout(step)
        self.updater.set_lr(self.schedule(step, self.state.falls.count))
        self.updater.zero()

    def set_dropout(self, step: int) -> None:
        """Give the dropout layers the rate of a step."""
        component = self.feed.stages.at(step).recipe.dropout
        if component is not None:
            rate = time_rate(component, step, self.total, self.per_epoch)
            for layer in dropouts(self.module):
                set_rate(layer, rate)

    def _backward(self, step: int, first: int, last: int, final: bool) -> Tensor:
        """Add the gradient of a micro-batch, as its share of the whole; returns that share of the loss."""
        with self.timed("data"):
            batch = self.denominators.batch(step, first, last)
        with self.ranks.accumulating(self.parallel, final), self._states(step, first, last):
            with self.timed("forward"):
                computed = self._computed(self.parallel, *batch.inputs)
                result, target = self.feed.split.by_sample(computed, batch.target)
                terms = self.criterion(result, target, batch.inputs)
                summed = self.recipe.loss.reduction == "sum"
                loss: Tensor = terms.loss.sum() if summed else terms.over(self.denominators.total(step, batch, result))
            # DDP averages over processes; the loss is already this share of the whole.
            with self.timed("backward"):
                self.scaler.scale(loss * self.ranks.world).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _states(self, step: int, first: int, last: int) -> AbstractContextManager[None]:
        """Give recurrent layers the states with which they begin a window of a text, where states are carried."""
        if self.carried is None:
            return nullcontext()
        return self.carried.window((first, last), step % self.per_epoch == 0, self.feed.split.streams)

    def _computed(self, forward: Forward, *inputs: Tensor) -> Any:
        """A forward pass in the run's precision and memory layout."""
        with autocasting(self.device, self.autocast):
            return forward(*(channels_last(inputs) if self.channels_last else inputs))

    def evaluate(self) -> dict[str, Any]:
        """Measure raw and averaged weights on the held-out split; keep the best."""
        self._sync_buffers()
        self.module.eval()
        numbers: dict[str, Any] = {"step": self.state.step, "epoch": self.state.step / self.per_epoch}
        waiting = self.feed.pause()
        self.latest = self.state.step, self.measured(self.module, self.job.held)
        numbers |= self.latest[1]
        if (average := self.averages.state()) is not None:
            numbers["raw"] = {k: v for k, v in numbers.items() if isinstance(v, float) and k != "epoch"}
            numbers |= self._evaluate_with(average)
        if self.sharded:
            rest(self.module)
        self._judge(numbers)
        if self.schedule.plateau is not None and self.schedule.on_plateau(self.state.step):
            self.state.falls = judged(self.schedule.plateau, self.state.falls, numbers)
        numbers |= {} if waiting is None else {"waiting": waiting}
        self.watch("evaluation", numbers)
        self.feed.go_on()
        return numbers

    def _sync_buffers(self) -> None:
        """All processes evaluate and save the same statistics."""
        norms = [n for n, m in self.module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        reduced = self.recipe.batch_norm == "reduce_at_eval"
        averaged = {f"{n}.{s}" for n in norms for s in ("running_mean", "running_var")} if reduced else set()
        buffers = dict(self.module.named_buffers())
        for state in (buffers, self.averages.state() or {}):
            self.ranks.agree({n: t for n, t in state.items() if n in buffers}, averaged)

    def _evaluate_with(self, state: dict[str, Tensor]) -> dict[str, Any]:
        if self.sharded:
            with exchanged(self.module, state):
                return self.measured(self.module, self.job.held)
        return self.measured(lambda *x: torch.func.functional_call(self.module, state, x), self.job.held)

    def measured(self, forward: Forward, split: Split) -> dict[str, Any]:
        """Metrics on a split, computed as in training: in its precision and its memory layout."""
        return self.evaluator(averaged(partial(self._computed, forward), self.recipe), split)

    def _judge(self, numbers: dict[str, Any]) -> None:
        found = score(self.metric, numbers)
        state, least = self.state, self.recipe.stop.least if self.recipe.stop else 0.0
        if improves(found, state.best, least):
            state.best, state.best_step, state.stale = found, state.step, 0
            state.improved = (*state.improved, state.step)[-self.store.improving :]
            self.store.save_best(state, self.final_weights())
        else:
            state.stale += 1
            state.stopped = self._out_of_patience()

    def _out_of_patience(self) -> bool:
        return self.recipe.stop is not None and self.state.stale >= self.recipe.stop.patience

    def final_weights(self) -> dict[str, Tensor]:
        """The weights that are evaluated and exported, in the net's own keys: the average where there is one, else the
        raw weights."""
        average = self.averages.state()
        state = average if average is not None else self.module.state_dict()
        return folded(gathered(state), self.recipe, self.factors)

    def chosen_weights(self) -> dict[str, Tensor]:
        """The weights that the recipe ends with, for all processes. Raises CheckpointError."""
        last = self.final_weights()
        return self.ranks.give(self.store.chosen(self.state) if self.ranks.first else None, last)

    def release(self) -> None:
        """Drop what only training needs: gradients and the optimizer's tensors."""
        self.updater.zero()
        for optimizer in self.updater.optimizers:
            optimizer.state.clear()
        if self.device.type == "cpu":
            give_back()

    def save(self) -> None:
        """Write the checkpoint: weights, averages, the optimizer's tensors, where the run stands."""
        ends = self.is_over() or self.interrupted
        if self.job.folder is None or (not ends and self.store.is_early(self.state.step)):
            return
        self._sync_buffers()
        tensors = files.prefixed("model", self.module.state_dict())
        tensors |= files.prefixed("optimizer", files.optimizer_tensors(self.module, self.updater.optimizers))
        tensors |= files.prefixed("average", self.averages.tensors())
        tensors |= files.prefixed("carried", self.carried.tensors() if self.carried is not None else {})
        about = {"lr": self.updater.held, "scaler": self.scaler.state_dict(), "metric": self.metric}
        self.store.save(self.state, gathered(tensors, self.ranks.first), about)
        self.watch("saved", {"step": self.state.step})

    def restore(self, file: Path | None = None, by_place: bool = False) -> bool:
        """Continue from the folder's newest checkpoint, or from a kept one; False where there is none yet.

        `by_place`: see `restore_optimizers`. Raises UserError.
        """
        found = self.store.load(file)
        self.store.clear()
        if found is None:
            return False
        tensors, about, self.state = found
        files.load_state(self.module, files.part("model", tensors))
        files.restore_optimizers(self.module, self.updater.optimizers, files.part("optimizer", tensors), by_place)
        self.averages.load(files.part("average", tensors))
        if self.carried is not None:
            self.carried.load(files.part("carried", tensors), self.device)
        self.updater.held = about["lr"]
        if about["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(about["scaler"])
        if about.get("metric", self.metric) != self.metric:  # the best so far is of another metric
            self.state.best, self.state.stale, self.state.improved = None, 0, ()
        self.state.stopped = self._out_of_patience()
        return True
