"""The steps of a definition as they are compared: in an order that follows the connections, with some blocks opened."""

from __future__ import annotations

from msgspec import Struct

from netdsl.analysis import count
from netdsl.diff.model import Cost, Item
from netdsl.ir.model import Definition, Layer, Output, Step, Value


class Body(Struct, frozen=True, eq=False):
    """The items of a definition, and the values its outputs are (steps that compute nothing are left out)."""

    inputs: tuple[Value, ...]
    items: tuple[Item, ...]
    outputs: tuple[Output, ...]


class Bodies:
    """Makes the bodies of definitions, each once for each set of blocks that are opened in it."""

    def __init__(self) -> None:
        self._costs: count.Memo = {}
        self._made: dict[tuple[Definition, frozenset[str]], Body] = {}

    def of(self, definition: Definition, opened: frozenset[str] = frozenset()) -> Body:
        """The items of a definition; `opened`: the names of blocks whose items stand in their place."""
        key = definition, opened
        if key not in self._made:
            maker = _Maker(opened, self._costs)
            outputs = maker.run(_Scope(definition), {v.name: v for v in definition.inputs})
            items = _in_order(maker.items, outputs)
            self._made[key] = Body(definition.inputs, items, outputs)
        return self._made[key]

    def totals(self, definition: Definition) -> Cost:
        """The cost of a definition."""
        found = count.totals(definition, self._costs)
        return Cost(found.params, found.macs, found.activation_bytes)


class _Scope(Struct, frozen=True, eq=False):
    """Where steps are made into items: a definition, what stands before the names in it, and its own places."""

    definition: Definition
    prefix: str = ""
    training: bool = False
    places: tuple[tuple[Definition, str], ...] = ()

    def place(self, step: Step) -> tuple[tuple[Definition, str], ...]:
        """The places of a step of this definition."""
        return (*self.places, (self.definition, step.outs[0].name if step.outs else ""))


class _Maker:
    def __init__(self, opened: frozenset[str], costs: count.Memo) -> None:
        self.items: list[Item] = []
        self._opened = opened
        self._costs = costs
        self._used: set[str] = set()

    def run(self, scope: _Scope, known: dict[str, Value]) -> tuple[Output, ...]:
        """Add the items of a definition whose inputs are `known`; gives what its outputs are."""
        layers = {layer.name: layer for layer in scope.definition.layers}
        for step in scope.definition.steps:
            given = tuple(known[v.name] for v in step.inputs)
            name = scope.prefix + step.layer if step.layer else ""
            if isinstance(step.callee, Definition) and (not step.callee.steps or name in self._opened):
                outs = self._open(step, step.callee, name, scope, given)
            else:
                outs = tuple(Value(scope.prefix + v.name, v.type) for v in step.outs)
                self.items.append(self._item(step, name, scope, given, outs, layers))
            known |= {v.name: out for v, out in zip(step.outs, outs, strict=True)}
        return tuple(Output(o.name, known[o.value.name], o.training) for o in scope.definition.outputs)

    def _open(
        self, step: Step, callee: Definition, name: str, scope: _Scope, given: tuple[Value, ...]
    ) -> tuple[Value, ...]:
        """Add the items of a block in its place; gives its outputs."""
        inside = {v.name: value for v, value in zip(callee.inputs, given, strict=True)}
        inner = _Scope(callee, f"{name}.", scope.training or step.training, scope.place(step))
        return tuple(o.value for o in self.run(inner, inside))

    def _item(
        self,
        step: Step,
        name: str,
        scope: _Scope,
        given: tuple[Value, ...],
        outs: tuple[Value, ...],
        layers: dict[str, Layer],
    ) -> Item:
        first = bool(name) and name not in self._used
        self._used.add(name)
        training = scope.training or step.training
        owned = count.layer_totals(layers[step.layer], self._costs).params if first and step.layer else 0
        cost = self._cost(step, training, owned)
        return Item(name, step.callee, given, outs, cost, training, step.residual, first, scope.place(step))

    def _cost(self, step: Step, training: bool, owned: int) -> Cost:
        """The cost of a step: its MACs and activations count at inference only."""
        found = count.Totals() if training else count.step_totals(step, self._costs)
        return Cost(owned, found.macs, found.activation_bytes)


def _in_order(items: list[Item], outputs: tuple[Output, ...]) -> tuple[Item, ...]:
    """The items in an order that depends on what reads what only, not on the order in which branches are written."""
    makers = {v.name: item for item in items for v in item.outs}
    found: dict[Item, None] = {}
    wanted = [makers[o.value.name] for o in outputs if o.value.name in makers]
    waiting = [*reversed(items), *reversed(wanted)]
    while waiting:
        item = waiting[-1]
        unmet = [makers[v.name] for v in item.inputs if v.name in makers and makers[v.name] not in found]
        if unmet and item not in found:
            waiting += reversed(unmet)
        else:
            found[item] = None
            waiting.pop()
    return tuple(found)
