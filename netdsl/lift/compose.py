"""Shared layers that are always used together are one shared chain: the encoder of a Siamese net."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from netdsl.lift.names import free
from netdsl.lift.term import IT, Term, WeightOf, bound, free_of, items, seq, shared_name, size, term, use_of, walk
from netdsl.ops import REGISTRY

LONGEST = 64


def composed(body: Term, layers: Mapping[str, Term], taken: set[str]) -> tuple[Term, ...]:
    """The `share` statements of a net, and its statements. `layers`: what each shared layer is."""
    made, taken = dict(layers), taken | set(layers)
    while (run := _longest(body)) is not None:
        name = free("encoder", taken)
        taken.add(name)
        body = _replaced(body, run, use_of(name))
        made[name] = _opened(seq(run), made)
        for used in _names(run):
            made.pop(used, None)
    statements = tuple(term("share", (("name", n),), (layer,)) for n, layer in made.items())
    return (*statements, body)


def _longest(body: Term) -> tuple[Term, ...] | None:
    """The longest run of statements that occurs several times, whose shared layers are used in it alone."""
    total = Counter(_names((body,)))
    names = {v.name for t in walk(body) for _, v in t.fields if isinstance(v, WeightOf)}
    if max(total.values(), default=0) < 2:
        return None
    found = Counter(run for run in _runs(body) if _may_be_shared(run, names))
    fitting = [run for run, count in found.items() if count > 1 and _has_all(run, count, total)]
    fitting.sort(key=lambda run: sum(map(size, run)), reverse=True)
    return next((run for run in fitting if _is_whole(body, run)), None)


def _has_all(run: tuple[Term, ...], count: int, total: Mapping[str, int]) -> bool:
    """Whether a run that occurs so often has all uses of its layers, as far as their numbers show."""
    return all(total[n] == count * own for n, own in Counter(_names(run)).items())


def _is_whole(body: Term, run: tuple[Term, ...]) -> bool:
    """Whether no layer of a run is used beside its places, of which two may overlap."""
    rest = _replaced(body, run, IT)
    return set(_names(run)).isdisjoint(_names((rest,)))


def _names(run: Sequence[Term]) -> Iterator[str]:
    return (name for t in run for inner in walk(t) if (name := shared_name(inner)))


def _may_be_shared(run: tuple[Term, ...], tied: set[str]) -> bool:
    """Whether a run is a chain of shared layers and of ops without weights, that reads nothing beside what flows."""
    names = set(_names(run))
    if not names or (len(run) == 1 and shared_name(run[0])) or any(map(bound, run)):
        return False
    heads = {t.head for s in run for t in walk(s)}
    return free_of(run) <= names - tied and "output" not in heads and not any(map(_has_weights, heads))


def _has_weights(head: str) -> bool:
    return head.startswith("op:") and bool(REGISTRY[head[3:]].is_layer)


def _runs(body: Term) -> Iterator[tuple[Term, ...]]:
    statements = items(body)
    for start in range(len(statements)):
        for stop in range(start + 1, min(start + LONGEST, len(statements)) + 1):
            yield statements[start:stop]
    for statement in statements:
        for kid in statement.kids:
            yield from _runs(kid)


def _replaced(body: Term, run: tuple[Term, ...], by: Term) -> Term:
    statements, made, index = items(body), list[Term](), 0
    while index < len(statements):
        if statements[index : index + len(run)] == run:
            made.append(by)
            index += len(run)
        else:
            found = statements[index]
            kids = tuple(k if k.head == "it" else _replaced(k, run, by) for k in found.kids)
            made.append(found if kids == found.kids else term(found.head, found.fields, kids))
            index += 1
    return seq(tuple(made))


def _opened(found: Term, made: dict[str, Term]) -> Term:
    """A chain with its shared layers written out."""
    if shared_name(found) and not found.kids:
        return made[shared_name(found)]
    if not found.kids:
        return found
    kids = tuple(_opened(k, made) for k in found.kids)
    return seq(kids) if found.head == "seq" else term(found.head, found.fields, kids)
