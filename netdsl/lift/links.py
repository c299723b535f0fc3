"""Sums as residual links: where what flows in is added to a branch of it."""

from __future__ import annotations

from netdsl.lift.model import Call
from netdsl.lift.term import IT, Term, items, term


def added(call: Call, branches: list[Term]) -> Term:
    """A sum: a residual link where what flows in is added to a branch of it, or a short projection of it is."""
    a, b = branches
    same = call.inputs[0].type == call.inputs[1].type
    if same and _depends(a) and _depends(b):
        short, long = sorted((a, b), key=lambda t: len(items(t)))
        if short is IT and long is not IT:
            return term("residual", (), (IT, long))
        if len(items(short)) < len(items(long)) and len(items(short)) <= 3 and _has_layer(long, 2):
            return term("residual", (), (short, long))
    return term("op:add", (), (a, b))


def _depends(branch: Term) -> bool:
    """Whether a branch begins with what flows in."""
    first = items(branch)[0] if items(branch) else branch
    while first.head in ("op:add", "op:mul", "op:sub", "op:div", "let") and first.kids:
        first = items(first.kids[0])[0] if items(first.kids[0]) else first.kids[0]
    return first.head not in ("ref", "op:param")


def _has_layer(branch: Term, least: int) -> bool:
    layers = ("op:conv", "op:dwconv", "op:linear", "op:attention")
    return sum(t.head in layers for t in items(branch)) >= least
