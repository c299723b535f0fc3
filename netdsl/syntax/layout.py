"""Which newlines end a statement: a filter between the lexer and the parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netdsl.syntax.build import Misread

if TYPE_CHECKING:
    from lark import Token

DEEPEST = 60
"""How many brackets may be open at once; people write six."""

_OPENING = {"LPAR": True, "LSQB": True, "LBRACE": False}
_CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})
_CONTINUING = frozenset({"ARROW", "EQUAL", "VBAR", "COMMA"})


class Layout:
    """Drops the newlines inside ( ) and [ ], and those after a token that cannot end a statement.

    Braces inside brackets hold statements again: what counts is the innermost bracket that is open.
    """

    always_accept = ("_NEWLINE",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        free: list[bool] = [False]
        continuing = False
        for token in stream:
            kind = token.type
            if kind == "_NEWLINE":
                if free[-1] or continuing:
                    continue
            elif kind in _OPENING:
                free.append(_OPENING[kind])
                if len(free) > DEEPEST:
                    raise Misread("brackets are nested too deeply", token.start_pos or 0, token.end_pos or 0)
            elif kind in _CLOSING and len(free) > 1:
                free.pop()
            continuing = kind in _CONTINUING
            yield token
