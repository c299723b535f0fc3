"""The phases of a training step, which the loop names so that a profile can time them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

Phase = Literal["data", "forward", "backward", "optimizer"]

Timed = Callable[[Phase], AbstractContextManager[None]]

_NOTHING = nullcontext()


def untimed(phase: Phase) -> AbstractContextManager[None]:
    """A phase of a training that nobody times: costs nothing."""
    return _NOTHING
