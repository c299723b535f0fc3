"""Two linear maps with nothing between them, which are one."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import kind_of, op_of
from netdsl.checks.lint.pairs import pairs
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Step

MAPS = ("linear", "conv")


def check(file: File) -> Iterator[Diagnostic]:
    """A narrow layer between two wide ones limits the rank, and grouped or large kernels factorise: both are meant."""
    for first, second in pairs(file, MAPS, MAPS):
        if _is_dense(first) and _is_dense(second) and kind_of(first) == kind_of(second):
            given, middle, result = (_width(v.type.shape, first) for v in (*first.inputs, *first.outs, *second.outs))
            if isinstance(middle, int) and middle >= min(w for w in (given, result) if isinstance(w, int)):
                kind = kind_of(first)
                message = f"`{kind}` follows `{kind}` with nothing between: together they are one linear map"
                yield warning("adjacent-linear", message, second.place, "put an activation between them")


def _width(shape: tuple[object, ...], step: Step) -> object:
    return shape[-1 if kind_of(step) == "linear" and len(shape) <= 2 else 0]


def _is_dense(step: Step) -> bool:
    """Whether every output of a layer reads every channel at one position, or a window of them."""
    return kind_of(step) == "linear" or op_of(step).groups == 1
