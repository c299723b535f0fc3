"""The parser made from the grammar."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.syntax.build import Builder
from netdsl.syntax.layout import Layout

if TYPE_CHECKING:
    from lark import Lark


@cache
def grammar() -> str:
    """The text of the reference grammar: beside this file in a wheel, in `grammar/` in a checkout."""
    here = Path(__file__).with_name("netdsl.lark")
    return (here if here.exists() else Path(__file__).parents[2] / "grammar" / "netdsl.lark").read_text("utf-8")


@cache
def parser() -> Lark:
    from lark import Lark

    return Lark(grammar(), parser="lalr", lexer="contextual", postlex=Layout(), transformer=Builder())
