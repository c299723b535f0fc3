"""A part of a net as a net of its own: a backbone's weights come from a file of the net that it was taken from."""

from __future__ import annotations

from msgspec.structs import replace

from netdsl.ir.model import Definition, Program


def part(program: Program, path: str) -> Program | None:
    """The program of the layer at a path of the state dict (`backbone`); None where no block or net stands there."""
    definition, rest = program.main, path
    while rest:
        found = next((la for la in definition.layers if rest == la.name or rest.startswith(f"{la.name}.")), None)
        if found is None or not isinstance(found.callee, Definition):
            return None
        definition, rest = found.callee, rest[len(found.name) + 1 :]
    return replace(program, main=definition, constraints=())


def no_part(path: str) -> tuple[str, str]:
    """The message and the hint where a net has no such part."""
    return f"the net has no part `{path}`", "it is a path of the state dict, such as the label of a backbone"
