"""Symbolic sizes in one normal form, so that equal sizes are equal values.

A size is an integer polynomial over *atoms*: a named size (`H`), a floor division, a maximum or a minimum. Named sizes
stand for integers >= 1. Floor division is normalised (`(H + 2*1 - 3)//2 + 1` and `(H - 1)//2 + 1` are both
`(H + 1)//2`), which decides equality for every chain of convolutions and pools over one named size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from math import gcd
from typing import Union

from netdsl.budget import spend

LONG = 80
"""Characters beyond which a factor is not written twice."""

WIDE = 1024
"""Bits beyond which the arithmetic of a whole number is paid for."""

Dim = Union[int, "Size"]
"""A size: an `int` where it is known, a `Size` where it depends on a named size."""


class Atom:
    """An indivisible factor of a size. Equality and order follow from `key`."""

    __slots__ = ("_hash", "key", "symbols")

    def __init__(self, key: str, symbols: frozenset[str]) -> None:
        spend(4 + len(key) // 16)
        self.key = key
        self.symbols = symbols
        self._hash = hash(key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __hash__(self) -> int:
        return self._hash

    def __lt__(self, other: Atom) -> bool:
        return (len(self.key), self.key) < (len(other.key), other.key)

    def __str__(self) -> str:
        return self.key

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        raise NotImplementedError

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        raise NotImplementedError


class Symbol(Atom):
    """A named size."""

    __slots__ = ()

    def __init__(self, key: str) -> None:
        super().__init__(key, frozenset((key,)))

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        return sizes[self.key]

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        return sizes[self.key] if self.key in sizes else of_atom(self)


class Floor(Atom):
    """`numerator // denominator`, where it does not divide further."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Dim, denominator: Dim) -> None:
        self.numerator = numerator
        self.denominator = denominator
        super().__init__(f"{_bracket(numerator)}//{_bracket(denominator)}", symbols(numerator) | symbols(denominator))

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        return evaluate(self.numerator, sizes) // evaluate(self.denominator, sizes)

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        return floordiv(substitute(self.numerator, sizes), substitute(self.denominator, sizes))


class Extreme(Atom):
    """`max(...)` or `min(...)` of sizes that cannot be ordered."""

    __slots__ = ("args", "kind")

    def __init__(self, kind: str, args: tuple[Dim, ...]) -> None:
        self.kind = kind
        self.args = args
        super().__init__(f"{kind}({', '.join(map(str, args))})", frozenset[str]().union(*map(symbols, args)))

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        values = [evaluate(a, sizes) for a in self.args]
        return max(values) if self.kind == "max" else min(values)

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        return extreme(self.kind, [substitute(a, sizes) for a in self.args])


Monomial = tuple[Atom, ...]


class Size:
    """A sum of monomials with integer coefficients, at least one of them not constant."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Dim) -> Dim:
        if isinstance(other, Size):
            return _collect((*self.terms, *other.terms))
        monomial, constant = self.terms[-1]  # a constant term comes last
        varying, total = (self.terms, other) if monomial else (self.terms[:-1], constant + other)
        return Size((*varying, ((), total)) if total else varying)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + -1 * other

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return Size(tuple([(m, other * c) for m, c in self.terms])) if other else 0
        degree = 1 + len(self.terms[0][0]) + len(other.terms[0][0])
        spend(len(self.terms) * len(other.terms) * degree)
        products = [(_merge(m, n), a * b) for m, a in self.terms for n, b in other.terms]
        return _collect(products)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return self - other * floordiv(self, other)

    def __rmod__(self, other: Dim) -> Dim:
        return other - self * floordiv(other, self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            sign = "-" if coefficient < 0 else "+"
            body = _product(monomial, abs(coefficient))
            if not text and coefficient == -1 and isinstance(monomial[0], Floor):
                body = f"({body})"  # `-H//2` would be (-H)//2
            text += f" {sign} {body}" if text else (f"-{body}" if coefficient < 0 else body)
        return text


def symbol(name: str) -> Size:
    """The named size `name`."""
    return of_atom(Symbol(name))


def of_atom(atom: Atom) -> Size:
    return Size((((atom,), 1),))


def evaluate(size: Dim, sizes: Mapping[str, int]) -> int:
    """The value of a size, given the values of its named sizes. Raises KeyError for one that is not given."""
    if isinstance(size, int):
        return size
    spend(3 * len(size.terms))
    total = 0
    for monomial, coefficient in size.terms:
        for atom in monomial:
            coefficient *= atom.evaluate(sizes)
        total += coefficient
    return total


def substitute(size: Dim, sizes: Mapping[str, Dim]) -> Dim:
    """The size with named sizes replaced; those not given stay."""
    if isinstance(size, int):
        return size
    spend(6 * len(size.terms))
    return total(product((c, *(atom.substitute(sizes) for atom in monomial))) for monomial, c in size.terms)


def symbols(size: Dim) -> frozenset[str]:
    """The names that a size depends on."""
    if isinstance(size, int):
        return frozenset()
    return frozenset[str]().union(*(a.symbols for monomial, _ in size.terms for a in monomial))


def floordiv(a: Dim, b: Dim) -> Dim:
    """`a // b` in normal form. Raises ZeroDivisionError for a zero divisor."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if isinstance(b, Size):
        return _divide_by_size(a, b)
    assert isinstance(a, Size)
    if b < 0:
        return floordiv(-a, -b)
    if b == 0:
        raise ZeroDivisionError
    parts = [(m, *_quotient(m, c, b)) for m, c in a.terms]
    whole, rest = _collect([(m, q) for m, q, _ in parts]), _collect([(m, r) for m, _, r in parts])
    return whole + _reduced_floor(rest, b)


def _quotient(monomial: Monomial, coefficient: int, b: int) -> tuple[int, int]:
    """How much of a term is divided by `b` outside of the floor, and what is left inside.

    A long factor is not written twice: each pool and enlargement (`3*(x//2)`) would double the text of a size.
    """
    quotient, rest = divmod(coefficient, b)
    long = rest and quotient and sum(len(a.key) for a in monomial) > LONG
    return (0, coefficient) if long else (quotient, rest)


def _reduced_floor(rest: Dim, b: int) -> Dim:
    """`rest // b` where every coefficient of `rest` lies in [0, b), but for those of long factors."""
    if isinstance(rest, int):
        return rest // b
    constant = next((c for m, c in rest.terms if not m), 0)
    varying = [(m, c) for m, c in rest.terms if m]
    common = reduce(gcd, (c for _, c in varying), b)
    if common > 1:
        inner = _collect([(m, c // common) for m, c in varying]) + constant // common
        return floordiv(inner, b // common)
    (monomial, coefficient), *others = varying
    if not others and coefficient == 1 and len(monomial) == 1:
        atom = monomial[0]
        if isinstance(atom, Floor) and isinstance(atom.denominator, int):
            return floordiv(atom.numerator + constant * atom.denominator, atom.denominator * b)
    return of_atom(Floor(rest, b))


def _divide_by_size(a: Dim, b: Size) -> Dim:
    if a == 0:
        return 0
    if len(b.terms) == 1 and isinstance(a, Size):
        ((divisor, coefficient),) = b.terms
        quotients = [(_without(m, divisor), c) for m, c in a.terms]
        if all(q is not None for q, _ in quotients):
            return floordiv(_collect([(q, c) for q, c in quotients if q is not None]), coefficient)
    if a == b:
        return 1
    return of_atom(Floor(a, b))


def extreme(kind: str, args: Iterable[Dim]) -> Dim:
    """`max` or `min` of sizes; those whose difference is a known number are decided."""
    pick = max if kind == "max" else min
    kept: list[Dim] = []
    for arg in args:
        for i, other in enumerate(kept):
            difference = arg - other
            if isinstance(difference, int):
                kept[i] = other if pick(difference, 0) == 0 else arg
                break
        else:
            kept.append(arg)
    return kept[0] if len(kept) == 1 else of_atom(Extreme(kind, tuple(sorted(kept, key=str))))


def total(sizes: Iterable[Dim]) -> Dim:
    """The sum of sizes; 0 for none. Its terms are put in order once, not after every size."""
    whole, terms = 0, list[tuple[Monomial, int]]()
    for size in sizes:
        if isinstance(size, int):
            whole += size
        else:
            terms += size.terms
    return _collect((*terms, ((), whole))) if terms else whole


def product(sizes: Iterable[Dim]) -> Dim:
    """The product of sizes; 1 for none."""
    total: Dim = 1
    for size in sizes:
        total = total * size
        if isinstance(total, int) and total.bit_length() > WIDE:
            spend(total.bit_length() // WIDE)
    return total


def _merge(a: Monomial, b: Monomial) -> Monomial:
    return tuple(sorted((*a, *b))) if a and b else a or b


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    left = list(monomial)
    for atom in divisor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _collect(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    """The normal form of a sum of terms."""
    sums: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        spend(2 + len(monomial))
        sums[monomial] = sums.get(monomial, 0) + coefficient
    kept = [(m, c) for m, c in sums.items() if c]
    if all(not m for m, _ in kept):
        return kept[0][1] if kept else 0
    return Size(tuple(sorted(kept, key=lambda t: (-len(t[0]), t[0]))))


def _bracket(size: Dim) -> str:
    text = str(size)
    simple = isinstance(size, int) or (len(size.terms) == 1 and size.terms[0][1] == 1 and len(size.terms[0][0]) == 1)
    simple = simple and "//" not in text
    return text if simple else f"({text})"


def _product(monomial: Monomial, coefficient: int) -> str:
    atoms = [f"({a})" if isinstance(a, Floor) and (coefficient != 1 or len(monomial) > 1) else str(a) for a in monomial]
    return "*".join(atoms if coefficient == 1 and atoms else [str(coefficient), *atoms])
