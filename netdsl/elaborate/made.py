"""An op from its arguments, each checked against its type."""

from __future__ import annotations

import re

import msgspec

from netdsl.diagnostics.diagnostic import Fault, did_you_mean, fault
from netdsl.elaborate.hints import of_argument, of_switch
from netdsl.elaborate.positions import words
from netdsl.elaborate.values import CallPlace, OpArrow, describe
from netdsl.ops.base import Op


def make(arrow: OpArrow) -> Op:
    """The op with its arguments checked against their types. Raises Fault for one that does not fit."""
    try:
        return msgspec.convert(dict(arrow.arguments), arrow.op)
    except msgspec.ValidationError as error:
        raise _bad_argument(arrow, str(error)) from None


def _bad_argument(arrow: OpArrow, message: str) -> Fault:
    found = re.search(r"`\$\.(\w+)", message)
    name = found[1] if found else ""
    value = dict(arrow.arguments).get(name)
    at = arrow.at.arguments.get(name, arrow.at) if isinstance(arrow.at, CallPlace) else arrow.at
    choices, nothing_else = words(arrow.op, name) if name else ((), False)
    if nothing_else or (isinstance(value, str) and choices):
        listed = ", ".join(f"`{c}`" for c in choices)
        given = f"`{value}`" if isinstance(value, str) else describe(value)
        return fault(
            "unknown-word",
            f"`{name}` of `{arrow.op.kind}` is one of {listed}; found {given}",
            at,
            did_you_mean(str(value), choices),
        )
    expected = re.search(r"Expected (.*?)(, got| - at|$)", message)
    wanted = _in_words(expected[1]) if expected else "something else"
    message = f"`{name}` of `{arrow.op.kind}` must be {wanted}, found {describe(value)}"
    hint = of_switch(value, name, choices) or of_argument(value, at.text) or arrow.op.hints.get(name)
    return fault("argument-type", message, at, hint)


def _in_words(expected: str) -> str:
    plain = expected.replace("`", "")
    for pattern, words_ in ((r"\bint\b", "a whole number"), (r"\bfloat\b", "a number"), (r"\bbool\b", "true or false")):
        plain = re.sub(pattern, words_, plain)
    return plain.replace("array", "a tuple").replace("null", "none").replace(" | ", " or ").replace("str", "a word")
