"""Dropout right before batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.pairs import pairs
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic


def check(file: File) -> Iterator[Diagnostic]:
    for first, _ in pairs(file, ("dropout", "dropout2d", "gaussian_dropout"), ("bn",)):
        message = f"`{kind_of(first)}` right before `bn` changes the variance in training and not in use"
        yield warning("dropout-before-norm", message, first.place, "put it behind the last `bn`")
