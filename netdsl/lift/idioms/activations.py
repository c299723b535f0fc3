"""Activations in parts: GELU in five nodes, SiLU in two, the hard ones of MobileNet v3."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

from netdsl.lift.idioms.engine import Rule, becomes, pattern_rule
from netdsl.ops import REGISTRY

TOLERANCE = 1e-4


def times(factor: float) -> Callable[[Any], bool]:
    """Whether a `scalar` multiplies by a factor, however that is written."""

    def test(op: Any) -> bool:
        found = op.value if op.operator == "*" else 1 / op.value if op.operator == "/" and not op.reverse else None
        return found is not None and abs(found - factor) < TOLERANCE * abs(factor)

    return test


def plus(shift: float) -> Callable[[Any], bool]:
    return lambda op: op.operator == "+" and abs(op.value - shift) < TOLERANCE


def scaled(x: Any, factor: float) -> tuple[Any, ...]:
    return ("scalar", (x,), times(factor))


def halves(x: Any, curve: Any) -> list[Any]:
    """`x * (1 + curve) / 2` in the orders in which exporters multiply."""
    one = ("scalar", (curve,), plus(1.0))
    return [
        scaled(("mul", (x, one)), 0.5),
        ("mul", (scaled(x, 0.5), one)),
        ("mul", (x, scaled(one, 0.5))),
    ]


ERF = ("erf", (scaled("x", 1 / sqrt(2)),))
CUBES = [("pow", ("x",), lambda op: op.exponent == 3), ("mul", ("x", ("square", ("x",))))]
TANHS = [("tanh", (scaled(("add", ("x", scaled(cube, 0.044715))), sqrt(2 / pi)),)) for cube in CUBES]
SQUARED = ("scalar", (scaled(("square", ("x",)), 0.044715),), plus(1.0))
TANHS += [("tanh", (("mul", (scaled("x", sqrt(2 / pi)), SQUARED)),))]

SHIFTED = ("scalar", ("x",), plus(3.0))
CLIPPED = ("relu6", (SHIFTED,))


def _table() -> dict[str, tuple[Rule, ...]]:
    rows: list[tuple[Any, Any]] = [(p, REGISTRY["gelu"]()) for p in halves("x", ERF)]
    for curve in TANHS:
        rows += [(p, REGISTRY["gelu"](approximate="tanh")) for p in halves("x", curve)]
    rows += [(("mul", ("x", ("sigmoid", ("x",)))), REGISTRY["silu"]())]
    rows += [(("mul", ("x", ("hardsigmoid", ("x",)))), REGISTRY["hardswish"]())]
    rows += [(("mul", ("x", ("tanh", (("softplus", ("x",)),)))), REGISTRY["mish"]())]
    rows += [(("mul", ("x", "x")), REGISTRY["square"]())]
    rows += [(scaled(("mul", ("x", CLIPPED)), 1 / 6), REGISTRY["hardswish"]())]
    rows += [(scaled(CLIPPED, 1 / 6), REGISTRY["hardsigmoid"]())]
    found: dict[str, tuple[Rule, ...]] = {}
    for pattern, op in rows:
        found[pattern[0]] = (*found.get(pattern[0], ()), pattern_rule(pattern, becomes(op)))
    return found


ACTIVATIONS = _table()
"""By the kind of the last call."""
