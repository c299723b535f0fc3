"""Fingerprints: equal numbers for definitions that are the same net, whichever file they come from."""

from __future__ import annotations

from netdsl.diff.bodies import Bodies
from netdsl.diff.model import Item
from netdsl.ir.model import Definition


class Prints:
    """Numbers definitions; two that say the same, names of blocks and layers included, have the same number."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._numbers: dict[object, int] = {}
        self._made: dict[Definition, int] = {}

    def of(self, definition: Definition) -> int:
        """The number of a definition."""
        if definition not in self._made:
            self._made[definition] = self._number(self._content(definition))
        return self._made[definition]

    def _content(self, definition: Definition) -> object:
        body = self._bodies.of(definition)
        places = {v.name: i for i, v in enumerate(body.inputs)}
        steps = []
        for item in body.items:
            steps.append(self._step(item, places))
            places |= {v.name: len(places) + i for i, v in enumerate(item.outs)}
        outputs = tuple((places[o.value.name], o.training) for o in body.outputs)
        return definition.name, tuple(v.type for v in body.inputs), tuple(steps), outputs

    def _step(self, item: Item, places: dict[str, int]) -> object:
        callee = item.callee
        called = self.of(callee) if isinstance(callee, Definition) else (type(callee), callee)
        reads = tuple(places[v.name] for v in item.inputs)
        types = tuple(v.type for v in item.outs)
        return item.name, called, reads, types, item.training, item.residual

    def _number(self, content: object) -> int:
        return self._numbers.setdefault(content, len(self._numbers))
