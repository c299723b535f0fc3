"""Pooling of a single position, which changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, key, kind_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic

POOLS = ("maxpool", "avgpool", "lppool", "gap", "gmp")


def check(file: File) -> Iterator[Diagnostic]:
    """Reported where the input is a single position wherever the text is used."""
    single: dict[At, bool] = {}
    steps = [s for s in file.flow.steps if kind_of(s) in POOLS and file.owns(s.place)]
    for step in steps:
        spatial = step.inputs[0].type.spatial
        is_single = bool(spatial) and all(size == 1 for size in spatial)
        single[key(step.place)] = single.get(key(step.place), True) and is_single
    for step in steps:
        if single.pop(key(step.place), False):
            message = f"`{kind_of(step)}` pools {step.inputs[0].type}, a single position"
            yield warning("idle-pool", message, step.place)
