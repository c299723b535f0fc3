"""Two nets, compared: figures, inputs, layers, and what becomes of their state dicts."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from netdsl.analysis.count import buffers, parameters
from netdsl.analysis.receptive_field import receptive_field
from netdsl.diff.compare import Comparer
from netdsl.diff.model import Cost, Entry, Field, Item, NetDiff, Owned, Pair, Side, Tensor, mirrored
from netdsl.ir.model import Definition, Program
from netdsl.ir.text import program_text
from netdsl.ops.base import Op


def compare_nets(before: Program, after: Program, names: tuple[str, str]) -> NetDiff:
    """The differences between two nets. Swapped nets have the same ones, mirrored: only one direction is computed."""
    comparer = Comparer()
    if program_text(after) < program_text(before):
        pair = mirrored(comparer.pair(after.main, before.main))
    else:
        pair = comparer.pair(before.main, after.main)
    sides = [_side(p, n, comparer) for p, n in zip((before, after), names, strict=True)]
    return NetDiff(sides[0], sides[1], pair, tuple(_tensors(pair, "", "")), tuple(_fields(before, after)))


def _side(program: Program, name: str, comparer: Comparer) -> Side:
    field = receptive_field(program)
    text = "" if field is None else "everything" if field.size is None else str(field.size)
    return Side(name, comparer.bodies.totals(program.main), text)


def _fields(before: Program, after: Program) -> Iterator[Field]:
    """Inputs, names of outputs and constraints that differ."""
    for kind, ours, theirs in (
        ("input", _inputs(before), _inputs(after)),
        ("output", _outputs(before), _outputs(after)),
        ("needs", _needs(before), _needs(after)),
    ):
        for name in dict.fromkeys([*ours, *theirs]):
            if ours.get(name) != theirs.get(name):
                title = kind if kind == "needs" else f"{kind} {name}".strip()
                yield Field(title, ours.get(name), theirs.get(name))


def _inputs(program: Program) -> dict[str, str]:
    return {v.name: str(v.type) for v in program.main.inputs}


def _outputs(program: Program) -> dict[str, str]:
    only = {True: " while training", False: ""}
    return {o.name: f"{o.value.type}{only[o.training]}" for o in program.main.outputs}


def _needs(program: Program) -> dict[str, str]:
    return {str(c): str(c) for c in program.constraints}


def _tensors(pair: Pair, before: str, after: str) -> Iterator[Tensor]:
    """Every tensor of the state dict with what becomes of it, each shared one once."""
    for entry in pair.entries:
        a, b = entry.before, entry.after
        if entry.body is not None and a is not None and b is not None and a.first and b.first:
            yield from _tensors(entry.body, f"{before}{a.name}.", f"{after}{b.name}.")
        else:
            ours, theirs = _owned(a, before), _owned(b, after)
            for name in dict.fromkeys([*ours, *theirs]):
                (key, shape), (other, there) = ours.get(name, (None, ())), theirs.get(name, (None, ()))
                yield Tensor(key, other, shape == there)


def _owned(item: Item | None, prefix: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Key and shape of the tensors of a step's layer, by their names in it."""
    if item is None or not item.first:
        return {}
    start = prefix + item.name
    return {name: (f"{start}.{name}" if name else start, shape) for name, shape in _named(item.callee, item)}


def _named(callee: Op | Definition, item: Item) -> Iterator[tuple[str, tuple[int, ...]]]:
    if isinstance(callee, Definition):
        yield from ((p.path, p.shape) for p in parameters(callee))
        yield from ((b.path, b.shape) for b in buffers(callee) if b.persistent)
        return
    types = tuple(v.type for v in item.inputs)
    yield from ((name, p.shape) for name, p in callee.params(*types).items())
    yield from ((name, b.shape) for name, b in callee.buffers(*types).items() if b.persistent)


class Found(Struct, frozen=True, eq=False):
    """An entry, what stands before its name on both sides, and what it costs more."""

    entry: Entry
    before: str
    after: str
    delta: Cost


def walk(pair: Pair, before: str = "", after: str = "", owned: Owned = (True, True)) -> Iterator[Found]:
    """Every entry of a comparison; blocks that were compared, as what they hold."""
    for entry in pair.entries:
        if entry.body is None or entry.before is None or entry.after is None:
            yield Found(entry, before, after, entry.delta(owned))
        else:
            inside = f"{before}{entry.before.name}.", f"{after}{entry.after.name}."
            yield from walk(entry.body, *inside, entry.inside(owned))
