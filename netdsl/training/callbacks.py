"""Functions that a training from Python calls: after a step, an evaluation and a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct
from torch import Tensor

STOP = "stop"
"""What a callback returns to end the training."""

Callback = Callable[[dict[str, Any]], Any]


class Stoppable(Protocol):
    """A training that callbacks can end: `ending` after an evaluation and a checkpoint, `interrupted` with a
    checkpoint alone."""

    ending: bool
    interrupted: bool


class Callbacks(Struct, eq=False):
    """A run's callbacks. What one of them raises is kept in `failed`, as (its name, the step, the exception), and the
    run ends with a checkpoint of the step: no step is lost."""

    on_step: Callback | None = None
    on_evaluation: Callback | None = None
    on_checkpoint: Callback | None = None
    failed: tuple[str, int, Exception] | None = None

    @property
    def named(self) -> dict[str, Callback | None]:
        return {"on_step": self.on_step, "on_evaluation": self.on_evaluation, "on_checkpoint": self.on_checkpoint}

    def tell(self, what: str, numbers: dict[str, Any], loop: Stoppable) -> None:
        """Call the callback of an event of the loop; what it returns or raises may end the loop."""
        name = {"step": "on_step", "evaluation": "on_evaluation", "saved": "on_checkpoint"}[what]
        callback = self.named[name]
        if callback is None or self.failed is not None:
            return
        plain = {name: v.item() if isinstance(v, Tensor) else v for name, v in numbers.items()}
        try:
            loop.ending |= _stops(callback(plain))
        except Exception as error:
            self.failed = name, int(numbers["step"]), error
            loop.interrupted = True


def _stops(answer: Any) -> bool:
    """Whether a callback ends the training. Raises ValueError for an answer that may be meant so, and is another."""
    if answer is True or (isinstance(answer, str) and answer != STOP):
        raise ValueError(f'it returned {answer!r}: "stop" ends the training')
    return isinstance(answer, str)
