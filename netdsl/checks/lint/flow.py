"""The data flow between ops, across the borders of blocks.

A block that is used many times is walked once: it keeps, for each input, the ops that read it first and, for each
output, the op that gives it. So the cost follows the number of distinct blocks, as that of elaboration does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from netdsl.ir.model import Definition, Program, Step
from netdsl.ops.base import Op
from netdsl.source import Place

At = tuple[int, int, int]
"""A place as a key: the source and the span. (Places compare equal, wherever they are.)"""


def key(place: Place) -> At:
    return id(place.source), place.span.start, place.span.end


def op_of(step: Step) -> Any:
    """The op of a step that calls one: its arguments differ from kind to kind."""
    return step.callee


def kind_of(step: Step) -> str:
    """The name of a step's op; none where it calls a block."""
    return step.callee.kind if isinstance(step.callee, Op) else ""


class Use(Struct, frozen=True, eq=False):
    """An op that reads a value, as its input number `operand`."""

    step: Step
    operand: int


class Link(Struct, frozen=True, eq=False):
    """A value on its way from the op that gives it to all that read it; `leaves`: it is an output of the net too."""

    producer: Step
    uses: tuple[Use, ...]
    leaves: bool

    @property
    def consumer(self) -> Step | None:
        """The only op that reads the value."""
        return self.uses[0].step if len(self.uses) == 1 and not self.leaves else None


Giver = tuple[Step | None, tuple[Use, ...]]


class Ends(Struct, frozen=True, eq=False):
    """The interface of a definition to its callers: the first readers of each input, the numbers of the outputs that
    are that input itself, and for each output the op that gives it, with those inside that read it too."""

    readers: tuple[tuple[Use, ...], ...]
    same: tuple[tuple[int, ...], ...]
    givers: tuple[Giver, ...]


class Flow:
    """The links of some programs, and the steps of their definitions."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self.links: list[Link] = []
        self.definitions: dict[Definition, Ends] = {}
        self.mains = tuple(p.main for p in programs)
        for main in self.mains:
            self.ends(main)
        self._by_producer: dict[At, list[Link]] | None = None

    def ends(self, definition: Definition) -> Ends:
        if definition not in self.definitions:
            self.definitions[definition] = _Walk(self, definition).ends()
        return self.definitions[definition]

    @property
    def steps(self) -> Iterator[Step]:
        """Every step that calls an op, once for each definition it stands in."""
        for definition in self.definitions:
            yield from (s for s in definition.steps if isinstance(s.callee, Op))

    def from_place(self, place: Place) -> list[Link]:
        """The links of all values that are given at a place of the text, in any block and for any arguments."""
        if self._by_producer is None:
            self._by_producer = defaultdict(list)
            for link in self.links:
                self._by_producer[key(link.producer.place)].append(link)
        return self._by_producer[key(place)]

    def givers(self, main: Definition) -> list[Step | None]:
        """The op that gives each output of a program."""
        return [giver for giver, _ in self.definitions[main].givers]


class Uses:
    """The uses of the values of a definition, in order. One that is met again in another call of the same block is kept
    twice, which says that it is not the only one, and no oftener: blocks that call each other twice, 60 levels deep,
    would hold 2**60 of them."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[Use, int]] = defaultdict(dict)

    def add(self, name: str, uses: Iterable[Use]) -> None:
        counts = self._counts[name]
        for use in uses:
            counts[use] = min(2, counts.get(use, 0) + 1)

    def of(self, name: str) -> tuple[Use, ...]:
        return tuple(use for use, count in self._counts[name].items() for _ in range(count))


class _Walk:
    """Walks through one definition."""

    def __init__(self, flow: Flow, definition: Definition) -> None:
        self.flow = flow
        self.definition = definition
        self.uses = Uses()
        self.producers: dict[str, tuple[Step, tuple[Use, ...]]] = {}
        self.alias: dict[str, str] = {}

    def ends(self) -> Ends:
        """Walk through the steps, add the links to the flow, and give what callers see."""
        for step in self.definition.steps:
            names = [self.alias.get(v.name, v.name) for v in step.inputs]
            if isinstance(step.callee, Definition):
                self._call(step, self.flow.ends(step.callee), names)
            else:
                self._op(step, names)
        outputs = [self.alias.get(o.value.name, o.value.name) for o in self.definition.outputs]
        self._link(set(outputs))
        inputs = [v.name for v in self.definition.inputs]
        return Ends(
            tuple(self.uses.of(name) for name in inputs),
            tuple(tuple(i for i, o in enumerate(outputs) if o == name) for name in inputs),
            tuple(self._giver(name) for name in outputs),
        )

    def _op(self, step: Step, names: list[str]) -> None:
        for i, name in enumerate(names):
            self.uses.add(name, (Use(step, i),))
        for value in step.outs:
            self.producers[value.name] = step, ()

    def _link(self, given: set[str]) -> None:
        """Add the link of every value that ends here; an output of a block continues in its callers."""
        is_net = self.definition in self.flow.mains
        for name, (step, inside) in self.producers.items():
            if is_net or name not in given:
                self.flow.links.append(Link(step, (*inside, *self.uses.of(name)), name in given))

    def _giver(self, name: str) -> Giver:
        step, inside = self.producers.get(name, (None, ()))
        return step, (*inside, *self.uses.of(name))

    def _call(self, step: Step, inner: Ends, names: list[str]) -> None:
        for name, readers, same in zip(names, inner.readers, inner.same, strict=True):
            self.uses.add(name, readers)
            self.alias.update({step.outs[i].name: name for i in same})
        for value, (giver, inside) in zip(step.outs, inner.givers, strict=True):
            if giver is not None:
                self.producers[value.name] = giver, inside
