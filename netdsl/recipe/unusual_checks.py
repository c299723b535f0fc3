"""Values that are taken and hardly meant: far from any that is used, the wrong way round, or of another unit."""

from __future__ import annotations

from collections.abc import Iterator
from math import degrees

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.recipe.augmentations import Affine, Hflip, Invert, Noise, Rotate, Vflip
from netdsl.recipe.columns import Columns
from netdsl.recipe.component import component_name
from netdsl.recipe.inits import Pretrained
from netdsl.recipe.optimizers import AdamW, Adaptive, Lion, Sgd
from netdsl.recipe.places import Places
from netdsl.recipe.regularizers import ClipNorm, L2Penalty
from netdsl.recipe.schedules import Multistep, Step
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Table
from netdsl.recipe.standardization import Nothing


def _unusual(message: str, places: Places, path: str, hint: str) -> Diagnostic:
    return diagnostic("unusual-value", message, places.at(path), hint, severity="warning")


def _betas(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """The average of gradients is shorter than that of their squares (of Lion: than that of its momentum)."""
    if not isinstance(recipe.optimizer, Adaptive | Lion):
        return
    first, second = recipe.optimizer.betas
    if first > second:
        message = f"`betas` begin with that of the gradient, and {first:g} averages longer than {second:g}"
        yield _unusual(message, places, "optimizer.betas", f"`betas=[{second:g}, {first:g}]`")


SHRINKS = 0.02
"""The part of itself that a weight loses in a step, beyond which it has gone after a hundred."""


def _decay(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Weight decay that leaves nothing of the weights, whatever their gradients."""
    chosen = recipe.optimizer
    if not isinstance(chosen, Sgd) and not (isinstance(chosen, AdamW) and chosen.decay == "lr"):
        return
    peak = chosen.lr * recipe.batch / chosen.per_batch if chosen.per_batch else chosen.lr
    if peak * chosen.weight_decay >= SHRINKS:
        message = f"lr * weight_decay takes {peak * chosen.weight_decay:.3g} of every weight at every step"
        usual = "1e-5 to 1e-3" if isinstance(chosen, Sgd) else "0.01 to 0.3"
        yield _unusual(message, places, "optimizer.weight_decay", f"usual are {usual}")


def _growing(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Steps of lr lead down."""
    for phase in recipe.schedule:
        if isinstance(phase, Step | Multistep) and phase.factor > 1:
            name = component_name(phase)
            message = f"`{name}` multiplies lr by {phase.factor:g}: it grows"
            yield _unusual(message, places, f"schedule.{name}", f"`factor={1 / phase.factor:g}` divides it")


def _averaged(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """An average holds more of what it was than of the last weights."""
    ema = recipe.ema
    if ema is not None and 0 < ema.decay < 0.5 and ema.every == 1:
        message = f"`decay` is what stays of the average: of {ema.decay:g}, it is nearly the weights of the last step"
        yield _unusual(message, places, "ema.decay", f"`ema = {1 - ema.decay:g}`, or 0.99 and more")


def _turned(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Angles are in degrees."""
    for component in recipe.augment:
        if isinstance(component, Rotate | Affine):
            angles = {"degrees": component.degrees, "shear": component.shear if isinstance(component, Affine) else 0}
            for argument, angle in angles.items():
                if 0 < angle < 1:
                    message = f"`{argument}` counts degrees, and less than one moves hardly a pixel"
                    path = f"augment.{component_name(component)}.{argument}"
                    yield _unusual(message, places, path, f"{angle:g} radians are `{argument}={degrees(angle):.3g}`")


def _noise(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Noise is added to pixels from 0 to 1."""
    for component in recipe.augment if recipe.data.gives == "images" else ():
        if isinstance(component, Noise) and component.std > 1:
            message = f"pixels are numbers from 0 to 1, and noise of {component.std:g} leaves nothing of them"
            at = places.at("augment.gaussian_noise.std")
            hint = f"of 255 levels it is `gaussian_noise({component.std / 255:.3g})`"
            yield diagnostic("scaled-pixels", message, at, hint, severity="warning")


def _distilled(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A temperature makes a teacher's classes more alike."""
    if recipe.distill is not None and recipe.distill.temperature < 1:
        message = "a `temperature` below 1 leaves of the teacher's classes the likeliest alone"
        yield _unusual(message, places, "distill.temperature", "usual are 1 to 20")


def _clipped(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A gradient of some length is left."""
    if isinstance(recipe.clip, ClipNorm) and recipe.clip.limit < 1e-4:
        message = f"every gradient is cut to a norm of {recipe.clip.limit:g}"
        yield _unusual(message, places, "clip.limit", "usual are 0.1 to 10")


def _shrinking(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Images grow towards those of the test."""
    growth = recipe.progressive
    if growth is not None and growth.size is not None and growth.size[0] > growth.size[1]:
        first, last = growth.size
        message = f"`size` falls from {first} to {last}"
        yield _unusual(message, places, "progressive.size", f"`size=[{last}, {first}]`")


def _decayed_twice(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Weights are pulled to 0 by the loss, or by the optimizer."""
    decay = recipe.optimizer.weight_decay
    if decay and any(isinstance(p, L2Penalty) and p.rate for p in recipe.penalty):
        message = f"`l2` makes weights small, and so does `weight_decay` ({decay:g})"
        yield _unusual(message, places, "penalty.l2", "leave out one of them: `weight_decay=0` in `optimizer`")


def _unprepared(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Weights are given images as those that they were trained on."""
    if recipe.standardize == Nothing() and any(isinstance(s, Pretrained) and s.preprocessing for s in recipe.init):
        message = "`pretrained` knows how images are standardised for its weights, and `none` leaves them as they are"
        yield _unusual(message, places, "standardize", "leave out `standardize`, or say `preprocessing=false`")


def _always_mirrored(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Training images that are never seen as those to test on are."""
    for augment in recipe.augment:
        in_turns = isinstance(augment, Hflip) and augment.alternating
        if isinstance(augment, Hflip | Vflip | Invert) and augment.p == 1 and not in_turns:
            name = component_name(augment)
            message = f"`{name}` with `p=1` changes every image to train on, and none to test on"
            yield _unusual(message, places, f"augment.{name}", "usual is `p=0.5`")


def _held_out(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Most samples are not trained on."""
    data = recipe.data
    tested = data.hold_out if isinstance(data, Columns | Table) else 0.0
    for path, share in (("validation", recipe.validation or 0.0), ("data.hold_out", tested)):
        if share > 0.5:
            message = f"{share:.0%} of the samples are held out, and {1 - share:.0%} trained on"
            yield _unusual(message, places, path, "usual are 0.1 to 0.3")


UNUSUAL_RULES = (
    _decayed_twice,
    _unprepared,
    _betas,
    _decay,
    _growing,
    _averaged,
    _turned,
    _noise,
    _distilled,
    _clipped,
    _shrinking,
    _always_mirrored,
    _held_out,
)
