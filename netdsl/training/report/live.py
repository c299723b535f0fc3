"""Progress and curves of a training in the output of a notebook's cell, drawn while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

from netdsl.recipe.metrics import said, title
from netdsl.render.markup import escape
from netdsl.training.report.charts import charts
from netdsl.training.report.progress import left
from netdsl.training.report.style import in_notebook

EVERY = 1.0
"""Seconds between drawings at least: a notebook keeps none of the earlier ones."""
POINTS = 200


def notebook_display() -> Callable[..., Any] | None:
    """IPython's `display`, where this process is the kernel of a notebook; None in a terminal and in a script."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    display: Callable[..., Any] = import_module("IPython.display").display
    return display


class Live:
    """Told of steps and evaluations by the loop; shows them in one output that is replaced each time.

    `total`: the steps of the run; `start`: the step that a resumed run resumes after.
    """

    def __init__(self, name: str, total: int, start: int, display: Callable[..., Any]) -> None:
        self.name, self.total, self.start = name, total, start
        self.step = start
        self.lines: list[dict[str, Any]] = []
        self.began = self.shown = time.monotonic()
        self.every = max(1, total // POINTS)
        self.ended = False
        self.handle = display(self, display_id=True)

    def __call__(self, what: str, numbers: dict[str, Any]) -> None:
        if what == "saved":
            return
        self.step = int(numbers["step"])
        if what == "evaluation" or self.step % self.every == 0:
            plain = {name: v.item() if isinstance(v, Tensor) else v for name, v in numbers.items()}
            self.lines.append({"kind": what, **plain})
        if time.monotonic() - self.shown >= EVERY:
            self._show()

    def close(self) -> None:
        """Show the end of the training."""
        self.ended = True
        self._show()

    def _show(self) -> None:
        self.shown = time.monotonic()
        if self.handle is not None:
            self.handle.update(self)

    def __repr__(self) -> str:
        return f"{self.name}: step {self.step:,} of {self.total:,}{self._state()}"

    def _state(self) -> str:
        measured = [line for line in self.lines if line["kind"] == "evaluation"]
        held = measured[-1] if measured else {}
        shown = [(n, v) for n, v in held.items() if isinstance(v, float) and n not in ("epoch", "waiting")]
        parts = [f"{title(n)} {said(n, v)}" for n, v in shown]
        if not self.ended and self.step > self.start:
            parts.append(left(time.monotonic() - self.began, self.step - self.start, self.total - self.step))
        return "".join(f", {part}" for part in parts)

    def _repr_html_(self) -> str:
        bar = f"<progress max={self.total} value={self.step} style='width:100%'></progress>"
        return in_notebook(f"<p><b>{escape(repr(self))}</b></p>{bar}<div class=charts>{charts(self.lines)}</div>")
