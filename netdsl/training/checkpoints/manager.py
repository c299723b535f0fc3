"""The checkpoints of a run directory: the newest, those that the recipe keeps, and the weights of the best evaluations.

    checkpoint.safetensors                  what `--resume` resumes from
    best.safetensors                        the weights of the best evaluation so far
    checkpoints/step-000460.safetensors     kept by `keep`
    checkpoints/best-000460.safetensors     the last evaluations that improved: as many as `final` needs

A kept file is a hard link where the file system has them: it takes no room of its own. Weights of an evaluation are
removed only after a checkpoint that does not need them has been written, so the best is always what the checkpoint
says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.retention import Improving, Last
from netdsl.recipe.schema import Recipe
from netdsl.training.checkpoints import format as files
from netdsl.training.errors import CheckpointError
from netdsl.training.optim.plateau import Falls

CHECKPOINT, BEST, KEPT = "checkpoint.safetensors", "best.safetensors", "checkpoints"


Current = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Gives tensors under the keys of this release (see `weights.former`)."""


class State(Struct):
    """Where a run stands. `best` is the best metric so far (less is better), `improved` the last steps whose evaluation
    was better than all before, `stale` the evaluations since then, `falls` what a plateau has seen."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False
    improved: tuple[int, ...] = ()
    falls: Falls = Falls()


class CheckpointManager:
    """Reads and writes the checkpoints of a folder. Without a folder, or where another process writes, nothing is
    written.

    `pause`: seconds that checkpoints lie apart at least, but for those that the recipe keeps: where an epoch is shorter
    than writing a file, the files would take most of the time.
    """

    def __init__(
        self, folder: Path | None, recipe: Recipe, per_epoch: int, writes: bool = True, current: Current = dict
    ) -> None:
        self.current = current
        self.folder = folder
        self.writes = writes and folder is not None
        self.last = recipe.keep.last
        self.every = recipe.keep.every.steps(per_epoch) or 1 if recipe.keep.every else 0
        self.final = recipe.evaluated
        self.improving = self.final.count if isinstance(self.final, Improving) else 1
        self.pause, self.written = 0.0, -math.inf
        self.held: dict[int, dict[str, Tensor]] = {}

    @property
    def saved(self) -> bool:
        """Whether there is a checkpoint."""
        return self.folder is not None and (self.folder / CHECKPOINT).exists()

    def path(self, kind: str, step: int) -> Path:
        assert self.folder is not None
        return self.folder / KEPT / f"{kind}-{step:06d}.safetensors"

    def is_early(self, step: int) -> bool:
        """Whether the last checkpoint was written just now, and nobody asks for one of this step."""
        kept = self.last > 1 or (self.every and step % self.every == 0)
        return self.writes and not kept and time.monotonic() - self.written < self.pause

    def save(self, state: State, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Write the newest checkpoint, keep it where the recipe says so, and remove what is no longer needed."""
        if not self.writes:
            return
        assert self.folder is not None
        self._write_held(state)
        files.save_tensors(self.folder / CHECKPOINT, tensors, {"state": state, **about})
        self.written = time.monotonic()
        self._keep(state)
        self._remove(state)

    def _keep(self, state: State) -> None:
        """Keep the newest checkpoint where the recipe says so."""
        assert self.folder is not None
        if self.last > 1 or (self.every and state.step % self.every == 0):
            files.link(self.folder / CHECKPOINT, self.path("step", state.step))

    def save_best(self, state: State, weights: Mapping[str, Tensor]) -> None:
        """Write the weights of an evaluation that improved: before the checkpoint that knows of it."""
        if not self.writes:
            return
        self.held[state.step] = dict(weights)
        if self.is_early(state.step):
            self.held = {s: w for s, w in self.held.items() if s in state.improved}
            self.held[state.step] = {n: t.clone() for n, t in weights.items()}
        else:
            self._write_held(state)

    def _write_held(self, state: State) -> None:
        """Write the weights of evaluations that were to be written with the next checkpoint."""
        assert self.folder is not None
        for step, weights in self.held.items():
            if step in (state.step, *state.improved):
                files.save_tensors(self.path("best", step), weights, {"step": step})
                files.link(self.path("best", step), self.folder / BEST)
        self.held = {}

    def _remove(self, state: State) -> None:
        assert self.folder is not None
        kept = {n: p for n, p in numbered(self.folder, "step") if n <= state.step}
        for step in sorted(kept)[: -self.last]:
            if not self.every or step % self.every:
                kept[step].unlink(missing_ok=True)
        for step, path in numbered(self.folder, "best"):
            if step not in state.improved:
                path.unlink(missing_ok=True)

    def load(self, file: Path | None = None) -> tuple[dict[str, Tensor], dict[str, Any], State] | None:
        """A checkpoint's tensors, its other values and where it stands: the newest, or one of the kept.

        None where the run ended before its first. Raises CheckpointError.
        """
        assert self.folder is not None
        path = file or self.folder / CHECKPOINT
        if file is None and not path.exists():
            return None
        try:
            tensors, about = files.load_tensors(path)
        except CheckpointError as error:
            error.advise(self.advice())
            raise
        try:
            state = msgspec.convert(about["state"], State)
        except (KeyError, msgspec.ValidationError) as error:
            raise CheckpointError("damaged-checkpoint", f"{path} is not a checkpoint: {error}") from None
        if file is None and self.writes:
            self._keep(state)  # the run may have died between writing and keeping it
        return self.current(tensors), about, state

    def advice(self) -> str:
        """How to continue where the newest checkpoint is damaged: from the newest that is not, if one is kept."""
        good = self.newest_good()
        if good is not None:
            return f"resume from an older one: `netdsl train --resume {good[1]}`"
        best = f', or with the best weights so far: `--set init=weights("{self.folder}/{BEST}")`'
        kept = best if self.folder is not None and not damaged(self.folder / BEST) else ""
        return f"no other checkpoint is kept (`keep = 2` keeps more): begin a new run{kept}"

    def newest_good(self) -> tuple[int, Path] | None:
        """The newest kept checkpoint whose bytes are those that were written, with its step."""
        kept = reversed(numbered(self.folder, "step")) if self.folder is not None else ()
        return next(((step, path) for step, path in kept if not damaged(path)), None)

    def chosen(self, state: State) -> dict[str, Tensor] | None:
        """The weights that the recipe ends with, or None where those are the last. Raises CheckpointError."""
        if self.folder is None or isinstance(self.final, Last) or not state.improved:
            return None
        steps = state.improved if isinstance(self.final, Improving) else (state.best_step,)
        return mean([self.current(files.load_tensors(self.path("best", s))[0]) for s in steps])

    def clear(self) -> None:
        """Remove what a killed process was writing."""
        if self.writes and self.folder is not None:
            for path in (*self.folder.glob(".*.tmp"), *(self.folder / KEPT).glob(".*.tmp")):
                path.unlink(missing_ok=True)


def damaged(path: Path) -> bool:
    """Whether a file cannot be read, or holds other bytes than were written."""
    try:
        files.load_tensors(path)
    except CheckpointError:
        return True
    return False


def numbered(folder: Path, kind: str) -> list[tuple[int, Path]]:
    """The files of a kind by their step."""
    paths = [(p.name.removeprefix(f"{kind}-").partition(".")[0], p) for p in (folder / KEPT).glob(f"{kind}-*")]
    return sorted((int(n), p) for n, p in paths if n.isdigit())


def mean(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of some weights; whole numbers (counters) are those of the last."""
    if len(states) == 1:
        return states[0]
    found = dict(states[-1])
    for name, tensor in found.items():
        if tensor.is_floating_point():
            found[name] = torch.stack([s[name].double() for s in states]).mean(0).to(tensor.dtype)
    return found
