"""Python's operators and functions on plain values and sizes, with limits, so that no spec can exhaust the machine."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from netdsl.budget import spend
from netdsl.diagnostics.diagnostic import Edit, Fault, Hint, fault
from netdsl.elaborate.values import ArithArrow, BlockArrow, Captured, It, Tensor, describe, is_arrow
from netdsl.sizes.dims import Dim, Size, extreme
from netdsl.source import Place
from netdsl.syntax.limits import BITS

LIMIT = 100_000
"""The longest list or loop."""

SHOWN_VALUES = 4
"""How many values a message lists."""

SMALL = 1 << 32
SAFE = {"+": SMALL, "-": SMALL, "*": SMALL, "**": 8}
"""Operators under which a whole number below SMALL and one up to this, both from 0, stay within BITS."""


def binary(op: str, left: Any, right: Any, at: Place) -> Any:
    """`left op right`. Raises Fault for types Python would refuse, for zero divisors, and past the limits."""
    if isinstance(left, Size) or isinstance(right, Size):
        return _size_arithmetic(op, left, right, at)
    if op == "**":
        _check_power(left, right, at)
    if isinstance(left, tuple | str) or isinstance(right, tuple | str):
        _check_list(op, left, right, at)
    try:
        value = OPERATORS[op](left, right)
    except ZeroDivisionError:
        raise fault("bad-arithmetic", f"`{left} {op} {right}` divides by zero", at) from None
    except OverflowError:
        raise fault("too-large", f"`{left} {op} {right}` is too large a number", at) from None
    except (TypeError, ValueError, KeyError):
        message = f"`{op}` is not defined for {describe(left)} and {describe(right)}"
        raise fault("operator-types", message, at) from None
    if isinstance(value, complex):
        raise fault("bad-arithmetic", f"`{left} {op} {right}` is not a real number", at)
    if isinstance(value, int) and value.bit_length() > BITS:
        raise fault("too-large", "this number is too large to be a size or a count", at)
    return value


def _check_power(left: Any, right: Any, at: Place) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > BITS:
        raise fault("too-large", "this power is too large to be a size or a count", at)


def _check_list(op: str, left: Any, right: Any, at: Place) -> None:
    """Raise Fault where a list or a text would be too long, and for Python's formatting of texts with `%`."""
    if op not in ("+", "*"):
        message = f"`{op}` is not defined for {describe(left)} and {describe(right)}"
        raise fault("operator-types", message, at)
    listed = [len(v) for v in (left, right) if isinstance(v, tuple | str)]
    times = [v for v in (left, right) if isinstance(v, int) and op == "*"]
    if sum(listed) * max([1, *times]) > LIMIT:
        raise fault("too-large", f"this list would have more than {LIMIT:,} items", at)


def _size_arithmetic(op: str, left: Any, right: Any, at: Place) -> Any:
    if (
        not all(isinstance(v, int | Size) and not isinstance(v, bool) for v in (left, right))
        or op not in SIZE_OPERATORS
    ):
        hint = "divide sizes with `//`" if op == "/" else None
        raise fault("operator-types", f"`{op}` is not defined for {describe(left)} and {describe(right)}", at, hint)
    try:
        return SIZE_OPERATORS[op](left, right)
    except ZeroDivisionError:
        raise fault("bad-arithmetic", f"`{left} {op} {right}` divides by zero", at) from None


def unary(op: str, value: Any, at: Place) -> Any:
    """`-value`, `+value` or `not value`."""
    if op == "not":
        return not truth(value, at)
    if isinstance(value, bool) or not isinstance(value, int | float | Size):
        raise fault("operator-types", f"`{op}` is not defined for {describe(value)}", at)
    return -value if op == "-" else value


def truth(value: Any, at: Place) -> bool:
    """Whether a condition holds. Raises Fault for an input of a net, of which a condition would ask nothing."""
    if isinstance(value, Tensor) and value.wire.scope.fed and value.wire in value.wire.scope.inputs:
        message = f"`{at.text}` is an input, which is always there: this asks nothing of what it holds"
        hint = "conditions are decided when a spec is compiled; `where(condition=..., a=..., b=...)` is a layer"
        raise fault("operator-types", message, at, hint)
    return counts(value, at)


def counts(value: Any, at: Place) -> bool:
    """Whether a value counts as true. Raises Fault for a symbolic size, which is not decided."""
    if isinstance(value, Size):
        raise fault("undecided", f"whether `{value}` is zero depends on the image", at, "fix it with `--size`")
    return True if is_arrow(value) else bool(value)


def compare(op: str, left: Any, right: Any, at: Place) -> bool:
    """`left op right`. Raises Fault where it depends on a symbolic size or on a tensor, or has no meaning."""
    _check_tensors(op, left, right, at)
    if isinstance(left, Size) or isinstance(right, Size):
        left, right = _compared_sizes(op, left, right, at)
    if op.endswith("in") and not isinstance(right, tuple | str):
        raise fault("operator-types", f"`{op}` needs a list, found {describe(right)}", at)
    try:
        return bool(COMPARISONS[op](left, right))
    except TypeError:
        raise fault("operator-types", f"cannot compare {describe(left)} with {describe(right)}", at) from None


def _check_tensors(op: str, left: Any, right: Any, at: Place) -> None:
    """Raise Fault for a comparison that depends on what a tensor holds. With `none`, none does."""
    arrows, one_in_a_list = (is_arrow(left), is_arrow(right)), op.endswith("in")
    hint: Hint | str | None = None
    if any(arrows) and any(map(_is_number, (left, right))):
        hint = _as_layer(op, at)
    elif any(map(_is_tensor, (left, right))) and (one_in_a_list or all(arrows)):
        hint = _of_two(op, at)
    if hint is not None:
        raise fault("operator-types", f"cannot compare {describe(left)} with {describe(right)}", at, hint)


TESTS = {
    ">": "greater({})", "<": "less({})", "==": "equal({})", "!=": "equal({}) -> logical_not",
    ">=": "less({}) -> logical_not", "<=": "greater({}) -> logical_not",
}  # fmt: skip
"""Comparisons of a tensor with a number, as layers."""

NOT_KNOWN = "what a tensor holds is not known when a spec is compiled"

MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


def _as_layer(op: str, at: Place) -> Hint:
    """How a comparison of a tensor with a number is written, as an edit where it stands alone at a place."""
    words = f"{NOT_KNOWN}: `equal`, `less` and `greater` are layers"
    left, *rest = re.split(r"\s*(?:(?<!-)[<>]=?|[!=]=)\s*", at.text)
    if len(rest) != 1 or op not in TESTS:
        return Hint(words)
    right = rest[0]
    if re.fullmatch(r"-?[\d.e-]+", left):
        left, right, op = right, left, MIRRORED.get(op, op)
    code = f"{left} -> {TESTS[op].format(right)}"
    return Hint(f"{words}: `{code}`", (Edit(at, code),))


def _of_two(op: str, at: Place) -> str:
    """How a comparison of two tensors is written."""
    said = f": compare their difference, as in `(x - y) -> {TESTS[op].format(0)}`" if op in TESTS else ""
    return NOT_KNOWN + said


def _is_tensor(value: Any) -> bool:
    return isinstance(value, It | Tensor | Captured)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Size) and not isinstance(value, bool)


def is_mask(value: Any) -> bool:
    """Whether a value is a tensor of bool."""
    known = value.wire.type if isinstance(value, Tensor) else value.type if isinstance(value, Captured) else None
    return known is not None and known.dtype == "bool"


def joined(op: str, left: Any, evaluate: Callable[[], Any], at: Place) -> Any:
    """The operand that `and` or `or` gives where its left side does not decide, or is a mask; `evaluate` gives the
    right one. Raises Fault for two masks: of things that may be absent it would take one."""
    decided = op == "or" and is_mask(left)
    try:
        right = evaluate()
    except Fault:
        if decided:  # it may ask for something that is absent
            return left
        raise
    if is_mask(left) and is_mask(right):
        message = f"`{op}` does not join what two tensors hold: it chooses one of two values when a spec is compiled"
        instead = f"where(condition=a, a={'b, b=a' if op == 'and' else 'a, b=b'})"
        raise fault("operator-types", message, at, f"`{instead}` is `a {op} b` at every place")
    return left if decided else right


def _compared_sizes(op: str, left: Any, right: Any, at: Place) -> tuple[Any, int]:
    if isinstance(left, int | Size) and isinstance(right, int | Size):
        difference = left - right
        if isinstance(difference, int):
            return difference, 0
        hint = "give it with `--size`, or write the block so that it does not depend on it"
        raise fault("undecided", f"`{left} {op} {right}` depends on the image", at, hint)
    raise fault("operator-types", f"cannot compare {describe(left)} with {describe(right)}", at)


class Refused(Exception):  # noqa: N818 - what a function says of its arguments, for a diagnostic
    """Arguments of which a function can say more than what it takes."""


def call(name: str, function: Callable[..., Any], values: Sequence[Any], at: Place) -> Any:
    """Call a function of BUILTINS. Raises Fault for values it does not take; Python's own words stay inside."""
    if name == "sum" and (total := _summed(values, at)) is not None:
        return total
    try:
        value = function(*values)
    except Refused as refused:
        raise fault("argument-value", f"`{name}`: {refused}", at) from None
    except (TypeError, ValueError, ArithmeticError, IndexError):
        raise _refused(name, values, at) from None
    if isinstance(value, int) and value.bit_length() > BITS:
        raise fault("argument-value", f"`{name}`: this number is too large to be a size or a count", at)
    return replace(value, at=at) if isinstance(value, BlockArrow) else value


def _refused(name: str, values: Sequence[Any], at: Place) -> Fault:
    """The mistake of values that a function does not take."""
    found = ", ".join(map(describe, values[:SHOWN_VALUES])) + (", ..." if len(values) > SHOWN_VALUES else "")
    message = f"`{name}` takes {TAKES[name]}, found {found or 'nothing'}"
    lists = sum(isinstance(v, tuple) for v in values)
    return fault("argument-value", message, at, _WALKED if name == "enumerate" and lists > 1 else None)


_WALKED = "lists are walked side by side by `zip`: `for i, (a, b) in enumerate(zip(first, second))`"


def _range(*bounds: int) -> tuple[int, ...]:
    numbers = range(*bounds)
    if len(numbers) > LIMIT:
        raise Refused(f"more than {LIMIT:,} numbers")
    return tuple(numbers)


def _extreme(kind: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    def pick(*values: Any) -> Any:
        items = values[0] if len(values) == 1 else values
        if not any(isinstance(i, Size) for i in items):
            return plain(items)
        for item in items:
            if isinstance(item, bool) or not isinstance(item, int | Size):
                raise Refused(f"cannot compare {describe(item)} with a named size")
        return extreme(kind, items)

    return pick


def _zip(*lists: Any) -> tuple[Any, ...]:
    spend(len(lists) * min(map(len, lists), default=0))
    return tuple(zip(*lists, strict=False))


def _round(number: Any, digits: Any = None) -> Any:
    """Python's, which computes `10 ** -digits` for a whole number whatever that takes."""
    if isinstance(digits, int) and abs(digits) > BITS:
        raise Refused(f"cannot round to {digits} digits")
    return round(number, digits)


def _sum(values: Iterable[Any]) -> Any:
    total: Any = 0
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | Size):
            raise Refused(f"cannot add {describe(value)}")
        total = total + value
    return total


def _summed(values: Sequence[Any], at: Place) -> ArithArrow | None:
    """The sum of a list that holds tensors or layers, `a + b + c`; None where it holds none."""
    items = values[0] if len(values) == 1 and isinstance(values[0], tuple) else ()
    if not any(map(is_arrow, items)):
        return None
    first, *rest = sorted(items, key=is_arrow, reverse=True)
    spend(len(rest))
    for item in rest:
        check_term(item, at)
    return ArithArrow(first, tuple([("+", item, at) for item in rest or (0,)]), at)


def check_term(item: Any, at: Place) -> None:
    """Raise Fault for what no operator takes beside a tensor."""
    if not is_arrow(item) and (isinstance(item, bool | Size) or not isinstance(item, int | float)):
        raise fault("operator-types", f"a tensor cannot meet {describe(item)}", at)


def _length(value: Any) -> int:
    if not isinstance(value, tuple | str):
        raise Refused(f"{describe(value)} has no length")
    return len(value)


def _whole(value: Any) -> Dim:
    return value if isinstance(value, Size) else int(value)


_TAP = re.compile(r"[A-Za-z_]\w*(\.[0-9]{1,6})?")


def _taps(part: Any, *labels: Any) -> BlockArrow:
    """A net that gives the values of its labels."""
    if not isinstance(part, BlockArrow):
        raise Refused(f"the first is a net, found {describe(part)}")
    if not labels or not all(isinstance(label, str) and _TAP.fullmatch(label) for label in labels):
        raise Refused('after the net come its labels, as in `taps(ResNet50, "stages.2", "stages.3")`')
    return replace(part, taps=labels)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow,
}  # fmt: skip
SIZE_OPERATORS = {op: OPERATORS[op] for op in ("+", "-", "*", "//", "%")}
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    **ORDERS, "in": lambda a, b: a in b, "not in": lambda a, b: a not in b,
}  # fmt: skip
BUILTINS: dict[str, Callable[..., Any]] = {
    "range": _range,
    "zip": _zip,
    "enumerate": lambda a, start=0: tuple(enumerate(a, start)),
    "len": _length,
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "sum": _sum,
    "round": _round,
    "abs": lambda x: abs(x),
    "int": _whole,
    "float": lambda x: float(x),
    "reversed": lambda a: tuple(reversed(a)),
    "sorted": lambda a: tuple(sorted(a)),
    "taps": _taps,
}
NUMERIC: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt, "log": math.log, "exp": math.exp, "floor": math.floor, "ceil": math.ceil, "sin": math.sin,
    "cos": math.cos,
}  # fmt: skip
"""Layers of one value that are functions of a number too."""

TAKES = {
    "sqrt": "a number from 0",
    "log": "a number above 0",
    "exp": "a number below 700",
    "floor": "a finite number",
    "ceil": "a finite number",
    "sin": "a finite number",
    "cos": "a finite number",
    "range": "one to three whole numbers, of which the third is not 0",
    "zip": "lists",
    "enumerate": "a list, and perhaps a whole number to begin with",
    "len": "one list or text",
    "min": "numbers, or a list of them",
    "max": "numbers, or a list of them",
    "sum": "one list of numbers",
    "round": "a finite number, and perhaps how many digits are kept",
    "abs": "one number",
    "int": "one finite number",
    "float": "one number",
    "reversed": "one list",
    "sorted": "one list of numbers, or of texts",
    "taps": "a net and its labels",
}
"""What each function takes, in words."""
