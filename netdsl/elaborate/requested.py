"""A net as it is asked for: with arguments, sizes and options from outside its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.given import value_of
from netdsl.elaborate.migrate import moved
from netdsl.elaborate.modules import Module
from netdsl.elaborate.standardize import in_units, standardized
from netdsl.ir.model import Program
from netdsl.sizes.constraints import broken_by


class Elaborated(Struct, frozen=True):
    """The program of a net, or its diagnostics. `moved`: what version 1 of the language read in another way."""

    program: Program | None
    diagnostics: tuple[Diagnostic, ...]
    moved: tuple[Diagnostic, ...] = ()


def elaborate(
    module: Module, name: str, arguments: Mapping[str, Any], sizes: Mapping[str, int], options: Options
) -> Elaborated:
    """A net of a module with these arguments (values, or expressions of the command line) and sizes."""
    elaborator = Elaborator(options)
    values: dict[str, Any] = {}
    with elaborator.recording():
        values = {n: value_of(v, module, elaborator.evaluator) for n, v in arguments.items()}
    program = None if elaborator.diagnostics else elaborator.net(module, name, values, sizes)
    if program is not None and 1 in sizes.values():
        elaborator.diagnostics.extend(_not_repeated(program, module, name, values, sizes, options))
    if program is None or elaborator.diagnostics:
        return Elaborated(None, tuple(elaborator.diagnostics), moved(elaborator.computed))
    return Elaborated(_for_training(program, options), (), moved(elaborator.computed))


def _for_training(program: Program, options: Options) -> Program:
    """The program with what a training adds: the standardization of its images, the units of its targets."""
    if options.standard is not None:
        program = standardized(program, *options.standard, options.per)
    return program if options.units is None else in_units(program, *options.units)


def _not_repeated(
    program: Program,
    module: Module,
    name: str,
    arguments: Mapping[str, Any],
    sizes: Mapping[str, int],
    options: Options,
) -> Sequence[Diagnostic]:
    """The mistakes of axes that would be repeated only because a named size is given as 1."""
    elaborator = Elaborator(options)
    named = elaborator.net(module, name, arguments, {n: size for n, size in sizes.items() if size != 1})
    if named is None:
        mistakes = elaborator.diagnostics
        return mistakes if all(d.code == "shape-mismatch" for d in mistakes) else ()
    names = frozenset(n for v in named.main.inputs for n in v.type.names)
    broken = broken_by(sizes, names, named.constraints, program.constraints)
    if broken is None:
        return ()
    message = f"`{name}` needs {broken}: an axis that is 1 by `--size` is not repeated"
    return (diagnostic("shape-mismatch", message, named.main.place),)
