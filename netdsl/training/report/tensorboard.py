"""Logging for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from netdsl.diagnostics.packages import needed_by


def tensorboard(folder: Path, after: int = 0) -> Callable[[str, dict[str, Any]], None]:
    """A watcher that logs every step's loss and lr and every evaluation. Raises UserError where it is not installed.

    `after`: the step from which a resumed run continues; what was logged later is not shown any more.
    """
    with needed_by("`--tensorboard`"):
        from torch.utils.tensorboard import SummaryWriter
    writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1 if after else None)

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "saved":
            writer.flush()
            return
        for name, value in numbers.items():
            if isinstance(value, float | Tensor) and name != "epoch":
                writer.add_scalar(f"{what}/{name}", float(value), numbers["step"])

    return watch
