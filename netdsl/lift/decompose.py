"""From a flat graph to nested terms: what lies between one value and the next that all paths pass is one statement.

A value that everything after it is computed from is where a chain is cut (a dominator). Between two cuts stands one op
that joins branches (a residual link, a concat), each of which is decomposed in the same way. What two branches share
gets a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from netdsl.ir.model import Value
from netdsl.lift.links import added
from netdsl.lift.model import Call, Lifted, LiftError
from netdsl.lift.names import free
from netdsl.lift.naming import value_names
from netdsl.lift.term import IT, Term, WeightOf, items, seq, term, use_of
from netdsl.ops.linear import TiedLinear
from netdsl.ops.tables import Expression, Table

Name = str

DEEPEST = 60
"""How deep branches may be nested in each other."""

LONG, AGAIN = 5, 3
"""How long a chain has to be that flows beside a value with a name, and at how many of its steps this is read."""

MOST_VISITS = 10_000_000
"""How many values may be visited in all, some ten seconds: what cells share in turns would be visited for ever."""


class Decomposer:
    """Makes terms of the calls of one net. `made`: the call that computes a value, by its name; `order`: the place of
    that call; `rank`: the place of the value itself, as the results of one call have one `order`; `sources`: the
    values that depend on no input (learnt tensors)."""

    def __init__(self, net: Lifted) -> None:
        self.net = net
        self.made: dict[Name, Call] = {v.name: c for c in net.calls for v in c.outputs}
        self.order = {v.name: i for i, c in enumerate(net.calls) for v in c.outputs}
        self.order |= {v.name: i - len(net.inputs) for i, v in enumerate(net.inputs)}
        self.rank = {name: i for i, name in enumerate((*(v.name for v in net.inputs), *self.made))}
        self.uses = Counter(v.name for c in net.calls for v in c.inputs)
        self.uses.update(o.value.name for o in net.outputs)
        self.sources = _sources(net)
        self.left = MOST_VISITS
        self.depth = 0

    def body(self) -> Term:
        """The statements of the net, in the order of its text."""
        flow = self.net.inputs[0].name if len(self.net.inputs) == 1 else None
        names: Mapping[Name, str] = {} if flow else {v.name: v.name for v in self.net.inputs}
        ends = tuple(o.value.name for o in self.net.outputs)
        learnt: list[Term] = []
        for call in self.net.calls:
            if not call.inputs and self.uses[call.outputs[0].name] > 1:
                statement, names = self._let(flow, call, names)
                learnt.append(statement)
        found = self.region(flow, ends[0], names) if len(ends) == 1 else self._several(flow, ends, names)
        return seq((*learnt, found))

    def _several(self, flow: Name | None, ends: tuple[Name, ...], names: Mapping[Name, str]) -> Term:
        """A net with several outputs: what they share flows or has a name, then each is a statement."""
        common = self._common(flow, ends, names)
        start = self.region(flow, common, names) if common is not None and common != flow else IT
        at = flow if common is None else common
        lets, inner = self._named(at, ends, names)
        outputs = tuple(
            term("output", (("name", o.name),), (self.region(at, o.value.name, inner),)) for o in self.net.outputs
        )
        return term("seq", (), (*items(start), *lets, *outputs))

    def _common(self, flow: Name | None, ends: tuple[Name, ...], names: Mapping[Name, str]) -> Name | None:
        """The last value from which all outputs are computed alone."""
        chains = [self._cuts(flow, e, names) for e in ends]
        shared = set(chains[0]).intersection(*chains[1:])
        return next((v for v in reversed(chains[0]) if v in shared), None)

    def region(self, entry: Name | None, end: Name, names: Mapping[Name, str]) -> Term:
        """`end` as a term over the value `entry`, which flows in, and those that have names."""
        if end == entry:
            return IT
        if end in names:
            return term("ref", (("name", names[end]),))
        self.depth += 1
        if self.depth > DEEPEST:
            raise LiftError(f"its branches are nested more than {DEEPEST} deep")
        found = self._chain(entry, end, names)
        self.depth -= 1
        return found

    def _chain(self, entry: Name | None, end: Name, names: Mapping[Name, str]) -> Term:
        """The statements from cut to cut, after those that name what several of them read beside what flows."""
        return self._statements(entry, self._cuts(entry, end, names), names)

    def _statements(self, entry: Name | None, cuts: Sequence[Name], names: Mapping[Name, str]) -> Term:
        """The statements from cut to cut."""
        found: list[Term] = []
        start = cuts[0] if cuts[0] == entry or cuts[0] in names else None
        steps = cuts[1:] if start is not None else cuts
        lets, names = self._let_all(entry, [[v.name for v in self.made[s].inputs] for s in steps], names, cuts)
        if start is not None and start != entry:
            found.append(term("ref", (("name", names[start]),)))
        at = entry if start is None else start
        for value in steps:
            found += self._beside(at, value, names) or self._step(at, value, names)
            at = value
        return seq((*lets, *_opened(found)))

    def _cuts(self, entry: Name | None, end: Name, names: Mapping[Name, str]) -> list[Name]:
        """The values that every path to `end` passes, in order: paths from what flows in, otherwise from the named
        value that gives the longest chain."""
        inside = self._above(end, entry, names)
        values = sorted(inside, key=self.rank.__getitem__)
        roots: list[Name | None] = [entry] if entry in inside else [v for v in values if v in names]
        chains = [self._dominators(r, values, entry, names) for r in roots or [None]]
        return max(chains, key=lambda c: (len(c), len(c) > 1 and self.made[c[1]].inputs[0].name == c[0]))

    def _beside(self, entry: Name | None, end: Name, names: Mapping[Name, str]) -> list[Term]:
        """The statements from one cut to the next where a chain flows beside a value that its steps read again and
        again: this has a name. None where there is no such chain."""
        inside = self._above(end, entry, names)
        reads = Counter(n for v in inside for n in self._reads(v, entry, names) if n == entry)
        if entry is None or max(reads.values(), default=0) < AGAIN:
            return []
        values = sorted(inside.difference((entry, *names)), key=self.rank.__getitem__)
        chain = self._dominators(None, self._beyond(entry, values, names), entry, names)
        if not self._is_main(chain, entry, names):
            return []
        flow, names = self._entry_named(entry, names)
        return [*flow, *items(self._statements(None, chain, names))]

    def _beyond(self, entry: Name, values: Sequence[Name], names: Mapping[Name, str]) -> list[Name]:
        """The values that are computed from more than one value alone, as the steps of a net are that read a time."""
        alone = {entry}
        for value in values:
            reads = self._reads(value, None, names)
            if reads and alone.issuperset(reads):
                alone.add(value)
        return [v for v in values if v not in alone] or [*values]

    def _is_main(self, chain: Sequence[Name], entry: Name, names: Mapping[Name, str]) -> bool:
        """Whether a chain flows, and a value stands beside it: one that the ways from cut to cut read again and again,
        as those of a decoder read what was encoded, or that is no part of where the chain begins."""
        if len(chain) > 1 and entry not in self._above(chain[0], entry, names):
            return True
        names = {**names, entry: entry}
        ways = (self._above(value, before, names) for before, value in pairwise(chain))
        return len(chain) >= LONG and sum(entry in way for way in ways) >= AGAIN

    def _dominators(
        self, root: Name | None, values: Sequence[Name], entry: Name | None, names: Mapping[Name, str]
    ) -> list[Name]:
        """The values that all paths from a root to the last of the values pass; without a root, all paths."""
        dominator: dict[Name, Name | None] = {}
        depth: dict[Name | None, int] = {None: 0}
        for value in values:
            above = [n for n in self._reads(value, entry, names) if n in dominator]
            if root is not None and value != root and not above:
                continue  # beside the paths
            best: Name | None = above[0] if above else None
            for other in above[1:]:
                best = _meet(best, other, dominator, depth)
            dominator[value] = best
            depth[value] = depth[best] + 1
        self._visit(len(values))
        chain: list[Name] = []
        at: Name | None = values[-1]
        while at is not None:
            chain.append(at)
            at = dominator[at]
        return chain[::-1]

    def _reads(self, value: Name, entry: Name | None, names: Mapping[Name, str]) -> list[Name]:
        """The values that a value is computed from, without those that depend on nothing (learnt tensors)."""
        if value == entry or value in names:
            return []
        return [v.name for v in self.made[value].inputs if v.name not in self.sources]

    def _above(self, end: Name, entry: Name | None, names: Mapping[Name, str]) -> set[Name]:
        """The values that `end` is computed from, up to the roots, and itself."""
        found, waiting = {end}, [end]
        while waiting:
            for name in self._reads(waiting.pop(), entry, names):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        self._visit(len(found))
        return found

    def _visit(self, values: int) -> None:
        """Pay for visited values. Raises LiftError at the end of what may be visited."""
        self.left -= values
        if self.left < 0:
            raise LiftError("its branches share too many values with each other to be written as blocks")

    def _step(self, entry: Name | None, value: Name, names: Mapping[Name, str]) -> list[Term]:
        """The statements from one cut to the next."""
        call = self.made[value]
        lets, inner = self._named(entry, tuple(v.name for v in call.inputs), names)
        if value in inner:  # one of several results, which has a name now
            return [*lets, term("ref", (("name", inner[value]),))]
        if len(call.outputs) > 1:
            more, inner = self._let(entry, call, inner)
            return [*lets, more, term("ref", (("name", inner[value]),))]
        flow, inner, branches = self._branches(entry, call, inner)
        return [*lets, *flow, *_applied(call, branches)]

    def _branches(
        self, entry: Name | None, call: Call, names: Mapping[Name, str]
    ) -> tuple[list[Term], Mapping[Name, str], list[Term]]:
        """The operands of a call. Where the first one flows into the op, the others cannot mean by `it` what flowed
        before: it gets a name."""
        if entry is None or not self._is_read_later(entry, call, names):
            return [], names, [self.region(entry, v.name, names) for v in call.inputs]
        flow, names = self._entry_named(entry, names)
        first, *others = (v.name for v in call.inputs)
        return flow, names, [self.region(entry, first, names), *(self.region(None, v, names) for v in others)]

    def _entry_named(self, entry: Name, names: Mapping[Name, str]) -> tuple[list[Term], Mapping[Name, str]]:
        """The value that flows, with a name, and the statement that gives it one."""
        if entry not in self.made:
            return [], {**names, entry: entry}
        if entry in names:
            return [], names
        names = {**names, entry: free("x", set(names.values()))}
        return [term("let", (("names", (names[entry],)),), (IT,))], names

    def _is_read_later(self, entry: Name, call: Call, names: Mapping[Name, str]) -> bool:
        """Whether a later operand reads what flows, while another value flows into the op."""
        if not call.op.takes_it or call.inputs[0].name == entry:
            return False
        others = [v.name for v in call.inputs[1:] if v.name == entry or v.name not in names]
        return any(entry in self._above(other, entry, names) for other in others)

    def _named(
        self, entry: Name | None, ends: Sequence[Name], names: Mapping[Name, str]
    ) -> tuple[list[Term], Mapping[Name, str]]:
        """Statements that name what several of the values `ends` share, and the names after them."""
        return self._let_all(entry, [[e] for e in ends], names)

    def _let_all(
        self, entry: Name | None, groups: Sequence[Sequence[Name]], names: Mapping[Name, str], also: Sequence[Name] = ()
    ) -> tuple[list[Term], Mapping[Name, str]]:
        """Statements that name what several groups of values share; `also`: values that are known by then."""
        found: list[Term] = []
        for value in self._shared(groups, {entry, *names, *also, *(v.name for v in self.net.inputs)}):
            if value not in names:
                statement, names = self._let(entry, self.made[value], names)
                found.append(statement)
        return found, names

    def _shared(self, groups: Sequence[Sequence[Name]], known: Collection[Name | None]) -> list[Name]:
        """The values that need a name: computed on the way to several groups of values. Each value belongs to the one
        that all its readers belong to; where they belong to several, it has a name, and what only it needs belongs to
        it."""
        inside = self._all_above([e for g in groups for e in g], known)
        owners: dict[int, set[Any]] = {}
        for place, group in enumerate(groups):
            for end in group:
                owners.setdefault(self.order[end], set()).add(("end", place))
        found: list[Name] = []
        for index in sorted(inside, reverse=True):
            call, own = self.net.calls[index], owners[index]
            if len(own) > 1:
                found += [v.name for v in call.outputs]
                own = {index}
            for value in call.inputs:
                if value.name not in known:
                    owners.setdefault(self.order[value.name], set()).update(own)
        return sorted(found, key=self.order.__getitem__)

    def _all_above(self, ends: Sequence[Name], known: Collection[Name | None]) -> set[int]:
        """The calls that values are computed by, with those that depend on nothing."""
        waiting = [e for e in ends if e not in known]
        found = {self.order[e] for e in waiting}
        while waiting:
            for value in self.made[waiting.pop()].inputs:
                if value.name not in known and self.order[value.name] not in found:
                    found.add(self.order[value.name])
                    waiting.append(value.name)
        self._visit(len(found))
        return found

    def _let(self, entry: Name | None, call: Call, names: Mapping[Name, str]) -> tuple[Term, Mapping[Name, str]]:
        """A statement that names the results of a call."""
        own = value_names(call, [self.uses[v.name] > 0 for v in call.outputs], set(names.values()))
        if len(call.outputs) > 1:
            lets, inner = self._named(entry, tuple(v.name for v in call.inputs), names)
            flow, inner, branches = self._branches(entry, call, inner)
            value = seq((*lets, *flow, *_applied(call, branches)))
        else:
            value = self.region(entry, call.outputs[0].name, names)
        given = {v.name: n for v, n in zip(call.outputs, own, strict=True)}
        return term("let", (("names", tuple(own)),), (value,)), {**names, **given}


def _opened(found: list[Term]) -> tuple[Term, ...]:
    """`x -> it + y` as `x + y`, and `x` alone before a chain that begins with another value as that chain."""
    if len(found) > 1 and found[0].head == "ref" == found[1].head:
        found = found[1:]
    if len(found) < 2 or found[0].head != "ref" or found[1].head not in OPERATORS or IT not in found[1].kids:
        return tuple(found)
    kids = tuple(found[0] if k is IT else k for k in found[1].kids)
    return (term(found[1].head, found[1].fields, kids), *found[2:])


OPERATORS = ("op:add", "op:sub", "op:mul", "op:div")


def _sources(net: Lifted) -> set[Name]:
    """The values that depend on no input of the net."""
    found: set[Name] = set()
    for call in net.calls:
        if all(v.name in found for v in call.inputs):
            found.update(v.name for v in call.outputs)
    return found


def _meet(
    a: Name | None, b: Name | None, dominator: Mapping[Name, Name | None], depth: Mapping[Any, int]
) -> Name | None:
    """The nearest common dominator."""
    while a != b:
        if depth[a] >= depth[b]:
            a = dominator[a] if a is not None else None
        else:
            b = dominator[b] if b is not None else None
    return a


def _applied(call: Call, branches: list[Term]) -> list[Term]:
    """An op on what flows in: the op itself where it takes one value, otherwise with its branches inside."""
    if call.share and not isinstance(call.op, TiedLinear):
        first, *others = branches
        given = (*call.op.operands, *call.op.optional_operands)[: len(others)]
        return [*items(first), use_of(call.share, given, others)]
    if isinstance(call.op, Table):
        return _computed(call.op.expression)
    fields = fields_of(call)
    head = f"op:{call.kind}"
    if not call.op.takes_it:
        if call.kind == "add":
            return [added(call, branches)]
        return [term(head, fields, tuple(branches))]
    first, *others = branches
    made = term(head, fields, tuple(others))
    return [*items(first), made]


def _computed(expression: Expression) -> list[Term]:
    """The ops of a table, as they are written."""
    inputs = tuple(Value("", kind) for kind in expression.types)
    call = Call(expression.op, inputs, (Value("", expression.type),), {})
    return _applied(call, [seq(tuple(_computed(i))) for i in expression.inputs])


def fields_of(call: Call) -> tuple[tuple[str, Any], ...]:
    """The arguments of an op, as literals: lists are tuples."""
    hidden = {call.op.unpacked} if call.op.unpacked and len(call.outputs) > 1 else set()
    fields = tuple((n, getattr(call.op, n)) for n in call.op.__struct_fields__ if n not in hidden)
    if isinstance(call.op, TiedLinear):
        return ("axis", call.op.axis), ("weight", WeightOf(call.share)), ("bias", False)
    return fields


def layers_of(net: Lifted) -> dict[str, Term]:
    """The shared layers of a net, by name."""
    return {
        c.share: term(f"op:{c.kind}", fields_of(c))
        for c in reversed(net.calls)
        if c.share and not isinstance(c.op, TiedLinear)
    }
