"""The order of a net's parameters in depth: stem, residual blocks by stage, head. Layer-wise rules are derived
from it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from netdsl.analysis.count import join, parameters
from netdsl.ir.model import Definition, Program, Step


class Unit(Struct, frozen=True):
    """A residual block, or an op outside of one: the paths of its parameters, and the shape that it gives."""

    paths: tuple[str, ...]
    shape: tuple[object, ...]
    block: bool


def units(program: Program) -> tuple[Unit, ...]:
    """Blocks, and ops with parameters between them, in the order of the forward pass; shared weights where first
    used."""
    seen: set[str] = set()
    found = []
    for unit in _walk(program.main, "", {}):
        fresh = tuple(p for p in unit.paths if p not in seen)
        seen.update(fresh)
        if fresh:
            found.append(Unit(fresh, unit.shape, unit.block))
    return tuple(found)


def layer_numbers(program: Program, blocks: int = 1, last: int | None = None) -> dict[str, int]:
    """The layer of every parameter: stem 0, then 1 for each `blocks` consecutive blocks of one stage, the head the
    last.

    A stage is a run of blocks that give one shape. What stands between blocks (downsampling) belongs to the next one.
    `last` is the number that the last group of blocks gets (it must not be smaller than its own). A net without
    residual blocks counts every op with parameters as a block.
    """
    order = units(program)
    if not any(u.block for u in order):
        order = tuple(Unit(u.paths, (i,), True) for i, u in enumerate(order[:-1])) + order[-1:]
    numbers: dict[str, int] = {}
    waiting: list[str] = []
    layer, inside, shape = 0, 0, None
    for unit in order:
        if not unit.block:
            waiting += unit.paths
            continue
        if unit.shape != shape or inside == blocks:
            layer, inside = layer + 1, 0
        if shape is None:
            numbers |= dict.fromkeys(waiting, 0)
            waiting = []
        shape, inside = unit.shape, inside + 1
        numbers |= dict.fromkeys((*waiting, *unit.paths), layer)
        waiting = []
    end = max(layer, last or 0)
    numbers = {path: end if n == layer else n for path, n in numbers.items()}
    return numbers | dict.fromkeys(waiting, end + 1)


def _walk(definition: Definition, prefix: str, memo: dict[Definition, bool]) -> Iterator[Unit]:
    """Units of a definition. Links written directly in it close a block of all since the last one."""
    direct: list[str] = []
    open_link = any(s.residual for s in definition.steps)
    for step in definition.steps:
        callee, path = step.callee, join(prefix, step.layer) if step.layer else prefix
        shape = tuple(step.outs[0].type.shape) if step.outs else ()
        if isinstance(callee, Definition) and _is_block(callee, memo):
            yield Unit(_paths(step, path), shape, True)
        elif isinstance(callee, Definition) and not (open_link and not _has_block(callee, memo)):
            yield from _walk(callee, path, memo)
        elif open_link:
            direct += _paths(step, path)
            if step.residual:
                yield Unit(tuple(direct), shape, True)
                direct = []
        elif own := _paths(step, path):
            yield Unit(own, shape, False)
    if direct:
        yield Unit(tuple(direct), (), False)


def _paths(step: Step, prefix: str) -> tuple[str, ...]:
    """The parameters of what a step calls."""
    if isinstance(step.callee, Definition):
        return tuple(join(prefix, p.path) for p in parameters(step.callee))
    own = step.callee.params(*(v.type for v in step.inputs)) if step.layer else ()
    return tuple(join(prefix, name) for name in own)


def _has_block(definition: Definition, memo: dict[Definition, bool]) -> bool:
    """Whether it closes a residual link, itself or in what it calls."""
    if definition not in memo:
        inner = any(isinstance(s.callee, Definition) and _has_block(s.callee, memo) for s in definition.steps)
        memo[definition] = inner or any(s.residual for s in definition.steps)
    return memo[definition]


def _is_block(definition: Definition, memo: dict[Definition, bool]) -> bool:
    """Whether it closes residual links itself, and calls nothing that does."""
    if not any(s.residual for s in definition.steps):
        return False
    return not any(isinstance(s.callee, Definition) and _has_block(s.callee, memo) for s in definition.steps)
