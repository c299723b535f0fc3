"""Resuming a run: from its checkpoint, perhaps with a changed recipe, which is said and recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.recipe.optimizers import Muon
from netdsl.recipe.resume import Change, changes
from netdsl.recipe.schema import Recipe
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.environment import differences
from netdsl.training.checkpoints.manager import numbered
from netdsl.training.checkpoints.run_dir import About
from netdsl.training.errors import CheckpointError, DataError
from netdsl.training.trainer import Trainer

Show = Callable[[str], None]


def resume(loop: Trainer, before: Recipe, checkpoint: Path | None, about: About, say: Show) -> About:
    """Put a loop where its folder's run stands, and say what is otherwise from there on; what the run is now.

    Raises UserError, also for a run that would have ended before.
    """
    folder = loop.job.folder
    assert folder is not None
    there = loop.restore(checkpoint, is_ordered(loop, before))
    step = loop.state.step
    if step > loop.total:
        message = f"the run is at step {step}, and {_end(loop.recipe)} ends at step {loop.total}"
        all_folds = f"change all folds alike: `netdsl train --resume {folder.parent} --set ...`"
        hint = kept_before(folder, loop.total) or (all_folds if about.fold is not None else None)
        raise DataError("already-ended", message, hint)
    old, _ = files.read_about(folder)
    check_data(old, about)
    found = [replace(c, step=step) for c in changes(before, loop.recipe)]
    say(
        f"resumes after step {step} of {loop.total}"
        if there
        else "it ended before its first checkpoint: from the start"
    )
    for line in (*_said(loop, before, found), *differences(old.environment, about.environment)):
        say(f"  {line}")
    about = replace(old, changes=(*old.changes, *found))
    if loop.ranks.first:
        files.write_json(folder / files.ABOUT, about)
        files.write_json(folder / files.RECIPE, loop.recipe)
    return about


def check_data(old: About, now: About) -> None:
    """Raise DataError where the data are not those that the run began with: their number, classes or statistics."""
    now = msgspec.json.decode(msgspec.json.encode(now), type=About)  # as the other was written and read
    if old.functions != now.functions:
        names = ", ".join(f"`{n}`" for n in old.functions) or "none"
        message = f"the run began with functions in Python: {names}; give them again to resume"
        raise DataError("changed-data", message, "`netdsl.open_run(folder).resume(loss=..., metrics=...)`")
    for name, before, after in (
        ("samples", old.samples, now.samples),
        ("classes", old.classes, now.classes),
        ("columns", old.columns, now.columns),
        ("statistics of targets", old.units, now.units),
        ("pixel statistics", (old.mean, old.std), (now.mean, now.std)),
    ):
        if before and before != after:
            what = f"`{now.data}` has other {name} than when the run began"
            counts = ", ".join(map(str, now.samples)), ", ".join(map(str, old.samples))
            numbers = f": {counts[0]}, not {counts[1]}" if name == "samples" else ""
            raise DataError("changed-data", what + numbers, "put the data back as they were, or begin a new run")


def is_ordered(loop: Trainer, before: Recipe) -> bool:
    """Whether the optimizer's places were those of today in netdsl 0.2 too: in one group that follows the net."""
    groups = [len(o.param_groups) for o in loop.updater.optimizers]
    return groups == [1] and before.layer_decay is None and not isinstance(before.optimizer, Muon)


def _end(recipe: Recipe) -> str:
    return f"`steps = {recipe.steps}`" if recipe.steps else f"`epochs = {recipe.epochs}`"


def _said(loop: Trainer, before: Recipe, found: list[Change]) -> list[str]:
    """The changes, and what they do to the lr of the next step."""
    lines = [str(c) for c in found]
    step = min(loop.state.step, loop.total - 1)
    old = Schedule(
        before.schedule, peak_lr(before), before.total_steps(loop.per_epoch), loop.per_epoch, before.schedule_unit
    )(step)
    new = loop.schedule(step)
    if found and old != new:
        lines.append(f"lr of the next step: {old:.4g} -> {new:.4g}")
    own = [" and ".join(g.selectors) for g in loop.recipe.groups if "lr" in g.settings]
    if own and any(c.field == "optimizer.lr" for c in found):
        lines.append(f"the lr of the groups {', '.join(own)} stays as it was written")
    return lines


def kept_before(folder: Path, step: int) -> str | None:
    """A hint: the kept checkpoint to resume from instead."""
    earlier = [p for n, p in numbered(folder, "step") if n < step]
    return f"resume from a kept checkpoint: `netdsl train --resume {earlier[-1]}`" if earlier else None


def good_checkpoint(loop: Trainer) -> tuple[int, Path] | None:
    """The newest checkpoint that is not damaged: its step, and what `--resume` takes."""
    folder = loop.job.folder
    if folder is None or not loop.store.saved:
        return None
    try:
        found = loop.store.load()
    except CheckpointError:
        return loop.store.newest_good()
    return (found[2].step, folder) if found is not None else None


def advice(loop: Trainer) -> str:
    """Advise on a run that is no longer finite: the last good checkpoint, with other settings."""
    lower = f"optimizer.lr={loop.recipe.optimizer.lr / 3:.2g}"
    found = good_checkpoint(loop)
    if found is None:
        return f"lower the lr (`--set {lower}`), warm it up, or clip the gradient (`--set clip=1.0`)"
    step, path = found
    how = f"netdsl train --resume {path} --set {lower}"
    return f"the checkpoint of step {step} is good: `{how}`, or `--set clip=1.0`"
