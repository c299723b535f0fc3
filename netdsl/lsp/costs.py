"""Parameters of what passed through a statement, counted from the steps that it added."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from netdsl.analysis.count import Memo, totals
from netdsl.elaborate.scope import LayerBuilder, Scope, StepBuilder
from netdsl.elaborate.trace import Passed
from netdsl.ir.model import Definition
from netdsl.ops.base import Op
from netdsl.sizes.dims import Dim, product, total
from netdsl.source import Span


def parameters(drafts: Iterable[StepBuilder], memo: Memo, seen: set[LayerBuilder] | None = None) -> int:
    """The elements of all trainable tensors of these steps; a shared layer counts where it is used first."""
    seen = set() if seen is None else seen
    found = 0
    for draft in drafts:
        if isinstance(draft.callee, Scope):
            found += parameters(draft.callee.drafts, memo, seen)
        elif draft.callee is not None and draft.layer is not None and draft.layer not in seen:
            seen.add(draft.layer)
            found += _own(draft, memo)
    return found


def _own(draft: StepBuilder, memo: Memo) -> int:
    if isinstance(draft.callee, Definition):
        return totals(draft.callee, memo).params
    assert isinstance(draft.callee, Op)
    sizes = [product(p.shape) for p in draft.callee.params(*(w.type for w in draft.inputs)).values()]
    return sum(size for size in sizes if isinstance(size, int))


def macs(drafts: Iterable[StepBuilder], memo: Memo) -> Dim:
    """The multiply-accumulates of these steps at inference, for one sample."""
    return total(_macs(draft, memo) for draft in drafts)


def _macs(draft: StepBuilder, memo: Memo) -> Dim:
    callee = draft.callee
    if isinstance(callee, Scope):
        return macs(callee.drafts, memo)
    if isinstance(callee, Definition):
        return totals(callee, memo).macs
    if callee is None or not draft.outs or draft.training:
        return 0
    return callee.macs(draft.outs[0].type, *(w.type for w in draft.inputs))


def among(passed: Passed, parts: Sequence[Span]) -> list[list[StepBuilder]]:
    """The steps of a statement that each of its parts wrote, which are in order and apart."""
    source, starts = passed.module.source, [part.start for part in parts]
    found: list[list[StepBuilder]] = [[] for _ in parts]
    for draft in passed.drafts:
        at = draft.place.span
        part = bisect_right(starts, at.start) - 1
        if draft.place.source is source and part >= 0 and at.end <= parts[part].end:
            found[part].append(draft)
    return found
