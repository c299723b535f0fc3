"""Braces opened: `concat({ ... }, x)` of a long branch and a named value is the branch, then `concat(it, x)`. Where
branches are nested deep in each other, what flows into them gets a name: the levels of a U-Net stand one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netdsl.lift.names import free as spare
from netdsl.lift.term import IT, Later, Term, bound, free, free_of, items, seq, term, walk
from netdsl.ops import REGISTRY

DEEP = 4
"""So deep are branches nested at most."""


def unnested(body: Term, taken: Iterable[str] = ()) -> Term:
    """The same term with fewer braces. `taken`: names that no value may get."""
    names = {n for t in walk(body) for n in bound(t)}
    return _Opener(names.union(free(body), taken)).opened(body)


class _Opener:
    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self._depth: dict[Term, int] = {}

    def opened(self, found: Term, is_deep: bool = False) -> Term:
        made: list[Term] = []
        later = Later(items(found))
        for place, statement in enumerate(items(found), 1):
            several = self._statements(statement, is_deep)
            if later.reads(_names(several) - bound(statement), place):
                made.append(self._inside(statement))
            else:
                made += several
        return seq(tuple(made))

    def _inside(self, found: Term, is_deep: bool = False) -> Term:
        return term(found.head, found.fields, tuple(self.opened(k, is_deep) for k in found.kids))

    def _statements(self, found: Term, is_deep: bool) -> list[Term]:
        """A statement as several, where it joins one long branch with values that have names, or that get one."""
        if not _joins(found):
            return [self._inside(found)]
        is_deep |= self._levels(found) > DEEP
        name = spare("x", self.taken) if is_deep and IT in found.kids else ""
        self.taken.add(name)
        made = self._inside(found, is_deep)
        long = [k for k in made.kids if _is_long(k, is_deep)]
        others = [k for k in made.kids if k not in long]
        if len(long) != 1 or not _may_follow(items(long[0]), others, name):
            return [made]
        return _one_after_another(made, long[0], name if IT in others else "")

    def _levels(self, found: Term) -> int:
        """How deep joins are nested in each other."""
        if found not in self._depth:
            inner = max(map(self._levels, found.kids), default=0)
            self._depth[found] = inner + _joins(found)
        return self._depth[found]


def _joins(found: Term) -> bool:
    return found.head.startswith("op:") and len(found.kids) > 1 and not REGISTRY[found.head[3:]].takes_it


def _one_after_another(found: Term, long: Term, name: str) -> list[Term]:
    """The long branch of a join, then the join; before them a name for what flows, if the join needs it."""
    flow = term("ref", (("name", name),))
    kids = tuple(IT if k is long else flow if k is IT else k for k in found.kids)
    named = (term("let", (("names", (name,)),), (IT,)),) if name else ()
    return [*named, *items(long), term(found.head, found.fields, kids)]


def _is_long(branch: Term, is_deep: bool) -> bool:
    return (is_deep and len(items(branch)) > 1) or any(map(bound, items(branch)))


def _may_follow(branch: Sequence[Term], others: Sequence[Term], name: str) -> bool:
    """Whether the other operands mean the same behind a branch; `name`: that of what flows, if it may get one."""
    if not all(k is IT or _is_named(k) for k in others) or (IT in others and not name):
        return False
    return _names(branch).isdisjoint(free_of(others))


def _names(statements: Iterable[Term]) -> frozenset[str]:
    return frozenset[str]().union(*map(bound, statements))


def _is_named(found: Term) -> bool:
    """Whether a branch begins with a named value, and so takes nothing of what flows."""
    return items(found)[0].head == "ref" if items(found) else False
