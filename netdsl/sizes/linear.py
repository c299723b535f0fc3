"""Contradictions between several facts over named sizes, such as `H > W` and `H < W`.

Each fact says that a size is at least 0. A size is a row: factors of its terms and a constant, where a product or a
division is a term like a name, with the bounds that are known of it. Terms are eliminated one by one (Fourier and
Motzkin): two rows in which a term has factors of opposite signs add up to one without it. Rows without terms that say
`-1 >= 0` are a contradiction. Rows of whole numbers are rounded to what whole numbers can satisfy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from math import gcd

from netdsl.budget import spend
from netdsl.sizes.dims import Atom, Dim, Extreme, Floor, Size, symbol
from netdsl.sizes.interval import interval

MOST_ROWS = 64
"""How many rows are held at once; where there would be more, no contradiction is looked for."""

Term = tuple[Atom, ...]
Row = tuple[frozenset[tuple[Term, int]], int]
"""Factors by term, and a constant: together at least 0."""


def contradictory(facts: Iterable[Dim]) -> bool:
    """Whether no positive whole numbers make all of these sizes at least 0 at once. False also where it is not seen."""
    rows = _bounded({_row(fact) for fact in facts})
    while len(rows) <= MOST_ROWS:
        if any(constant < 0 for factors, constant in rows if not factors):
            return True
        term = _next_term(rows)
        if term is None:
            return False
        rows = _without(term, rows)
    return False


def _row(size: Dim) -> Row:
    terms = size.terms if isinstance(size, Size) else (((), size),)
    return _rounded({m: c for m, c in terms if m}, sum(c for m, c in terms if not m))


def _rounded(factors: dict[Term, int], constant: int) -> Row:
    """A row whose factors have no common divisor: `2*H - 2*W - 1 >= 0` says `H - W - 1 >= 0`."""
    common = reduce(gcd, factors.values(), 0)
    if common > 1:
        factors, constant = {t: c // common for t, c in factors.items()}, constant // common
    return frozenset(factors.items()), constant


def _bounded(rows: set[Row]) -> set[Row]:
    """These rows, with those that say what is known of each of their terms, and of the terms of those."""
    rows, waiting, seen = set(rows), list(rows), set[Term]()
    while waiting:
        for term, _ in waiting.pop()[0]:
            if term not in seen:
                seen.add(term)
                more = {_row(fact) for fact in _known(term)} - rows
                rows |= more
                waiting += more
    return rows


def _known(term: Term) -> list[Dim]:
    """The sizes that are at least 0 because of what a term is: its distance to its bounds, the rest of a division."""
    itself = Size(((term, 1),))
    low, high = interval(itself)
    facts: list[Dim] = [itself - low] if isinstance(low, int) else []
    facts += [high - itself] if isinstance(high, int) else []
    atom = term[0] if len(term) == 1 else None
    if isinstance(atom, Floor) and isinstance(atom.denominator, int):
        rest = atom.numerator - atom.denominator * itself
        facts += [rest, atom.denominator - 1 - rest]
    elif isinstance(atom, Extreme):
        facts += [itself - a if atom.kind == "max" else a - itself for a in atom.args]
    return facts


def _next_term(rows: set[Row]) -> Term | None:
    """The term whose elimination leaves the fewest rows."""
    counts: dict[Term, list[int]] = {}
    for factors, _ in rows:
        for term, factor in factors:
            counts.setdefault(term, [0, 0])[factor > 0] += 1
    return min(counts, key=lambda t: (counts[t][0] * counts[t][1] - sum(counts[t]), str(t)), default=None)


def _without(term: Term, rows: set[Row]) -> set[Row]:
    """Eliminate a term: what the rows say of the others."""
    above: list[tuple[int, dict[Term, int], int]] = []
    below: list[tuple[int, dict[Term, int], int]] = []
    rest: set[Row] = set()
    for factors, constant in rows:
        row = dict(factors)
        factor = row.pop(term, 0)
        if factor:
            (above if factor > 0 else below).append((abs(factor), row, constant))
        else:
            rest.add((factors, constant))
    spend(len(above) * len(below) * 2)
    for p, a, above_constant in above:
        for q, b, below_constant in below:
            joined = {t: q * a.get(t, 0) + p * b.get(t, 0) for t in a.keys() | b.keys()}
            rest.add(_rounded({t: c for t, c in joined.items() if c}, q * above_constant + p * below_constant))
            if len(rest) > MOST_ROWS:
                return rest
    return rest


def differences(facts: Iterable[tuple[Dim, str]]) -> list[Dim]:
    """Sizes that are at least 0, of those that are by `>=`, or are 0 by `==`."""
    return [d for size, op in facts for d in ((size, size * -1) if op == "==" else (size,))]


def needed(bounds: Mapping[str, int], facts: Sequence[Dim]) -> dict[str, int]:
    """The least sizes that do not follow from the others and from facts over several names, each at least 0."""
    kept = dict(bounds)
    for name, least in bounds.items() if facts and len(facts) + len(kept) <= MOST_ROWS else ():
        others = [symbol(n) - m for n, m in kept.items() if n != name]
        if contradictory([*facts, *others, symbol(name) * -1 + (least - 1)]):
            del kept[name]
    return kept
