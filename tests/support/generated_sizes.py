"""Generated arithmetic of sizes: trees such as `("//", ("+", "H", 1), 3)`, computed with sizes or with integers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from netdsl.sizes.dims import extreme

DIVISORS = st.one_of(
    st.integers(-9, 9).filter(bool), st.sampled_from([10, 16, 30, 97, 1000]), st.sampled_from(["H", "W", ("+", "H", 1)])
)
"""By what sizes are divided: numbers of both signs and sizes; none is ever zero."""


def expressions(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Trees of arithmetic: ("+", left, right), ("//", left, 3), ..."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["+", "-", "*", "max", "min"]), inner, inner),
            st.tuples(st.sampled_from(["//", "%"]), inner, DIVISORS),
            st.tuples(st.just("-"), inner),
        ),
        max_leaves=8,
    )


def compute(tree: Any, names: dict[str, Any]) -> Any:
    """The value of a tree, with sizes or with integers for names."""
    if not isinstance(tree, tuple):
        return names.get(tree, tree)
    op, a, *rest = tree[0], *(compute(t, names) for t in tree[1:])
    if not rest:
        return -a
    (b,) = rest
    if op in ("max", "min"):
        return extreme(op, [a, b])
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "//": lambda: a // b, "%": lambda: a % b}[op]()
