"""Named sizes in PyTorch text: a size as arithmetic on the shapes of the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import permutations

from netdsl.backends.torch.tree import Apply, Node, Num, Shape
from netdsl.ops.features import is_bare
from netdsl.sizes.dims import Dim, Extreme, Floor, Size, evaluate, floordiv, symbols
from netdsl.tensors import TensorType

DIVISORS = 64
"""Divisions by more than this are not looked for."""

Found = tuple[Dim, Shape]
"""A size that can be read off: an axis of an input."""


def express(size: Dim, values: Mapping[int, TensorType]) -> Node:
    """A size in terms of the shapes of values, given by number.

    Each name of a net is declared as an axis of an input, and what a block's own values don't tell it is given
    (`supply.py`): every size is found, if only as arithmetic on those axes.
    """
    found = found_in(size, values)
    assert found is not None, f"{size} is in none of {[*map(str, values.values())]}"
    return found


def found_in(size: Dim, values: Mapping[int, TensorType]) -> Node | None:
    """A size in terms of the shapes of values, given by number; None where they do not tell it."""
    shapes = [(d, Shape(i, -1 if is_bare(t) else k + 1)) for i, t in values.items() for k, d in enumerate(t.shape)]
    return _express(size, [(d, s) for d, s in shapes if isinstance(d, Size)])


def _express(size: Dim, known: list[Found]) -> Node | None:
    if isinstance(size, int):
        return Num(size)
    exact = next((shape for dim, shape in known if dim == size), None)
    rules = (_linear, _quotient, _difference, _product, _sum)
    return exact or next((tree for rule in rules if (tree := rule(size, known)) is not None), None)


def _linear(size: Size, known: list[Found]) -> Node | None:
    """`a * d + b`."""
    for dim, shape in known:
        for factor in _factors(size, dim):
            rest = size - factor * dim
            if isinstance(rest, int):
                return _affine(shape, factor, rest)
    return None


def _factors(size: Size, dim: Dim) -> Iterator[int]:
    """By how much a size grows with another, where that may be a whole number."""
    names = symbols(size)
    if names != symbols(dim):
        return
    near, far = (dict.fromkeys(names, v) for v in (10_080, 20_160))
    grown, base = evaluate(size, far) - evaluate(size, near), evaluate(dim, far) - evaluate(dim, near)
    if base and grown % base == 0 and grown:
        yield grown // base


def _affine(shape: Node, factor: int, rest: int) -> Node:
    scaled = shape if factor == 1 else Apply("*", (Num(factor), shape))
    if rest == 0:
        return scaled
    return Apply("+", (scaled, Num(rest))) if rest > 0 else Apply("-", (scaled, Num(-rest)))


def _quotient(size: Size, known: list[Found]) -> Node | None:
    """`(d + b) // c`."""
    for dim, shape in known:
        if symbols(size) != symbols(dim):
            continue
        at = dict.fromkeys(symbols(size), 10_007)
        wanted, whole = evaluate(size, at), evaluate(dim, at)
        for divisor in range(2, DIVISORS + 1):
            for rest in range(1 - divisor, divisor):  # numbers first: thousands of divisions of sizes take a second
                if (whole + rest) // divisor == wanted and floordiv(dim + rest, divisor) == size:
                    return Apply("//", (_affine(shape, 1, rest), Num(divisor)))
    return None


def _difference(size: Size, known: list[Found]) -> Node | None:
    """`d - e`, or half of it: what is cut off on one side."""
    for (a, left), (b, right) in permutations(known, 2):
        rest = Apply("-", (left, right))
        if a - b == size:
            return rest
        if floordiv(a - b, 2) == size:
            return Apply("//", (rest, Num(2)))
    return None


def _product(size: Size, known: list[Found]) -> Node | None:
    """`d * rest`, where a known size divides this one."""
    for dim, shape in known:
        rest = floordiv(size, dim)
        if rest != size and rest != 0 and rest * dim == size and _is_simpler(rest, size):
            other = _express(rest, known)
            if other is not None:
                return Apply("*", (other, shape) if isinstance(other, Num) else (shape, other))
    return None


def _is_simpler(part: Dim, whole: Size) -> bool:
    return len(str(part)) < len(str(whole))


def _sum(size: Size, known: list[Found]) -> Node | None:
    """Term by term, and inside divisions, maxima and minima."""
    if len(size.terms) > 1:
        (monomial, coefficient), *rest = size.terms
        first = _express(Size(((monomial, coefficient),)), known) if monomial else Num(coefficient)
        other = _express(size - Size(((monomial, coefficient),)) if monomial else Size(tuple(rest)), known)
        return Apply("+", (first, other)) if first and other else None
    ((monomial, coefficient),) = size.terms
    if len(monomial) == 1 and coefficient == 1:
        return _atom(monomial[0], known)
    parts = [_express(Size((((atom,), 1),)), known) for atom in monomial]
    if any(p is None for p in parts):
        return None
    factors = [p for p in parts if p is not None]
    return reduce(lambda a, b: Apply("*", (a, b)), factors if coefficient == 1 else [Num(coefficient), *factors])


def _atom(atom: object, known: list[Found]) -> Node | None:
    if isinstance(atom, Floor):
        return _applied("//", (atom.numerator, atom.denominator), known)
    return _applied(atom.kind, atom.args, known) if isinstance(atom, Extreme) else None


def _applied(operator: str, args: tuple[Dim, ...], known: list[Found]) -> Node | None:
    parts = [_express(a, known) for a in args]
    return None if any(p is None for p in parts) else Apply(operator, tuple(parts))
