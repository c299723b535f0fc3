"""The net of a recipe, as what a recipe demands is checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from netdsl.checks.lint.flow import Flow
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.builder import Options
from netdsl.elaborate.requested import Request, elaborate
from netdsl.ir.model import Program
from netdsl.planning.initialization import NetParameters
from netdsl.planning.recipes import NetReference


class CheckedNet:
    """A net elaborated with its own arguments and sizes, and with those `arguments` from outside; and at other sizes of
    its images."""

    def __init__(self, reference: NetReference, checked: Program, arguments: Mapping[str, Any] | None = None) -> None:
        self.name = reference.name
        self.checked = checked
        self.module = reference.module
        self.arguments = arguments or {}
        self.sizes: dict[int, tuple[Program | None, tuple[Diagnostic, ...]]] = {}

    @cached_property
    def flow(self) -> Flow:
        return Flow((self.checked,))

    @cached_property
    def parameters(self) -> NetParameters:
        return NetParameters.of(self.checked)

    def resized(self, side: int) -> tuple[Program | None, tuple[Diagnostic, ...]]:
        if side not in self.sizes:
            made = elaborate(Request(self.module, self.name, self.arguments, {}, Options(image=side)))
            self.sizes[side] = made.program, made.diagnostics
        return self.sizes[side]
