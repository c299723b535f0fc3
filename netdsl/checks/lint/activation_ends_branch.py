"""An activation that never gives negative numbers at the end of a residual branch."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, key, kind_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic

POSITIVE = ("relu", "relu6", "sigmoid", "hardsigmoid", "softplus")


def check(file: File) -> Iterator[Diagnostic]:
    done: set[At] = set()
    for link in file.flow.links:
        place = link.producer.place
        ends = any(u.step.residual and u.operand == len(u.step.inputs) - 1 for u in link.uses)
        if ends and kind_of(link.producer) in POSITIVE and file.owns(place) and key(place) not in done:
            done.add(key(place))
            kind = kind_of(link.producer)
            message = f"`{kind}` ends a residual branch: the branch can only add to its input, never take away"
            yield warning("activation-ends-branch", message, place, f"put `{kind}` behind the sum")
