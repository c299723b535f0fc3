"""Many layers in a row without a normalisation or a link around them."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.depth import Known, deepest
from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Step

LAYERS = ("conv", "linear", "upconv")
DEEPEST = 22
"""VGG-19 trains with care; He et al. 2015 trained 22 plain layers, and 30 only with their own initialisation."""


def check(file: File) -> Iterator[Diagnostic]:
    known: Known = {}
    for block, _ in file.blocks:
        depth = deepest(file, block, _is_layer, known)
        if depth > DEEPEST:
            message = f"`{block.name.id}` has {depth} layers in a row without a normalisation or a residual link"
            hint = "`bn` behind the layers, or residual links around them"
            yield warning("plain-depth", message, file.module.place(block.name.at), hint)


def _is_layer(step: Step) -> int:
    return int(kind_of(step) in LAYERS)
