"""A net as it is asked for: with arguments, sizes and options from outside its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.given import value_of
from netdsl.elaborate.migrate import followed, moved
from netdsl.elaborate.modules import Module
from netdsl.elaborate.standardize import in_units, standardized
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.sizes.constraints import broken_by
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType
from netdsl.version import LANGUAGE, __version__

NOT_REPEATED = "an axis that is 1 by `--size` is not repeated"
UNLIKE = 251
"""A size that hardly another axis has: in the place of 1, it shows what a named size could not be carried to."""


class Request(Struct, frozen=True, eq=False):
    """A net of a module with everything that is given for it: arguments (values, or expressions of the command line),
    sizes of its inputs, and options."""

    module: Module
    name: str
    arguments: Mapping[str, Any]
    sizes: Mapping[str, int]
    options: Options

    @property
    def title(self) -> str:
        """The first line of a file that is made of the net."""
        return f"{self.name}, compiled from {self.module.source.name.rpartition('/')[2]} by netdsl {__version__}."

    def with_image(self, side: int) -> Request:
        """The same for square images of another size."""
        return replace(self, options=replace(self.options, image=side))

    def with_sizes(self, sizes: Mapping[tuple[str, int], Dim]) -> Request:
        """The same with other sizes of the inputs, by the input's name and axis."""
        other = tuple((name, axis, size) for (name, axis), size in sizes.items())
        return replace(self, options=replace(self.options, sizes=other))


class Elaborated(Struct, frozen=True):
    """The program of a net, or its diagnostics. `moved`: what older versions of the language read in another way;
    `followed`: what of it version 2 did too, which gives other numbers with the same weights."""

    program: Program | None
    diagnostics: tuple[Diagnostic, ...]
    moved: tuple[Diagnostic, ...] = ()
    followed: tuple[Diagnostic, ...] = ()

    def changed_since(self, language: int) -> tuple[Diagnostic, ...]:
        """The notes of lines that a version of the language read in another way."""
        return self.moved if language < 2 else self.followed if language < LANGUAGE else ()


def elaborate(request: Request) -> Elaborated:
    """The program of a request, or its mistakes."""
    module, name, sizes, options = request.module, request.name, request.sizes, request.options
    elaborator = Elaborator(options)
    values: dict[str, Any] = {}
    with elaborator.recording():
        values = {n: value_of(v, module, elaborator.evaluator) for n, v in request.arguments.items()}
    program = None if elaborator.diagnostics else elaborator.net(module, name, values, sizes)
    if program is not None and 1 in sizes.values():
        elaborator.diagnostics.extend(_not_repeated(program, replace(request, arguments=values)))
    along = followed(elaborator.followed)
    notes = moved(elaborator.computed) + along
    if program is None or elaborator.diagnostics:
        return Elaborated(None, tuple(elaborator.diagnostics), notes)
    return Elaborated(_for_training(program, options), (), notes, along)


def _for_training(program: Program, options: Options) -> Program:
    """The program with what a training adds: the standardization of its images, the units of its targets."""
    if options.standard is not None:
        program = standardized(program, *options.standard, options.per)
    return program if options.units is None else in_units(program, *options.units)


def _not_repeated(program: Program, request: Request) -> Sequence[Diagnostic]:
    """The mistakes of axes that would be repeated only because a named size is given as 1."""
    named = _elaborated(request, {n: size for n, size in request.sizes.items() if size != 1})
    if found := _mismatches(named):
        return found  # other mistakes: what only numbers can size
    names = frozenset(n for v in program.main.inputs for n in v.type.names)
    broken = broken_by(request.sizes, names, named.assume.constraints(), program.constraints)
    if broken is not None:
        return (diagnostic("shape-mismatch", f"`{request.name}` needs {broken}: {NOT_REPEATED}", program.main.place),)
    return _of_repeats(program, request) if named.diagnostics else ()


def _of_repeats(program: Program, request: Request) -> Sequence[Diagnostic]:
    """The mistakes of axes that are repeated, and would not be if the sizes given as 1 were another number."""
    unlike = _elaborated(request, {n: UNLIKE if size == 1 else size for n, size in request.sizes.items()})
    repeats = {node.place for node in flatten(program) if _repeats(*node.types)}
    return [diagnostic(d.code, NOT_REPEATED, d.at) for d in _mismatches(unlike) if d.at in repeats]


def _elaborated(request: Request, sizes: Mapping[str, int]) -> Elaborator:
    """The net of a request elaborated with other sizes: its constraints and its mistakes."""
    elaborator = Elaborator(request.options)
    elaborator.net(request.module, request.name, request.arguments, sizes)
    return elaborator


def _mismatches(elaborator: Elaborator) -> list[Diagnostic]:
    return [d for d in elaborator.diagnostics if d.code == "shape-mismatch"]


def _repeats(*types: TensorType) -> bool:
    """Whether values meet of which one has an axis of 1 where another has more."""
    return any(
        a.rank == b.rank and any(1 in (m, n) and m != n for m, n in zip(a.shape, b.shape, strict=True))
        for a, b in pairwise(types)
    )
