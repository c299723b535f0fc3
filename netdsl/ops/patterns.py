"""Patterns of named axes as einops writes them, `c (h p) (w q) -> (h w) (p q c)`: read, and their sizes worked out.

The batch is not written. A side is a row of groups: `h` is a group of one name, `1` one of none.
"""

import re
from functools import cache
from typing import Any

from msgspec import Struct

from netdsl.ops.base import OpError, feature_axis, require
from netdsl.ops.features import moved
from netdsl.ops.reshaping import size_of
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, floordiv, product
from netdsl.tensors import UNCLEAR, TensorType

Groups = tuple[tuple[str, ...], ...]
"""The axes of one value: each is the product of the names in its group."""

_PART = re.compile(r"->|\.\.\.|[(),]|\w+|\S")
_NAME = re.compile(r"[A-Za-z_]\w*")


class Pattern(Struct, frozen=True):
    """A pattern: the axes of each value that comes in, and those of the result."""

    inputs: tuple[Groups, ...]
    result: Groups


@cache
def read_pattern(text: str) -> Pattern:
    """A pattern from its text. Raises OpError for what is none."""
    left, arrow, right = text.partition("->")
    if not arrow or "->" in right:
        raise _refused(f'a pattern has one `->`, found "{text}"')
    pattern = Pattern(tuple(_side(part, text) for part in left.split(",")), _side(right, text))
    for side in (*pattern.inputs, pattern.result):
        _check_once(flat(side), text)
    known = {n for side in pattern.inputs for n in flat(side)}
    new = next((n for n in flat(pattern.result) if n not in known), None)
    if new is not None:
        raise _refused(f'`{new}` stands on the right of "{text}" alone', "`expand` repeats a value along a new axis")
    return pattern


def _check_once(names: tuple[str, ...], text: str) -> None:
    twice = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise _refused(f'`{twice}` stands twice on one side of "{text}"')


def _side(text: str, whole: str) -> Groups:
    groups: list[tuple[str, ...]] = []
    inside: list[str] | None = None
    for part in _PART.findall(text):
        if part == "(" and inside is None:
            inside = []
        elif part == ")" and inside is not None:
            groups.append(tuple(inside))
            inside = None
        elif _NAME.fullmatch(part) or part == "1":
            names = [] if part == "1" else [part]
            if inside is None:
                groups.append(tuple(names))
            else:
                inside += names
        else:
            raise _refused(*_foreign(part, whole))
    if inside is not None:
        raise _refused(f'a bracket is never closed in "{whole}"')
    return tuple(groups)


def _foreign(part: str, whole: str) -> tuple[str, str]:
    """The message and hint for a part that has no meaning in a pattern."""
    message = f'`{part}` has no meaning in "{whole}"'
    if part == "...":
        return message, "all axes of a sample are named, and the batch is not written"
    if part.isdigit():
        return message, f"name this axis, and give its size beside the pattern: `n={part}`"
    return message, "a pattern holds names of axes, `1` and round brackets"


def _refused(message: str, hint: str | None = None) -> OpError:
    return OpError(message, argument="pattern", code="argument-value", hint=hint)


def flat(side: Groups) -> tuple[str, ...]:
    """The names of a side in order."""
    return tuple(name for group in side for name in group)


def spelled(side: Groups) -> str:
    """A side as it is written."""
    return " ".join(group[0] if len(group) == 1 else f"({' '.join(group)})" if group else "1" for group in side)


def given_sizes(sizes: tuple[tuple[str, Any], ...], names: tuple[str, ...]) -> dict[str, Dim]:
    """The sizes given beside a pattern. Raises OpError for a name that is not in it, and for what is no size."""
    for name, value in sizes:
        if name not in names:
            message = f"the pattern has no axis `{name}`"
            short = [n for n in names if name.startswith(n)]
            hint = f"it is called `{short[0]}` in the pattern" if len(short) == 1 else f"its axes: {', '.join(names)}"
            raise OpError(message, argument=name, code="unknown-argument", hint=hint)
        if isinstance(size_of(value, name), int) and value < 1:
            raise OpError(f"a size is at least 1, found {value}", argument=name, code="argument-value")
    return dict(sizes)


def bind(assume: Assumptions, side: Groups, x: TensorType, sizes: dict[str, Dim], operand: int = 0) -> None:
    """Add to `sizes` what the type of a value says of the names of its side. Raises OpError where they differ."""
    if len(side) != x.rank:
        message = f'"{spelled(side)}" names {_axes(len(side))}, found {x}'
        hint = "the batch is not written" if len(side) == x.rank + 1 and len(side[0]) == 1 else None
        raise OpError(message, operand=operand, argument="pattern", hint=hint)
    for axis, (group, size) in enumerate(zip(side, x.shape, strict=True)):
        known = product(sizes[n] for n in group if n in sizes)
        unknown = _unknown(group, size, sizes)
        if unknown is not None:
            message = f"axis {axis} of {x}, {size}, does not divide into {known} (`{spelled((group,))}`)"
            require(assume.equal(size % known, 0), message, argument="pattern", operand=operand, code="indivisible")
            sizes[unknown] = floordiv(size, known)
        else:
            message = f"axis {axis} of {x} should be {known} (`{spelled((group,))}`), found {size}"
            require(assume.equal(size, known), message, argument="pattern", operand=operand)


def _unknown(group: tuple[str, ...], size: Dim, sizes: dict[str, Dim]) -> str | None:
    """The name in a group whose size follows from the others. Raises OpError for two of them."""
    unknown = [n for n in group if n not in sizes]
    if len(unknown) > 1:
        message = f"how {size} divides into {' and '.join(f'`{n}`' for n in unknown)} is not said"
        hint = f"give {'one' if len(unknown) == 2 else 'all but one'} beside the pattern: `{unknown[-1]}=...`"
        raise OpError(message, argument="pattern", code="missing-argument", hint=hint)
    return unknown[0] if unknown else None


def _axes(count: int) -> str:
    return f"{count} ax{'i' if count == 1 else 'e'}s"


def features_of(names: tuple[Any, ...], x: TensorType) -> tuple[Any, ...]:
    """The features of a value by the names of its side, as a tuple of one; nothing where they can't be told."""
    return () if x.rank == 0 or x.features == UNCLEAR else (names[feature_axis(x)],)


def features_by_name(left: Groups, result: Groups, x: TensorType, given: TensorType) -> int | None:
    """Where the features are in a result whose axes are those of `x` by name: in the group that holds them whole.

    In a matrix whose axes were moved or joined they are where its author takes them to be.
    """
    matrix = len(result) <= 2
    if matrix and (x.features is None or not _keeps_axes(left, result)):
        return None
    for group in features_of(left, x):
        holding = [j for j, names in enumerate(result) if set(names) & set(group)]
        if len(holding) == 1 and set(group) <= set(result[holding[0]]):
            return moved(x, holding[0], given)
    return None if matrix else UNCLEAR


def _keeps_axes(left: Groups, result: Groups) -> bool:
    """Whether the result has axes of the value alone, in their order."""
    kept = [n for n in flat(left) if n in flat(result)]
    return kept == [*flat(result)] and all(len(group) <= 1 for group in (*left, *result))
