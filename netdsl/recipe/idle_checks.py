"""Parts of a recipe that change nothing, begin when training has ended, or leave the lr where it should not be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import asdict

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.recipe.augmentations import Hflip, Vflip
from netdsl.recipe.columns import Columns
from netdsl.recipe.component import Component, Duration, component_name
from netdsl.recipe.losses import Bce, CrossEntropy
from netdsl.recipe.optimizers import AdamW, Sgd
from netdsl.recipe.places import Places
from netdsl.recipe.regularizers import Early, Late
from netdsl.recipe.schedules import Cosine, Plateau, Polynomial, Restarts, Warmup
from netdsl.recipe.schema import DEFAULT_EPOCHS, Recipe
from netdsl.recipe.standardization import Channel, Nothing


def _idle(message: str, places: Places, path: str, hint: str | None = None) -> Diagnostic:
    return diagnostic("idle-option", message, places.at(path), hint, severity="warning")


def _components(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Components whose arguments leave everything as it is."""
    for path, component in _written(recipe):
        if component.idle or asdict(component).get("p") == 0:
            name = component_name(component)
            given = ", ".join(n for n in component.__struct_fields__ if n not in ("interpolation", "fill", "mode"))
            yield _idle(f"`{name}` changes nothing as it is", places, path, f"it takes {given}")


def _written(recipe: Recipe) -> Iterator[tuple[str, Component]]:
    """Components that may be idle, after their paths."""
    chains: dict[str, Sequence[Component]] = {
        "augment": recipe.augment, "mix": recipe.mix, "penalty": recipe.penalty, "schedule": recipe.schedule,
    }  # fmt: skip
    yield from ((f"{field}.{component_name(c)}", c) for field, components in chains.items() for c in components)
    single: dict[str, Component | None] = {
        "ema": recipe.ema, "lookahead": recipe.lookahead, "layer_decay": recipe.layer_decay,
        "progressive": recipe.progressive, "sampling": recipe.sampling,
    }  # fmt: skip
    yield from ((field, component) for field, component in single.items() if component is not None)


def _taught(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Arguments about targets, which do not count beside a teacher of all."""
    if recipe.distill is not None and recipe.distill.alpha == 1 and isinstance(recipe.loss, CrossEntropy | Bce):
        told = [n for n in ("label_smoothing", recipe.loss.balances) if getattr(recipe.loss, n)]
        if told:
            yield _idle(f"with `alpha=1` the targets do not count, nor does `{told[0]}`", places, f"loss.{told[0]}")


def _ends(recipe: Recipe) -> dict[str, int | None]:
    """When training ends, in each unit; None where only the data tell."""
    return {"epochs": recipe.epochs or (DEFAULT_EPOCHS if recipe.steps is None else None), "steps": recipe.steps}


def _after_the_end(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Times that training never reaches."""
    ema, dropout, times = recipe.ema, recipe.dropout, list[tuple[str, Duration, str]]()
    if isinstance(dropout, Late):
        times.append(("dropout.after", dropout.after, "there is no dropout before"))
    if ema is not None and ema.restart is not None:
        times.append(("ema.restart", ema.restart, "nothing is averaged before"))
    if recipe.keep.every is not None:
        times.append(("keep.every", recipe.keep.every, "no checkpoint is kept permanently before"))
    for path, time, what in times:
        end = _ends(recipe)[time.unit]
        if end is not None and time.amount >= end:
            yield _idle(f"training ends after {end} {time.unit}, and {what} {time}", places, path)
    if ema is not None and recipe.steps is not None and ema.every > recipe.steps:
        message = f"training ends after {recipe.steps} steps, and nothing is averaged before step {ema.every}"
        yield _idle(message, places, "ema.every")


def _without_a_part(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Settings of what is not there: of a momentum, of a decay."""
    chosen, groups = recipe.optimizer, recipe.groups
    if isinstance(chosen, Sgd) and chosen.dampening and not chosen.momentum:
        yield _idle("`dampening` is of the momentum, and there is none", places, "optimizer.dampening")
    decays = chosen.weight_decay or any("weight_decay" in g.settings for g in groups)
    if isinstance(chosen, AdamW) and chosen.decay != "lr" and not decays:
        yield _idle("`decay` is of the `weight_decay`, and there is none", places, "optimizer.decay")


def _mirrored_twice(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Mirroring by chance what was mirrored by chance."""
    names = [component_name(c) for c in recipe.augment if isinstance(c, Hflip | Vflip)]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        message = f"`{name}` twice mirrors as many images as once"
        yield _idle(message, places, f"augment.{name}", "leave out one of them")


def _at_no_time(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Stretches of training that are empty, or a single step."""
    if isinstance(recipe.dropout, Early) and not recipe.dropout.until.amount:
        yield _idle(f"until {recipe.dropout.until} is never: there is no dropout", places, "dropout.until")
    if recipe.swa is not None and recipe.swa.start == 1:
        yield _idle("`swa(1)` averages the last weights alone", places, "swa.start", "an earlier start: `swa(0.75)`")


def _lookahead(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Slow weights that never leave where they began, with which the run ends."""
    chosen = recipe.lookahead
    if chosen is None:
        return
    if recipe.steps is not None and recipe.steps < chosen.every:
        message = (
            f"the run has {recipe.steps} steps, the slow weights first move after {chosen.every}: it ends untrained"
        )
        yield diagnostic("schedule-too-long", message, places.at("lookahead.every", "lookahead"))
    elif not chosen.alpha and not chosen.power:
        message = "with `alpha=0` the slow weights never move, and the run ends with them"
        yield diagnostic("bad-value", message, places.at("lookahead.alpha", "lookahead"), "usual is 0.5")


def _patience(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """More evaluations without an improvement than there are."""
    end = _ends(recipe)[recipe.evaluate.unit]
    if end is None:
        return
    evaluations = int(end / recipe.evaluate.amount)
    asked = [("stop.patience", recipe.stop.patience, "training never stops early")] if recipe.stop else []
    asked += [
        ("schedule.plateau.patience", p.patience, "lr never falls") for p in recipe.schedule if type(p) is Plateau
    ]
    for path, patience, what in asked:
        if patience >= evaluations:
            message = f"a patience of {patience}, and {evaluations} evaluation{'s' * (evaluations != 1)}: {what}"
            yield _idle(message, places, path, "a shorter one, a longer run, or `evaluate` more often")


def _rates(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A warm-up that falls, or never ends, and a curve that falls upwards or not at all."""
    chosen, phases = recipe.optimizer, recipe.schedule
    peak = chosen.lr * recipe.batch / chosen.per_batch if chosen.per_batch else chosen.lr
    for phase in phases:
        name = component_name(phase)
        if isinstance(phase, Warmup) and phase.factor is None and phase.start >= peak:
            message = f"`{name}` begins at {phase.start:g}, {_above(phase.start, peak)}"
            yield diagnostic("idle-phase", message, places.at(f"schedule.{name}"), severity="warning")
        if isinstance(phase, Cosine | Polynomial | Restarts) and phase.to >= peak:
            message = f"`{name}` leads to {phase.to:g}, {_above(phase.to, peak)}"
            yield diagnostic("idle-phase", message, places.at(f"schedule.{name}"), severity="warning")
    if (
        len(phases) == 1
        and isinstance(phases[0], Warmup)
        and phases[0].over.amount == _ends(recipe)[phases[0].over.unit]
    ):
        message = f"the warm-up lasts until training ends, after {phases[0].over}"
        yield diagnostic("idle-phase", message, places.at("schedule"), "shorten it", severity="warning")


def _above(lr: float, peak: float) -> str:
    return f"above the full lr of {peak:g}" if lr > peak else "the full lr: it stays where it is"


def _twice(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Names that a list has already."""
    data = recipe.data
    columns = (data.categories, data.ignore) if isinstance(data, Columns) else ((), ())
    lists = {"metrics": recipe.metrics, "data.categories": columns[0], "data.ignore": columns[1]}
    for path, names in lists.items():
        for name in dict.fromkeys(n for i, n in enumerate(names) if n in names[:i]):
            yield _idle(f"`{path.rpartition('.')[2]}` names `{name}` twice", places, path, "leave out one of them")
    for name in {*columns[0]} & {*columns[1]}:
        yield _idle(f"`ignore` leaves `{name}` out: it is no category", places, "data.categories")


def _without_pixels(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Standardisation of tokens, which are no amounts."""
    if recipe.data.gives == "tokens" and recipe.standardize not in (Channel(), Nothing()):
        name, what = component_name(recipe.standardize), component_name(recipe.data)
        message = f"`{name}` standardises pixels, and `{what}` has none"
        yield _idle(message, places, "standardize", "leave out `standardize`")


def _one_evaluation(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """A part that is held out to choose weights by, of which there is one choice."""
    end = _ends(recipe)[recipe.evaluate.unit]
    if recipe.validation and end is not None and recipe.evaluate.amount > end:
        message = (
            f"training ends after {end} {recipe.evaluate.unit}: `validation` has the last weights alone to look at"
        )
        yield _idle(message, places, "evaluate", "`evaluate` more often")


def _unfrozen_at_once(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Layers that begin to train before the first step, at the lr of all."""
    for step in recipe.unfreeze:
        if not step.time.amount and step.lr == 1:
            message = f"`after({step.time})` is before the first step: its layers are never frozen"
            yield _idle(message, places, "unfreeze.after", "leave them out of `freeze`, or begin later")


IDLE_RULES = (
    _components,
    _taught,
    _after_the_end,
    _without_a_part,
    _mirrored_twice,
    _at_no_time,
    _lookahead,
    _patience,
    _rates,
    _twice,
    _without_pixels,
    _one_evaluation,
    _unfrozen_at_once,
)
