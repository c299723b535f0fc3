"""Laws of comparisons, over pairs of nets of the zoo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest
from msgspec.structs import replace
from zoo_tables import spec, specs

from netdsl.analysis.count import buffers, parameters, totals
from netdsl.diff.compare import Comparer
from netdsl.diff.groups import Group, Rest, groups
from netdsl.diff.model import Cost, Entry, NetDiff, Pair, mirrored
from netdsl.diff.nets import compare_nets, walk
from netdsl.diff.text import Line, lines
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Definition, Program

Named = tuple[str, str]

FIRST = [(path.stem, spec(path.stem).nets[0]) for path in specs() if spec(path.stem).nets]
LAST = [(path.stem, spec(path.stem).nets[-1]) for path in specs() if len(spec(path.stem).nets) > 1]
EVERY = [(path.stem, net) for path in specs() for net in spec(path.stem).nets]
WITHIN = [(a, b) for a, b in pairwise(EVERY) if a[0] == b[0]]
QUICK = [*list(pairwise(FIRST))[::6], *list(zip(LAST, LAST[7:], strict=False))[::7], *WITHIN[::20]]
SLOW = [p for p in [*pairwise(FIRST), *zip(LAST, LAST[7:], strict=False), *WITHIN] if p not in QUICK]

pairs = pytest.mark.parametrize(
    ("before", "after"),
    [
        *(pytest.param(*p, id=f"{p[0][1]}-{p[1][1]}") for p in QUICK),
        *(pytest.param(*p, id=f"{p[0][1]}-{p[1][1]}", marks=pytest.mark.slow) for p in SLOW),
    ],
)


def program(name: Named) -> Program:
    return spec(name[0]).net(name[1]).checked


@cache
def compared(before: Named, after: Named) -> NetDiff:
    return compare_nets(program(before), program(after), (before[1], after[1]))


def every(pair: Pair, seen: set[Pair] | None = None) -> Iterator[Pair]:
    """A pair and all those inside of it, each once."""
    seen = set() if seen is None else seen
    if pair not in seen:
        seen.add(pair)
        yield pair
        for entry in pair.entries:
            if entry.body is not None:
                yield from every(entry.body, seen)


def keys(definition: Definition) -> Counter[str]:
    """The state dict of a definition, counted by the passes that other commands use."""
    return Counter([*(p.path for p in parameters(definition)), *(b.path for b in buffers(definition) if b.persistent)])


def ops(entry: Entry, before: bool) -> int:
    """How many op calls a step stands for, on one side."""
    item = entry.before if before else entry.after
    if item is None:
        return 0
    return len(flatten(Program(item.callee, ()), training=True)) if isinstance(item.callee, Definition) else 1


def dump(pair: Pair) -> object:
    """A comparison as plain values."""
    return tuple(_dump(e) for e in pair.entries), pair.fields


def _dump(e: Entry) -> object:
    sides = tuple((i.name, i.label, i.cost) if i else None for i in (e.before, e.after))
    return e.kind, sides, e.fields, e.arguments, e.moved, dump(e.body) if e.body else None


@pairs
def test_every_step_of_both_is_accounted_for(before: Named, after: Named) -> None:
    diff = compared(before, after)
    for pair in every(diff.pair):
        for side, definition in ((True, pair.before), (False, pair.after)):
            whole = len(flatten(Program(definition, ()), training=True))
            assert sum(ops(e, side) for e in pair.entries) == whole
    assert Counter(t.before for t in diff.tensors if t.before) == keys(diff.pair.before)
    assert Counter(t.after for t in diff.tensors if t.after) == keys(diff.pair.after)


@pairs
def test_costs_add_up_at_every_level(before: Named, after: Named) -> None:
    diff = compared(before, after)
    for pair in every(diff.pair):
        for side, definition in (("before", pair.before), ("after", pair.after)):
            counted = totals(definition)
            paid = sum((getattr(e, side).cost for e in pair.entries if getattr(e, side)), Cost())
            assert paid.params == counted.params
            if not any(i.training for e in pair.entries for i in e.items):
                assert paid == Cost(counted.params, counted.macs, counted.activation_bytes)
    whole = diff.after.cost - diff.before.cost
    assert sum((f.delta for f in walk(diff.pair)), Cost()) == whole
    check_groups(*groups(diff.pair.entries), whole)
    check_lines(*lines(*groups(diff.pair.entries)), whole)


def check_groups(found: tuple[Group, ...], rest: Rest, whole: Cost) -> None:
    """The groups of a comparison add up to what it is a comparison of, at every level."""
    assert sum((g.delta for g in found), rest.cost) == whole
    for group in found:
        if group.first.body is not None:
            check_groups(group.inside, group.rest, group.delta)


def check_lines(found: tuple[Line, ...], rest: Rest, whole: Cost) -> None:
    """So do the lines that a reader sees."""
    assert sum((line.group.delta for line in found), rest.cost) == whole
    for line in found:
        if line.inside:
            check_lines(line.inside, line.rest, line.group.delta)


@pairs
def test_swapped_nets_give_the_mirrored_comparison(before: Named, after: Named) -> None:
    forth, back = compared(before, after), compared(after, before)
    assert dump(mirrored(forth.pair)) == dump(back.pair)
    assert dump(mirrored(mirrored(forth.pair))) == dump(forth.pair)
    assert {f.mirrored() for f in forth.fields} == set(back.fields)
    assert Counter((t.before, t.after, t.fits) for t in forth.tensors) == Counter(
        (t.after, t.before, t.fits) for t in back.tensors
    )


@pairs
def test_only_equal_nets_have_nothing_to_tell_of(before: Named, after: Named) -> None:
    a, b = program(before), program(after)
    same_name = replace(b.main, name=a.main.name)
    ports = ([v.name for v in p.main.inputs] + [o.name for o in p.main.outputs] for p in (a, b))
    same = Comparer().same(a.main, same_name) and len({tuple(p) for p in ports}) == 1
    assert compared(before, after).equal == (same and list(map(str, a.constraints)) == list(map(str, b.constraints)))


@pytest.mark.parametrize("name", [*LAST[::5], *(pytest.param(n, marks=pytest.mark.slow) for n in EVERY)])
def test_a_net_is_itself(name: Named) -> None:
    again = type(spec(name[0]))(spec(name[0]).source, spec(name[0]).read).net(name[1]).checked
    diff = compare_nets(program(name), again, ("a", "b"))
    assert diff.equal
    assert groups(diff.pair.entries) == ((), Rest())
    assert all(t.before == t.after and t.fits for t in diff.tensors)
