"""Initial scales of residual branches (Fixup, SkipInit), and the nets for which they are defined."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.analysis.residual_branches import Branch
from netdsl.diagnostics.diagnostic import fault

RESIDUAL = "write them as `residual { ... }`"


def fixup_factors(branches: Sequence[Branch]) -> dict[str, float]:
    """The factors of the weights of residual branches, by path. Raises Fault where they cannot be derived."""
    if not branches:
        raise fault("no-residual-links", "`fixup` scales residual branches, and this net has none", None, RESIDUAL)
    factors: dict[str, float] = {}
    for branch in branches:
        if branch.norm is not None:
            hint = "`zero_last_norm` lets the blocks of a net with norms start as the identity"
            message = f"`fixup` is for nets without norms; the branch added at `{branch.at}` ends in one"
            raise fault("unfit-branch", message, None, hint)
        if not branch.weights:
            hint = "let it end in a convolution or a linear, at most scaled or gated"
            message = f"`fixup` finds no layer that ends the branch added at `{branch.at}`"
            raise fault("unfit-branch", message, None, hint)
        first, last = branch.weights[:-1], branch.weights[-1]
        scale = len(branches) ** (-1 / (2 * len(first))) if first else 1.0
        for path, factor in (*((p, scale) for p in first), (last, 0.0)):
            if bool(factors.get(path, factor)) != bool(factor):
                hint = "0 for both would leave nothing to learn: give each place weights of its own"
                message = f"`{path}` is shared by the last layer of a residual branch and another one"
                raise fault("unfit-branch", message, None, hint)
            factors[path] = min(factor, factors.get(path, factor))
    return factors


def multipliers(branches: Sequence[Branch]) -> list[str]:
    """The learnt factor at the end of every branch, by path. Raises Fault where there is none."""
    hint = "write it as `residual(scale=1) { ... }`, or end the branch with `it * param(())`"
    if not branches:
        raise fault("no-residual-links", "`skipinit` needs residual branches, and this net has none", None, hint)
    found = []
    for branch in branches:
        if branch.multiplier is None:
            message = f"`skipinit` needs a learnt factor at the end of the branch added at `{branch.at}`"
            raise fault("unfit-branch", message, None, hint)
        found.append(branch.multiplier)
    return found
