"""The time that a run takes over all its parts, from its first step to its report. What was computed after the last
checkpoint and lost counts no more than its step does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from netdsl.training.checkpoints.format import write_atomic

TIME = "time.json"


class Elapsed(Struct, frozen=True):
    """The seconds that a run had taken when it wrote the checkpoint of a step."""

    step: int
    seconds: float


class Clock:
    """Measures a run. `since`: when this part of it began; `among`: how many runs share its time."""

    def __init__(self, folder: Path, since: float) -> None:
        self.path = folder / TIME
        self.before = 0.0
        self.among = 1
        self.since = since

    def resume(self, step: int) -> None:
        """Count what the run took until a step, which may lie before the last that was saved."""
        try:
            known = msgspec.json.decode(self.path.read_bytes(), type=Elapsed)
        except (OSError, msgspec.DecodeError):  # of an older release
            return
        self.before = known.seconds * min(1.0, step / max(1, known.step))

    def seconds(self) -> float:
        return self.before + (time.perf_counter() - self.since) / self.among

    def keep(self, what: str, numbers: dict[str, Any]) -> None:
        """Write how long it took until a checkpoint; told of everything that happens."""
        if what == "saved":
            write_atomic(self.path, msgspec.json.encode(Elapsed(int(numbers["step"]), self.seconds())))
