"""Calls into a plug-in: a function is found when it is needed, and what it raises is said with the plug-in's name."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Fault, UserError
from netdsl.diagnostics.memory import is_out_of_memory
from netdsl.ops.base import OpError
from netdsl.plugins.plugin import Function
from netdsl.recipe.augmentations import size_of

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


class At(Struct, frozen=True):
    """A step of a phase of the schedule: `step`, counted from 0 at the phase's beginning, of `length` steps; the lr at
    which the phase before ended, the peak `lr` of the optimizer, and the steps of an epoch."""

    step: float
    length: int
    lr: float
    peak: float
    per_epoch: int

    @property
    def share(self) -> float:
        """How much of the phase has passed, from 0 to 1."""
        return min(1.0, self.step / max(1, self.length))


def found(function: Function, who: str) -> Callable[..., Any]:
    """The function, imported where it is named. Raises UserError."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    try:
        value = getattr(import_module(module), name)
    except Exception as error:
        raise UserError("plugin-failed", f"{who} needs `{function}`: {reason(error)}") from error
    if not callable(value):
        raise UserError("plugin-failed", f"{who} needs `{function}`, which is no function")
    return value  # type: ignore[no-any-return]


def guarded(function: Callable[..., Any], who: str, refusing: bool = False) -> Callable[..., Any]:
    """The function, whose exceptions become UserErrors that name the plug-in; if `refusing`, OpErrors, which get the
    place of the call in the spec."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (Fault, OpError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            message = f"{who} failed: {reason(error)}"
            raise (
                OpError(message, code="plugin-failed") if refusing else UserError("plugin-failed", message)
            ) from error

    return call


def reason(error: BaseException) -> str:
    """An exception in one line, with the place in the plug-in's own files where it was raised."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _foreign(f.filename)]
    where = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {said[0]}' if said else ''}{where}"


def _foreign(file: str) -> bool:
    return (
        file.startswith((HERE, "<")) or f"{os.sep}torch{os.sep}" in file or file == import_module.__code__.co_filename
    )


def loss(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """A loss as the trainer calls it: the numerators of its one term, [B]."""

    def terms(component: Any, output: Any, target: Any) -> tuple[Any, ...]:
        each = function(component, output, target)
        if tuple(getattr(each, "shape", (0, 0))) != (len(target),):
            shape = getattr(each, "shape", None)
            what = f"`{each!r}`" if shape is None else f"a tensor of shape {list(shape)}"
            hint = 'one value for each sample, as `reduction="none"` of torch\'s losses and a mean over the rest'
            raise UserError("plugin-failed", f"{who} gives {what} for {len(target)} samples", hint)
        return (each,)

    return terms


def augmentation(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """An augmentation whose result is held to the batch that it was given."""

    def apply(component: Any, images: Any, masks: Any, frame: Any) -> Any:
        made = function(component, images, masks, frame)
        fits = isinstance(made, tuple) and len(made) == 2 and getattr(made[0], "shape", ())[:2] == images.shape[:2]
        if not fits or (made[1] is None) is not (masks is None):
            message = f"{who} does not give images and masks for the batch"
            raise UserError("plugin-failed", message, "return `images, masks`; `masks` is None where it was None")
        side = size_of(component)
        expected = [side, side] if side else list(images.shape[2:])
        for what, x in zip(("images", "masks"), made, strict=True):
            if x is not None and list(x.shape[2:]) != expected:
                wrong, right = (" x ".join(map(str, s)) for s in (x.shape[2:], expected))
                hint = "a class that extends `Resizing` gives images of its `size`, all others keep the size"
                raise UserError("plugin-failed", f"{who} gives {what} of {wrong}, expected {right}", hint)
        return made

    return apply


def optimizer(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """An optimizer as the trainer takes it: a list of one, whose step is guarded too."""

    def build(component: Any, groups: Any) -> list[Any]:
        made = function(component, groups)
        if not hasattr(made, "param_groups") or not callable(getattr(made, "step", None)):
            raise UserError("plugin-failed", f"{who} gives no torch.optim.Optimizer")
        made.step = guarded(made.step, f"a step of {who}")
        return [made]

    return build


def schedule(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """A phase as a curve of the steps since it began."""

    def curve(phase: Any, lr: float, peak: float, length: int, per_epoch: int, hold: int) -> Callable[[float], float]:
        def value(step: float) -> float:
            made = function(phase, At(step, length, lr, peak, per_epoch))
            if not isinstance(made, int | float) or not made >= 0:
                raise UserError(
                    "plugin-failed", f"{who} gives the lr `{made!r}` at step {step:g}", "a number from 0 on"
                )
            return float(made)

        return value

    return curve


def reader(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """A reader whose result is a pair of splits."""

    def read(component: Any, folder: Any, shape: Any, outputs: Any) -> Any:
        made = function(component, folder)
        if not isinstance(made, tuple) or len(made) != 2:
            raise UserError("plugin-failed", f"{who} gives no pair `(train, test)`", "`test` may be None")
        return made

    return read


def one_number(function: Callable[..., Any], who: str) -> Callable[..., Any]:
    """A metric whose result is one number."""

    def measured(outputs: Any, targets: Any) -> float:
        made = function(outputs, targets)
        shape = getattr(made, "shape", ())
        if made is None or isinstance(made, str) or tuple(shape) not in ((), (1,)):
            what = f"a tensor of shape {list(shape)}" if shape else f"`{made!r}`"
            raise UserError("plugin-failed", f"{who} gives {what} for a split", "one number")
        return float(made)

    return measured


ADAPTERS = {"loss": loss, "augment": augmentation, "optimizer": optimizer, "schedule": schedule, "data": reader}
"""By the field: how a plug-in's function becomes what netdsl calls."""


def executor(field: str, function: Function, who: str) -> Callable[..., Any]:
    """The function that carries out a component of a plug-in."""
    return ADAPTERS[field](guarded(found(function, who), who), who)
