"""Parameters of what passed through a statement, counted from the steps that it added."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.analysis.count import Memo, totals
from netdsl.elaborate.scope import LayerBuilder, Scope, StepBuilder
from netdsl.elaborate.trace import Passed
from netdsl.ir.model import Definition
from netdsl.ops.base import Op
from netdsl.sizes.dims import Dim, product
from netdsl.source import Span


def parameters(drafts: Iterable[StepBuilder], memo: Memo, seen: set[LayerBuilder] | None = None) -> int:
    """The elements of all trainable tensors of these steps; a shared layer counts where it is used first."""
    seen = set() if seen is None else seen
    total = 0
    for draft in drafts:
        if isinstance(draft.callee, Scope):
            total += parameters(draft.callee.drafts, memo, seen)
        elif draft.callee is not None and draft.layer is not None and draft.layer not in seen:
            seen.add(draft.layer)
            total += _own(draft, memo)
    return total


def _own(draft: StepBuilder, memo: Memo) -> int:
    if isinstance(draft.callee, Definition):
        return totals(draft.callee, memo).params
    assert isinstance(draft.callee, Op)
    sizes = [product(p.shape) for p in draft.callee.params(*(w.type for w in draft.inputs)).values()]
    return sum(size for size in sizes if isinstance(size, int))


def macs(drafts: Iterable[StepBuilder], memo: Memo) -> Dim:
    """The multiply-accumulates of these steps at inference, for one sample."""
    total: Dim = 0
    for draft in drafts:
        callee = draft.callee
        if isinstance(callee, Scope):
            total = total + macs(callee.drafts, memo)
        elif isinstance(callee, Definition):
            total = total + totals(callee, memo).macs
        elif callee is not None and draft.outs and not draft.training:
            total = total + callee.macs(draft.outs[0].type, *(w.type for w in draft.inputs))
    return total


def within(passed: Passed, span: Span) -> list[StepBuilder]:
    """The steps of a statement that a part of it wrote."""
    source = passed.module.source
    return [
        d for d in passed.drafts
        if d.place.source is source and span.start <= d.place.span.start and d.place.span.end <= span.end
    ]  # fmt: skip
