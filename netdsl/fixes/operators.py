"""The operators around a part of a text: what they would take apart stands in brackets."""

from __future__ import annotations

import re

_OPERATOR_BEFORE = re.compile(r"(?:[-+*/%@]|\*\*)\s*$")
_OPERATOR_AFTER = re.compile(r"\s*(?:[+*/%@]|-(?!>))")

_TAKEN_APART = re.compile(r"->| [-+*/%@] ")

REACH = 12
"""Characters before and after a call in which an operator is sought."""


def among(text: str, start: int, end: int, code: str) -> str:
    """Code that takes the place of a part of a text: a pipeline in brackets where an operator would take it apart."""
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if _TAKEN_APART.search(code) and (_OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(after)):
        return f"({code})"
    return code
