"""What the person who trains sees: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from torch import Tensor


class Progress:
    """Told of steps and evaluations by the loop; reads the loss only when it shows it."""

    def __init__(self, total: int, per_epoch: int, quiet: bool = False) -> None:
        self.total = total
        self.per_epoch = per_epoch
        self.samples = 0
        self.began = time.perf_counter()
        self.shown = 0.0
        self.last = ""
        self.quiet = quiet
        self.bar: Any = None
        if not quiet and sys.stderr.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("starting", total=self.total)
        self.bar.start()

    def __call__(self, what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            self._step(numbers)
        elif what == "evaluation":
            self._evaluation(numbers)

    def _step(self, numbers: dict[str, Any]) -> None:
        self.samples += numbers["samples"]
        now = time.perf_counter()
        if self.bar is None or now - self.shown < 0.2:
            return
        self.shown = now
        loss = numbers["loss"].item() if isinstance(numbers["loss"], Tensor) else numbers["loss"]
        text = f"loss {loss:.4f}  lr {numbers['lr']:.2e}  {self._rate(now):,.0f}/s  {self.last}"
        self.bar.update(self.task, completed=numbers["step"], description=text)

    def _rate(self, now: float) -> float:
        return self.samples / max(1e-9, now - self.began)

    def _evaluation(self, numbers: dict[str, Any]) -> None:
        shown = {k: v for k, v in numbers.items() if isinstance(v, float) and k not in ("epoch", "n")}
        self.last = "  ".join(f"{k} {_shown(k, v)}" for k, v in shown.items())
        if self.quiet:
            return
        rate = self._rate(time.perf_counter())
        line = f"epoch {numbers['epoch']:6.1f}  step {numbers['step']:6d}/{self.total}  {self.last}  {rate:,.0f}/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=numbers["step"])
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _shown(name: str, value: float) -> str:
    if name == "waiting":
        return f"for data {value:.0%}"
    return f"{value:.2%}" if name in ("top1", "top5", "mean_iou") else f"{value:.4f}"
