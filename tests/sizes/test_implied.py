"""A least size that follows from the other constraints is not said, and what is said holds for the same sizes."""

from __future__ import annotations

from itertools import product

import pytest

from netdsl.pipeline import Spec
from netdsl.source import Source

CASES = {
    "L > M; M >= 3; L >= 4": ("M >= 3", "L > M"),
    "L > M; M >= 3; L >= 5": ("L >= 5", "M >= 3", "L > M"),
    "L == M; L >= 3; M >= 3": ("L >= 3", "L == M"),
    "L >= M; M >= L; L >= 3; M >= 2": ("L >= 3", "L >= M", "M >= L"),
    "L + M >= 7; L >= 4; M >= 3": ("L >= 4", "M >= 3", "L + M >= 7"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_follows_is_not_said(case: str) -> None:
    facts = case.split("; ")
    taken = "".join(f"  {n.lower()} = {i} -> narrow(0, {m}) -> reduce_mean(axis=0)\n" for n, i, m in _taken(facts))
    required = "".join(f"  require {f}\n" for f in facts if len(f.split()) > 3 or f.split()[2] in "LM")
    text = f"net A {{\n  input x [L, 4]\n  input y [M, 4]\n{required}{taken}"
    net = Spec(Source(text + "  l + m\n}\n", "a.net"), lambda *_: None).net("A")
    said = net.checked.constraints
    assert {str(c) for c in said} == set(CASES[case])
    for length, other in product(range(1, 12), repeat=2):
        sizes = {"L": length, "M": other}
        assert all(c.holds(sizes) for c in said) == all(eval(f, {}, sizes) for f in facts)


def _taken(facts: list[str]) -> list[tuple[str, str, str]]:
    """What each input is cut to: its name, the value, the length."""
    least = {f.split()[0]: f.split()[2] for f in facts if len(f.split()) == 3 and f.split()[2].isdigit()}
    return [("L", "x", least.get("L", "1")), ("M", "y", least.get("M", "1"))]
