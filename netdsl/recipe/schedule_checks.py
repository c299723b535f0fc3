"""Schedules whose phases do not fit the run, follow in the wrong order, or fall when training has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netdsl.diagnostics.diagnostic import Diagnostic, Severity, diagnostic
from netdsl.recipe.component import component_name
from netdsl.recipe.places import Places
from netdsl.recipe.schedules import Linear, Multistep, Phase, Plateau, Step, Warmup
from netdsl.recipe.schema import DEFAULT_EPOCHS, Recipe
from netdsl.source import Place


def _say(severity: Severity, code: str, message: str, at: Place | None, hint: str | None = None) -> Diagnostic:
    return diagnostic(code, message, at, hint, severity=severity)


TWO_ENDS = "`{}` and `factor` both say where `{}` leads from or to"


def _schedule(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    at = places.at("schedule")
    open_ended = [i for i, p in enumerate(recipe.schedule) if p.length is None]
    yield from _order(recipe, open_ended, at)
    epochs = recipe.epochs or (DEFAULT_EPOCHS if recipe.steps is None else None)
    for unit, end in (("epochs", epochs), ("steps", recipe.steps)):
        if end is not None:
            yield from _lengths(recipe, unit, end, bool(open_ended), at)
            yield from _falls(recipe, unit, end, at)


def _phases(recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """Mistakes of single phases of the schedule."""
    at = places.at("schedule")
    for phase in recipe.schedule:
        if isinstance(phase, Plateau) and not recipe.validation:
            hint = "hold out a part of the training split: `validation = 0.1`"
            message = "a plateau of the test split chooses lr by what it reports"
            yield _say("warning", "stops-on-test", message, at, hint)
        if isinstance(phase, Warmup) and phase.start and phase.factor is not None:
            yield _say("error", "conflicting-fields", TWO_ENDS.format("start", component_name(phase)), at)
        if isinstance(phase, Linear) and phase.to and phase.factor is not None:
            yield _say("error", "conflicting-fields", TWO_ENDS.format("to", component_name(phase)), at)


def _falls(recipe: Recipe, unit: str, end: int, at: Place | None) -> Iterator[Diagnostic]:
    """A schedule that first falls when training has ended."""
    for i, phase in enumerate(recipe.schedule):
        first = _first_fall(phase, recipe.schedule[:i], unit)
        if first is not None and first >= end:
            message = f"`{component_name(phase)}` first falls after {first:g} {unit}, training ends after {end}"
            yield _say("warning", "idle-phase", message, at, f"an earlier time, or a longer run: `{unit} = ...`")
        elif first is not None and isinstance(phase, Multistep):
            yield from _milestones(phase, first, end, at)


def _milestones(phase: Multistep, first: float, end: int, at: Place | None) -> Iterator[Diagnostic]:
    """Times of one unit that are out of order, or that a run which reaches the `first` does not reach."""
    times = [t.amount for t in phase.at]
    late = [t for t in phase.at if first - min(times) + t.amount >= end]
    if late:
        message = f"`multistep` falls after {late[0]} too, and training ends after {end}"
        yield _say("warning", "idle-phase", message, at, "leave it out, or train longer")
    elif times != sorted(set(times)):
        yield _say("warning", "unusual-value", "the times of `multistep` do not rise", at, "the earliest comes first")


def _first_fall(phase: Phase, before: Sequence[Phase], unit: str) -> float | None:
    """When a phase first falls, since the beginning of the run; None where it is no such phase, or where other units
    say when."""
    times = (phase.every,) if isinstance(phase, Step) else phase.at if isinstance(phase, Multistep) else ()
    lengths = [] if phase.spans_run else [p.length for p in before if p.length is not None]
    if not times or any(t.unit != unit for t in (*times, *lengths)):
        return None
    return sum(d.amount for d in lengths) + min(t.amount for t in times)


def _lengths(recipe: Recipe, unit: str, end: int, open_ended: bool, at: Place | None) -> Iterator[Diagnostic]:
    """Phases, all of them in this unit, that do not last as long as the training does."""
    lengths = [p.length for p in recipe.schedule if p.length is not None]
    if any(d.unit != unit for d in lengths):
        return
    total = sum(d.amount for d in lengths)
    if total > end:
        message = f"the phases last {total:g} {unit}, training ends after {end}"
        hint = f"shorten a phase, or train longer: `{unit} = {total:g}`"
        yield _say("error", "schedule-too-long", message, at, hint)
    elif open_ended and total == end:
        idle = component_name(recipe.schedule[-1])
        message = f"the phases before `{idle}` last all {end} {unit}: it is never reached"
        yield _say("warning", "idle-phase", message, at, f"shorten them, or train longer: `{unit} = ...`")
    elif not open_ended and total < end:
        message = f"the phases end after {total:g} {unit} of {end}: the last value is kept until the end"
        yield _say("warning", "schedule-too-short", message, at)


def _order(recipe: Recipe, open_ended: list[int], at: Place | None) -> Iterator[Diagnostic]:
    """Phases that follow one without an end, and a warm-up that is not the first."""
    endless = any(i < len(recipe.schedule) - 1 for i in open_ended)
    if any(isinstance(p, Warmup) for p in recipe.schedule[1:]):
        severity: Severity = "error" if endless else "warning"
        hint = "the warm-up comes first: `warmup(5 epochs) -> cosine`"
        yield _say(severity, "late-warmup", "a warm-up after another phase jumps back to its start", at, hint)
    elif endless:
        message = "a phase without a length lasts to the end: what follows is never reached"
        yield _say("error", "unreachable-phase", message, at, "give it a length: `cosine(over=10 epochs)`")


SCHEDULE_RULES = (_schedule, _phases)
"""The rules of the lr over time."""
