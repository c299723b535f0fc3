"""Texts with values in them: `f"{n} channels"`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netdsl.budget import spend
from netdsl.diagnostics.diagnostic import fault
from netdsl.elaborate.values import describe
from netdsl.sizes.dims import Size
from netdsl.source import Place

LONGEST = 10_000
"""Characters of a text that is put together."""


def text_of(parts: Iterable[tuple[Any, Place]]) -> str:
    """The parts one after another. Raises Fault for what is neither a text, a number nor `true` or `false`."""
    text = ""
    for value, at in parts:
        if not isinstance(value, str | int | float):
            hint = "its size is known only when the net is used" if isinstance(value, Size) else None
            raise fault("argument-value", f"a text holds texts and numbers, found {describe(value)}", at, hint)
        text += str(value).lower() if isinstance(value, bool) else str(value)
        spend(len(text) // 100)
        if len(text) > LONGEST:
            raise fault("too-large", f"this text is longer than {LONGEST:,} characters", at)
    return text
