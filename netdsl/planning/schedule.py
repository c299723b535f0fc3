"""The learning rate as a closed form of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from netdsl.recipe.registry import Executors
from netdsl.recipe.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Multistep,
    OneCycle,
    Phase,
    Plateau,
    Polynomial,
    Restarts,
    Step,
    Warmup,
)
from netdsl.recipe.schema import Recipe

Curve = Callable[[float], float]
"""lr as a function of the steps since the phase began."""


def peak_lr(recipe: Recipe) -> float:
    """The peak lr, scaled linearly where the recipe states it for another batch."""
    optimizer = recipe.optimizer
    return optimizer.lr * recipe.batch / optimizer.per_batch if optimizer.per_batch else optimizer.lr


class Stretch(Struct, frozen=True):
    """A phase on the axis of steps: [start, end), and its curve."""

    start: int
    end: int
    curve: Curve


class Schedule:
    """`schedule(step)` is the base learning rate of an optimizer step, counted from 0. No state: `falls`, how often lr
    has fallen at a plateau, is told by who knows.

    `unit="epoch"`: the value at the start of each epoch is kept through it, as schedulers stepped per epoch do.
    """

    def __init__(self, phases: Sequence[Phase], peak_lr: float, total: int, per_epoch: int, unit: str = "step") -> None:
        self.peak_lr = peak_lr
        self.total = total
        self.hold = per_epoch if unit == "epoch" else 1
        self.plateau = next((p for p in phases if isinstance(p, Plateau)), None)
        self.stretches: list[Stretch] = []
        start, lr = 0, peak_lr
        for phase in phases or (Constant(),):
            length = phase.length.steps(per_epoch) if phase.length is not None else max(0, total - start)
            before = start if phase.spans_run else 0
            whole = CURVES[phase](phase, lr, peak_lr, length + before, per_epoch, self.hold)
            curve = _later(whole, before)
            self.stretches.append(Stretch(start, start + length, curve))
            start += length
            lr = peak_lr if isinstance(phase, Warmup) else curve(length)

    def __call__(self, step: int, falls: int = 0) -> float:
        at = step - step % self.hold
        for stretch in self.stretches:
            if at < stretch.end:
                return self._fallen(stretch.curve(at - stretch.start), falls)
        last = self.stretches[-1]
        return self._fallen(last.curve(last.end - last.start), falls)

    def _fallen(self, lr: float, falls: int) -> float:
        if self.plateau is None:
            return lr
        return max(lr * self.plateau.factor**falls, min(lr, self.plateau.to))

    def on_plateau(self, step: int) -> bool:
        """Whether a step belongs to a phase whose lr depends on what is measured."""
        return self.plateau is not None and step >= self.stretches[-1].start


def _later(curve: Curve, steps: int) -> Curve:
    """The curve from a time after its beginning on."""
    return (lambda t: curve(t + steps)) if steps else curve


def _warmup(phase: Warmup, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    start = phase.start if phase.factor is None else phase.factor * peak_lr
    if phase.shape == "constant":
        return lambda t: start if t < length else peak_lr
    reach = max(1, length - hold if phase.inclusive else length)
    return lambda t: start + (peak_lr - start) * min(1.0, t / reach)


def _constant(phase: Constant | Plateau, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    return lambda t: lr


def _cosine(phase: Cosine, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    return lambda t: phase.to + (lr - phase.to) * (1 + math.cos(math.pi * min(1.0, t / max(1, length)))) / 2


def _linear(phase: Linear, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    to = phase.to if phase.factor is None else phase.factor * peak_lr
    return lambda t: lr + (to - lr) * min(1.0, t / max(1, length))


def _polynomial(phase: Polynomial, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    return lambda t: phase.to + (lr - phase.to) * (1 - min(1.0, t / max(1, length))) ** phase.power


def _step(phase: Step, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    every = max(1, phase.every.steps(per_epoch))
    return lambda t: lr * phase.factor ** (t // every)


def _multistep(phase: Multistep, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    at = [d.steps(per_epoch) for d in phase.at]
    return lambda t: lr * phase.factor ** sum(t >= a for a in at)


def _exponential(phase: Exponential, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    every = phase.every.amount * (per_epoch if phase.every.unit == "epochs" else 1)
    return lambda t: lr * phase.factor ** (t // every if phase.staircase else t / every)


def _restarts(phase: Restarts, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    first = max(1, phase.first.steps(per_epoch))

    def curve(t: float) -> float:
        cycle: float = first
        while t >= cycle:
            t, cycle = t - cycle, cycle * phase.times
        return phase.to + (lr - phase.to) * (1 + math.cos(math.pi * t / cycle)) / 2

    return curve


def _onecycle(phase: OneCycle, lr: float, peak_lr: float, length: int, per_epoch: int, hold: int) -> Curve:
    low, lowest = lr / phase.start_div, lr / phase.start_div / phase.end_div
    top, end = phase.rise * length - 1, length - 1

    def between(a: float, b: float, share: float) -> float:
        return b + (a - b) * (1 + math.cos(math.pi * share)) / 2 if phase.shape == "cosine" else a + (b - a) * share

    def curve(t: float) -> float:
        if t <= top:
            return between(low, lr, t / top if top > 0 else 1.0)
        return between(lr, lowest, min(1.0, (t - top) / max(1e-9, end - top)))

    return curve


CURVES: Executors[Callable[..., Curve]] = Executors("schedule", {
    Warmup: _warmup, Constant: _constant, Cosine: _cosine, Linear: _linear, Polynomial: _polynomial, Step: _step,
    Multistep: _multistep, Exponential: _exponential, Restarts: _restarts, OneCycle: _onecycle,
    Plateau: _constant,
})  # fmt: skip
