"""A net as planning sees it."""

from __future__ import annotations

from typing import Protocol

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Program
from netdsl.planning.initialization import NetParameters
from netdsl.sizes.dims import symbols


class PlannedNet(Protocol):
    """A net that a recipe is for, elaborated."""

    @property
    def name(self) -> str: ...

    @property
    def checked(self) -> Program:
        """Its program."""

    @property
    def parameters(self) -> NetParameters:
        """Its parameters, residual branches and head."""

    def resized(self, side: int) -> tuple[Program | None, tuple[Diagnostic, ...]]:
        """Its program for square images of another size, or the mistakes that it has there."""


def open_sizes(program: Program) -> tuple[str, ...]:
    """The names of sizes that a net's inputs leave open, in the order of the inputs: what `--size` can give."""
    sizes = (size for value in program.main.inputs for size in value.type.shape)
    return tuple(dict.fromkeys(name for size in sizes for name in sorted(symbols(size))))
