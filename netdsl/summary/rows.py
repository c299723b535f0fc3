"""The tree of rows: one for each step of a definition, equal neighbours folded into one."""

from __future__ import annotations

from msgspec.structs import replace

from netdsl.analysis import count
from netdsl.elaborate.standardize import UNITS, gives_units
from netdsl.ir.model import Definition, Layer, Step
from netdsl.ops.base import Op, Window, argument
from netdsl.summary.model import Row


class Rows:
    """Makes the rows of definitions, each definition once. `everything`: also what has no parameters,
    no MACs, and keeps the shape (activations, dropout, additions)."""

    def __init__(self, everything: bool = False) -> None:
        self.everything = everything
        self._costs: count.Memo = {}
        self._made: dict[Definition, tuple[Row, ...]] = {}

    def of(self, definition: Definition) -> tuple[Row, ...]:
        """The rows of a definition's steps, folded."""
        if definition not in self._made:
            layers = {layer.name: layer for layer in definition.layers}
            used: set[str] = set()
            rows = []
            for step in definition.steps:
                if self._is_shown(step):
                    rows.append(self._row(step, layers.get(step.layer or ""), step.layer in used))
                used.add(step.layer or "")
            self._made[definition] = fold(rows)
        return self._made[definition]

    def _row(self, step: Step, layer: Layer | None, shared: bool) -> Row:
        owned = layer is not None and not shared
        cost = count.step_totals(step, self._costs)
        return Row(
            step.layer or _name(step.callee),
            kind(step),
            tuple(o.type for o in step.outs),
            count.layer_totals(layer, self._costs).params if owned and layer else 0,
            cost.training_macs if step.training else cost.macs,
            shared=shared,
            training=step.training,
            children=self.of(step.callee) if isinstance(step.callee, Definition) and not shared else (),
        )

    def _is_shown(self, step: Step) -> bool:
        if self.everything or not step.inputs or not all(o.type.same(step.inputs[0].type) for o in step.outs):
            return True
        if isinstance(step.callee, Definition):
            return bool(self.of(step.callee))
        types = tuple(v.type for v in step.inputs)
        return bool(step.callee.params(*types)) or count.step_totals(step, self._costs).macs != 0


def fold(rows: list[Row]) -> tuple[Row, ...]:
    """Neighbours that differ only in name as one row."""
    folded: list[Row] = []
    last: Row | None = None
    for row in rows:
        bare = replace(row, name="")
        if last is not None and bare == last and not row.shared:
            before = folded[-1]
            folded[-1] = replace(
                before, repeat=before.repeat + 1, params=before.params + row.params, macs=before.macs + row.macs
            )
        else:
            folded.append(row)
        last = bare
    return tuple(folded)


def _name(callee: Op | Definition) -> str:
    return callee.name if isinstance(callee, Definition) else callee.kind


def kind(step: Step) -> str:
    """Name a step in a word or two: the block's name, or the op with its window (`conv 7x7 /2`)."""
    callee = step.callee
    if isinstance(callee, Definition):
        return "" if step.layer and callee.name in step.layer.split(".") else callee.name
    if gives_units(step):  # `standardize` with the statistics that undo it
        return UNITS
    return _with_window(callee, callee.window(*(v.type for v in step.inputs)))


def _with_window(op: Op, window: object) -> str:
    if not isinstance(window, Window):
        return op.kind
    dilation = argument(op, "dilation", 1)
    spread = dilation if isinstance(dilation, tuple) else (dilation,)
    size = argument(op, "kernel_size", window.size) if set(spread) != {1} else window.size
    words = [op.kind, "x".join(map(str, size))]
    if set(window.stride) != {1}:
        words.append("/" + "x".join(map(str, dict.fromkeys(window.stride))))
    groups = argument(op, "groups", 1)
    text = " ".join(words) + (f", {groups} groups" if groups != 1 else "")
    return text if set(spread) == {1} else f"{text}, dilation {'x'.join(map(str, dict.fromkeys(spread)))}"
