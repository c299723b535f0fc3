"""The recipes of a file: every mistake in them, and between them and their nets."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.modules import Module
from netdsl.ir.model import Program
from netdsl.planning.demands import demands
from netdsl.planning.recipes import NetReference, chain, complete, net_of
from netdsl.recipe.resolve import Resolved, resolve_recipe
from netdsl.syntax import ast


class CheckedNet(Struct, frozen=True, eq=False):
    """The net of a recipe, elaborated with its own arguments and sizes."""

    reference: NetReference
    checked: Program

    @property
    def name(self) -> str:
        return self.reference.name

    def resized(self, side: int) -> tuple[Program | None, tuple[Diagnostic, ...]]:
        elaborator = Elaborator(Options(picture=side))
        program = elaborator.net(self.reference.module, self.reference.name, {}, {})
        return program, tuple(elaborator.diagnostics)


def check_recipes(module: Module, elaborator: Elaborator, programs: Mapping[str, Program | None]) -> None:
    """Report every mistake in the recipes of a file. `programs`: its own nets."""
    known = {(module.source.name, name): program for name, program in programs.items()}
    for node in module.file.declarations:
        if isinstance(node, ast.Recipe):
            with elaborator.recording():
                reference = net_of(module, node)
                resolved = resolve_recipe(chain(module, node, elaborator.evaluator))
                for found in resolved.diagnostics:
                    elaborator.report(found)
                _check_net(reference, resolved, elaborator, known)


def _check_net(
    reference: NetReference | None,
    resolved: Resolved,
    elaborator: Elaborator,
    known: dict[tuple[str, str], Program | None],
) -> None:
    """Report what does not fit between a recipe and its net; a net that waits for arguments is not checked."""
    if reference is None or resolved.recipe is None:
        return
    reference = complete(reference, elaborator.evaluator)
    if reference is None:
        return
    key = (reference.module.source.name, reference.name)
    if key not in known:
        known[key] = elaborator.net(reference.module, reference.name, {}, {})
    program = known[key]
    if program is not None:
        data_is_open = "data" not in resolved.places.written
        for found in demands(CheckedNet(reference, program), resolved.recipe, resolved.places, data_is_open):
            elaborator.report(found)
