"""Tables: ops that depend on no input and no weight become one layer, which computes its numbers once."""

from __future__ import annotations

from typing import Any

from netdsl.budget import spend
from netdsl.elaborate.scope import LayerBuilder, Scope, StepBuilder, Wire
from netdsl.ir.reserved import free_name
from netdsl.ops.base import Op
from netdsl.ops.tables import Expression, Table
from netdsl.sizes.dims import Size, evaluate, product

LARGEST = 64
"""The most ops of one table, written out: a part used twice counts twice. A larger one is made of smaller ones."""


def fold_tables(scope: Scope, drafts: list[StepBuilder], outputs: list[tuple[str, Wire, bool]]) -> list[StepBuilder]:
    """The steps of a scope with a `Table` for each value that is read elsewhere and follows from tables alone."""
    if not any(isinstance(d.callee, Op) and d.callee.is_table for d in drafts):
        return drafts
    found = _Tables()
    for draft in drafts:
        found.add(draft)
    for wire in [
        *(w for _, w, _ in outputs),
        *(w for d in drafts if not found.made.keys() & set(d.outs) for w in d.inputs),
    ]:
        found.need(wire)
    return [made for d in drafts if (made := found.step(d, scope)) is not None]


MOST_NUMBERS = 1 << 24
"""The most numbers of a table, and of each value it is made of: what is larger (64 MiB of float32) is computed whenever
the net runs, as any value is, and is not held beside the weights."""


class _Tables:
    """`made`: the values that follow from tables alone; `kept`: those of them that stay steps; `needed`: what is read
    by other steps."""

    def __init__(self) -> None:
        self.made: dict[Wire, Expression] = {}
        self.sizes: dict[Wire, int] = {}
        self.drafts: dict[Wire, StepBuilder] = {}
        self.kept: set[Wire] = set()
        self.needed: set[Wire] = set()

    def add(self, draft: StepBuilder) -> None:
        op = draft.callee
        if not isinstance(op, Op) or not _folds(op, draft) or not all(w in self.made for w in draft.inputs):
            return
        (out,) = draft.outs
        if (draft.inputs or op.is_table) and evaluate(product(out.type.shape), {}) <= MOST_NUMBERS:
            self.made[out] = Expression(op, tuple(self.made[w] for w in draft.inputs), out.type, out.name)
            self.sizes[out] = 1 + sum(self.sizes[w] for w in draft.inputs)
            self.drafts[out] = draft

    def need(self, wire: Wire) -> None:
        """Make a table of what is read elsewhere; of one that is too large, of its parts."""
        spend(1)
        if wire not in self.made or wire in self.needed or wire in self.kept:
            return
        if self.sizes[wire] <= LARGEST:
            self.needed.add(wire)
            return
        self.kept.add(wire)
        for part in self.drafts[wire].inputs:
            self.need(part)

    def step(self, draft: StepBuilder, scope: Scope) -> StepBuilder | None:
        """Replace a step: by itself, a table, or nothing where only tables read it."""
        out = draft.outs[0] if draft.outs else None
        if out is None or out not in self.made or out in self.kept:
            return draft
        if out not in self.needed:
            return None
        table = Table(self.made[out])
        layer = LayerBuilder(scope, free_name(out.name) if out.name else "table", table)
        return StepBuilder(table, [], [out], draft.place, layer, draft.training)


def _folds(op: Op, draft: StepBuilder) -> bool:
    """Whether an op can be computed once: by an expression, without weights, of sizes that are known."""
    if draft.layer is not None or len(draft.outs) != 1 or draft.outs[0].type.names or op.vanishes:
        return False
    form = op.torch(*(w.type for w in draft.inputs))
    return form.expression is not None and not form.helper and not any(map(_is_open, _arguments(op)))


def _arguments(op: Op) -> list[Any]:
    return [getattr(op, f) for f in op.__struct_fields__]


def _is_open(value: Any) -> bool:
    """Whether an argument refers to a named size."""
    return any(map(_is_open, value)) if isinstance(value, tuple) else isinstance(value, Size)
