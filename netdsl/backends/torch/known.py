"""The named numbers of a block: the author's arguments, the widths of its inputs, the sizes it declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.torch.body import AUTOMATIC
from netdsl.backends.torch.conditions import arithmetic
from netdsl.backends.torch.naming import python_names
from netdsl.backends.torch.tree import Apply, Node, Num, Shape, same
from netdsl.ir.model import Definition

USUAL = {"stride": 1, "groups": 1, "dilation": 1, "padding": 0, "output_padding": 0}
"""Values that an argument of that name has unless it is told otherwise."""
WIDE = 4
"""Sizes beyond this are widths; what is smaller is a stride, a kernel or a switch, and explains no other number."""
MULTIPLE = 4
"""Up to this many times a width is no coincidence."""
WIDTH = 16
"""A width of which others may be a multiple, where there is one use to tell."""
COUNTS = frozenset(("heads", "num_heads", "n_heads", "nhead", "n_head", "kv_heads", "groups", "depth", "layers"))
"""Arguments of these names are no widths."""
PAIRED = 40
"""Among more numbers than this, two add up to any third by chance."""


class Argument(Struct, frozen=True):
    """An argument of a printed class: its value for each definition.

    `rank` orders arguments: the input's width, the author's, the signature's, then the emitter's own.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    rank: tuple[int, int]

    @property
    def default(self) -> Node | None:
        """The value it has where the caller does not give it, if there is a usual one."""
        if Num(None) in self.values or Apply("nn.Identity") in self.values or None in self.values:
            return Num(None)
        if self.kind in ("module", "function"):
            return None
        usual = USUAL.get(self.name)
        if all(isinstance(v, bool) for v in self.values):
            return Num(Counter(self.values).most_common(1)[0][0])
        return Num(usual) if usual is not None and any(same(usual, v) for v in self.values) else None

    @property
    def given_where(self) -> list[bool]:
        """For each definition whether there is something that it could be given for."""
        return [v is not None and v != Num(None) for v in self.values]

    @property
    def is_size(self) -> bool:
        return self.kind == "number" and all(type(v) is int for v in self.values)

    @property
    def is_wide(self) -> bool:
        return self.is_size and max(self.values) > WIDE

    @property
    def is_width(self) -> bool:
        """Whether it tells a number that is the same in all uses: a count is equal to one only by chance."""
        return self.is_wide and self.name not in COUNTS


def given(definitions: Sequence[Definition]) -> list[Argument]:
    """The numbers that a reader knows by name: the author's arguments, the width of the inputs, the sizes of the
    signature."""
    widths = [width(definitions, i) for i in range(min(len(d.inputs) for d in definitions))]
    found = _varying([d.arguments for d in definitions], 1)
    of_inputs = [values for _, values in widths]
    for size in _varying([d.sizes for d in definitions], 2):
        if size.values not in of_inputs:
            found.append(size)
        elif not size.name.isupper():
            found.append(replace(size, rank=(0, size.rank[1])))
    for own in _of_inputs(definitions[0], widths):
        if not any(a.name == own.name or a.values == own.values for a in found):
            found.append(own)
    return found


def _of_inputs(definition: Definition, widths: Sequence[tuple[str, tuple[Any, ...]]]) -> Iterator[Argument]:
    """The widths of inputs that differ; of those behind the first that have a name of the author's."""
    for i, (name, values) in enumerate(widths):
        own = Argument(name, "number", values, (0, i))
        if own.is_size and varies(values) and not (i and AUTOMATIC.fullmatch(definition.inputs[i].name)):
            yield own


def _varying(rows: Sequence[Sequence[tuple[str, Any]]], rank: int) -> list[Argument]:
    """The named values of all definitions that a constructor can be given and that differ between them."""
    tables = [dict(row) for row in rows]
    found = []
    for i, name in enumerate(tables[0]):
        values = tuple(table.get(name) for table in tables)
        kind = "word" if any(isinstance(v, str) for v in values) else "number"
        if all(_is_plain(v) for v in values) and varies(values):
            found.append(Argument(name, kind, values, (rank, i)))
    return found


def constants(definitions: Sequence[Definition]) -> list[Argument]:
    """The author's arguments that are the same whole number in all uses of a block, and the width of its input.

    Parts of a body that are no block have none.
    """
    if not definitions[0].arguments and not definitions[0].sizes:
        return []
    tables = [dict(d.arguments) for d in definitions]
    found = [
        Argument(name, "number", tuple(table.get(name) for table in tables), (1, i)) for i, name in enumerate(tables[0])
    ]
    if all(d.inputs for d in definitions) and (own := _input_width(definitions)).name not in tables[0]:
        found.append(own)
    return [a for a in found if a.is_size and not varies(a.values)]


def _input_width(definitions: Sequence[Definition]) -> Argument:
    """The width of the first input, by the author's name where it has one."""
    name, values = width(definitions, 0)
    authors = [n for n, size in definitions[0].sizes if size == values[0] and n.islower()]
    return Argument(authors[0] if authors else name, "number", values, (0, 0))


def computed(definitions: Sequence[Definition], arguments: Sequence[Argument]) -> list[Any]:
    """The numbers that a block's text computes from widths, the same in all uses."""
    wide = {a.name: a.name for a in arguments if a.is_width}
    return [values[0] for _, values in arithmetic(definitions, wide)] if wide else []


class Constants:
    """The author's numbers, by which a number of a constructor may be explained: as one of them, as a multiple, or as a
    number that a block's text computes from them (`written`)."""

    def __init__(self, arguments: Sequence[Argument], written: Sequence[Any] = ()) -> None:
        self.written = {value for value in written if type(value) is int and value > WIDE}
        self.values = {a.values[0] for a in arguments}
        self.named = {(a.name, a.values[0]) for a in arguments}
        self.wide = {a.values[0] for a in arguments if a.is_width}

    def explain(self, value: int, hint: str) -> bool:
        """Whether a number is one of the author's: a width or a multiple of it, or what has its name."""
        if (hint, value) in self.named:
            return not same(USUAL.get(hint), value)
        return value in self.wide or bool(self.bases(value))

    def explain_layer(self, value: int, hint: str) -> bool:
        """Whether the same holds of a number of a member, or the text of the block computes it."""
        return value in self.written or self.explain(value, hint)

    def bases(self, value: int) -> set[int]:
        """The widths of which a number is so small a multiple, the same in all uses, that it is no chance."""
        parts = {value // k for k in range(2, MULTIPLE + 1) if value % k == 0}
        return {base for base in parts if base >= WIDTH and base in self.wide}


def renamed(arguments: list[Argument], taken: frozenset[str]) -> list[Argument]:
    """The arguments under names that Python and the emitted file allow."""
    names = python_names([a.name for a in arguments], taken)
    return [replace(a, name=names[a.name]) for a in arguments]


def sizes(definitions: Sequence[Definition]) -> list[tuple[Shape, Argument]]:
    """The sizes of the inputs that differ, with how a forward method reads them."""
    found: list[tuple[Shape, Argument]] = []
    for i in range(min(len(d.inputs) for d in definitions)):
        types = [d.inputs[i].type for d in definitions]
        for axis in range(min(t.rank for t in types)):
            size = Argument("", "number", tuple(t.shape[axis] for t in types), (0, 0))
            if size.is_size and types[0].batched and (size.is_wide or axis):
                found.append((Shape(i, axis + 1), size))
    return found


def width(definitions: Sequence[Definition], index: int) -> tuple[str, tuple[Any, ...]]:
    """The name and the values of the number of features of an input."""
    types = [d.inputs[index].type for d in definitions]
    name = {1: "in_features", 2: "dim"}.get(types[0].rank, "in_channels")
    values = tuple((t.shape[-1] if t.rank <= 2 else t.shape[0]) if t.shape else None for t in types)
    if index == 0:
        return name, values
    return f"{definitions[0].inputs[index].name}_{'channels' if name == 'in_channels' else 'features'}", values


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(v, int | float) for v in value)
    return isinstance(value, int | float | str | bool)


def varies(values: Sequence[Any]) -> bool:
    return not all(same(values[0], v) for v in values)
