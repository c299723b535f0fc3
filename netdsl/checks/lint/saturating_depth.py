"""Many saturating activations in a row."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.activations import SATURATING
from netdsl.checks.lint.depth import Known, deepest
from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Step

FEWEST = 6
"""Glorot & Bengio 2010: five layers of sigmoids hardly train from random weights."""


def check(file: File) -> Iterator[Diagnostic]:
    known: Known = {}
    for block, _ in file.blocks:
        depth = deepest(file, block, _is_saturating, known)
        if depth >= FEWEST:
            message = f"`{block.name.id}` has {depth} saturating activations in a row: the gradient vanishes in them"
            hint = "`relu`, a norm between, or residual links"
            yield warning("saturating-depth", message, file.module.place(block.name.at), hint)


def _is_saturating(step: Step) -> int:
    return int(kind_of(step) in SATURATING)
