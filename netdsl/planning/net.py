"""A net as planning sees it."""

from __future__ import annotations

from typing import Protocol

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Program


class PlannedNet(Protocol):
    """A net that a recipe is for, elaborated."""

    @property
    def name(self) -> str: ...

    @property
    def checked(self) -> Program:
        """Its program."""

    def resized(self, side: int) -> tuple[Program | None, tuple[Diagnostic, ...]]:
        """Its program for square images of another size, or the mistakes that it has there."""
