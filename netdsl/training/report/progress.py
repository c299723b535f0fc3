"""Progress of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from netdsl.recipe.metrics import said, title
from netdsl.recipe.retention import Best
from netdsl.render.numbers import plural
from netdsl.render.terminal import unguarded
from netdsl.training.kernels.memory import resident

if TYPE_CHECKING:
    from netdsl.training.trainer import Trainer


class Progress:
    """Told of steps and evaluations by the loop; reads the loss only when it shows it.

    `start`: the step that a resumed run resumes after; `used`: the memory in use, in bytes.
    """

    def __init__(self, total: int, start: int = 0, quiet: bool = False, used: Callable[[], int] = resident) -> None:
        self.total, self.start, self.used = total, start, used
        self.samples = 0
        self.training = 0.0
        self.began = self.last_step = time.perf_counter()
        self.shown = 0.0
        self.lr = 0.0
        self.last = ""
        self.quiet = quiet
        self.bar: Any = None
        if not quiet and sys.stderr.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(file=unguarded(sys.stderr)), transient=True)
        self.task = self.bar.add_task("starting", total=self.total, completed=self.start)
        self.bar.start()

    def __call__(self, what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            self._step(numbers)
        elif what == "evaluation":
            self._evaluation(numbers)

    def _step(self, numbers: dict[str, Any]) -> None:
        now = time.perf_counter()
        self.samples += numbers["samples"]
        self.training += now - self.last_step
        self.last_step, self.lr = now, numbers["lr"]
        if self.bar is None or now - self.shown < 0.2:
            return
        self.shown = now
        loss = numbers["loss"].item() if isinstance(numbers["loss"], Tensor) else numbers["loss"]
        text = f"loss {loss:.4f}  lr {self.lr:.2e}  {self._state()}  held out: {self.last or 'not yet'}"
        self.bar.update(self.task, completed=numbers["step"], description=text)

    def _state(self) -> str:
        """Samples per second of training (evaluations apart), and the memory in use."""
        return f"{self.samples / max(1e-9, self.training):,.0f}/s  {self.used() / 2**20:,.0f} MiB"

    def _left(self, step: int) -> str:
        """The time left, evaluations included, if what is left goes as what was done."""
        return left(time.perf_counter() - self.began, step - self.start, self.total - step)

    def _evaluation(self, numbers: dict[str, Any]) -> None:
        shown = {k: v for k, v in numbers.items() if isinstance(v, float) and k not in ("epoch", "n")}
        self.last = "  ".join(f"{k} {_shown(k, v)}" for k, v in shown.items())
        self.last_step = time.perf_counter()
        if self.quiet:
            return
        step = numbers["step"]
        line = f"epoch {numbers['epoch']:6.1f}  step {step:6d}/{self.total}  {self.last}  lr {self.lr:.2e}"
        if self.bar is not None:  # which shows the rate, the memory and the time left: a line of 80 columns has no room
            self.bar.update(self.task, completed=numbers["step"])
            self.bar.console.print(line, highlight=False)
        else:
            print(f"{line}  {self._state()}  {self._left(step)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _shown(name: str, value: float) -> str:
    if name == "waiting":
        return f"for data {value:.0%}"
    return said(name, value)


def left(spent: float, done: int, todo: int) -> str:
    """The time left, if the steps to do take as long as those that are done took in `spent` seconds."""
    seconds = round(spent / max(1, done) * todo)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02d}:{seconds % 60:02d} left" if hours else f"{minutes}:{seconds % 60:02d} left"


def how_it_ended(loop: Trainer) -> list[str]:
    """Lines about what the recipe leaves open: that training stopped early, and which weights are measured."""
    state, recipe, found = loop.state, loop.recipe, list[str]()
    if state.stopped and recipe.stop is not None and state.step < loop.total:
        waited = plural(recipe.stop.patience, "evaluation")
        where = f"step {state.step:,} of {loop.total:,}"
        found.append(f"stopped early at {where}: {title(loop.metric)} has not improved for {waited}")
    if isinstance(recipe.evaluated, Best) and state.best_step != state.step:
        found.append(f"the weights are those of step {state.best_step:,}, the best evaluation")
    return found
