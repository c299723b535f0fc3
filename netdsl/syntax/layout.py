"""Newlines that end a statement: a filter between the lexer and the parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Token

OPENING = {"LPAR": True, "LSQB": True, "LBRACE": False}
"""The brackets, and whether newlines inside them are free."""

CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})
CONTINUING = frozenset({"ARROW", "_EQUAL", "VBAR", "COMMA"})
"""Tokens that no statement ends with: the next line continues."""


class Layout:
    """Drops the newlines inside ( ) and [ ], and those after a token that cannot end a statement.

    Braces inside brackets hold statements again: what counts is the innermost bracket that is open.
    """

    always_accept = ("_NEWLINE",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        free = [False]
        continuing = False
        for token in stream:
            kind = token.type
            if kind == "_NEWLINE":
                if free[-1] or continuing:
                    continue
            elif kind in OPENING:
                free.append(OPENING[kind])
            elif kind in CLOSING and len(free) > 1:
                free.pop()
            continuing = kind in CONTINUING
            yield token
