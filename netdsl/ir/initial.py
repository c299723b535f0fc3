"""Initial values of parameters, as calls that the trainer carries out and that `init_weights` is printed from."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Assignment(Struct, frozen=True):
    """One call that sets a tensor: `torch.nn.init.<function>(tensor, **arguments)`, or `tensor.mul_(factor)`.

    `path` is the tensor's key in the state dict. `square`: only the first outputs are set, as many as there are inputs;
    `rows`: only those from the first up to the second number.
    """

    path: str
    function: str
    arguments: tuple[tuple[str, Any], ...] = ()
    square: bool = False
    rows: tuple[int, int] | None = None


class Initialization(Struct, frozen=True):
    """One component of a recipe's `init`: its text as in a recipe, and the calls that it stands for, in order."""

    text: str
    assignments: tuple[Assignment, ...]
