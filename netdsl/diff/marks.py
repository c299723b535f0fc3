"""The entries of a comparison, by the boxes of the drawings of both nets."""

from __future__ import annotations

from msgspec import Struct

from netdsl.diff.model import Entry, Pair
from netdsl.ir.model import Definition
from netdsl.view.drawing import Box, Drawing

Key = tuple[Definition, str]
"""A step: the definition it stands in, and its first value."""


class Mark(Struct, frozen=True, eq=False):
    """The mark of a box: the sign of its change, and the numbers of its entries."""

    sign: str
    entries: frozenset[int]


class Marks:
    """The marks of all steps on one side of a comparison (`before`, or after). `numbers`: of all entries told of."""

    def __init__(self, pair: Pair, before: bool, numbers: dict[Entry, int]) -> None:
        self._before = before
        self._numbers = numbers
        self._found: dict[Key, list[tuple[str, frozenset[int]]]] = {}
        self._inside: dict[Pair, frozenset[int]] = {}
        self._visit(pair)

    def of(self, drawing: Drawing, definition: Definition) -> dict[tuple[Definition, int], Mark]:
        """The marks of the boxes of a drawing and of those inside, by the drawing they are in and their place there."""
        found: dict[tuple[Definition, int], Mark] = {}
        for i, box in enumerate(drawing.boxes):
            mark = self._of_box(box, definition)
            if mark is not None:
                found[drawing.definition, i] = mark
            if box.inner is not None:
                called = box.item.steps[0].callee
                inner = called if isinstance(called, Definition) and called is box.item.body else definition
                found |= self.of(box.inner, inner)
        return found

    def _of_box(self, box: Box, definition: Definition) -> Mark | None:
        told = [t for s in box.item.steps if s.outs for t in self._found.get((definition, s.outs[0].name), ())]
        signs = {sign for sign, _ in told}
        if not signs - {"="}:
            return None
        return Mark(signs.pop() if len(signs) == 1 else "~", frozenset[int]().union(*(ids for _, ids in told)))

    def _visit(self, pair: Pair) -> frozenset[int]:
        """Note what is told of the steps of a pair of definitions; gives the numbers of all that is told inside."""
        if pair in self._inside:
            return self._inside[pair]
        self._inside[pair] = frozenset()
        every: set[int] = set()
        for entry in pair.entries:
            inside = self._visit(entry.body) if entry.body else frozenset[int]()
            own = inside | ({self._numbers[entry]} if entry in self._numbers else frozenset())
            every |= own
            item = entry.before if self._before else entry.after
            if item is not None:
                for key in item.places:
                    self._found.setdefault(key, []).append((sign_of(entry) if own else "=", own))
        self._inside[pair] = frozenset(every)
        return self._inside[pair]


def sign_of(entry: Entry) -> str:
    """`+` new, `-` gone, `>` moved, `~` changed, `=` the same."""
    if not entry.differs:
        return "="
    return {"added": "+", "removed": "-"}.get(entry.kind, ">" if entry.moved else "~")
