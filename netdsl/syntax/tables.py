"""The parser, from the grammar.

Making the parse tables takes longer than all the rest, so they are kept: those of the tested version of lark beside
this file (`python -m netdsl.syntax.tables` writes them after a change of the grammar; a test compares), others in the
cache folder.
"""

from __future__ import annotations

import os
import zlib
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from netdsl.cache import remember, remembered
from netdsl.syntax.build import Builder
from netdsl.syntax.grammar import grammar
from netdsl.syntax.layout import Layout

if TYPE_CHECKING:
    from lark import Lark

BUILT = os.path.join(os.path.dirname(__file__), "netdsl.tables")


class Tables(msgspec.Struct, frozen=True, array_like=True):
    """The parse tables of lark for a grammar. `stamp` identifies the grammar and lark's version."""

    stamp: str
    data: dict[str, Any]
    memo: dict[int, Any]


@cache
def parser() -> Lark:
    """The parser of the reference grammar, which makes nodes of `netdsl.syntax.ast`."""
    return loaded(_kept() or build())


def loaded(tables: Tables) -> Lark:
    from lark import Lark

    from netdsl.syntax.lexer import Lexer

    reader: Lark = Lark._load_from_dict(  # type: ignore[no-untyped-call]
        tables.data,
        tables.memo,
        transformer=Builder(lambda text: reader.parse(text)),
        postlex=Layout(),
        _plugins={"ContextualLexer": Lexer},
    )
    return reader


def build() -> Tables:
    """New tables from the text of the grammar, kept in the cache folder."""
    from lark import Lark
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    made = Lark(grammar(), parser="lalr", lexer="contextual", postlex=Layout())
    made.options.options["postlex"] = None
    data, memo = made.memo_serialize([TerminalDef, Rule])
    tables = Tables(stamp(), _plain(data), _plain(memo))
    remember(f"{sha256(stamp().encode()).hexdigest()}.tables", packed(tables))
    return tables


def _kept() -> Tables | None:
    return unpacked(read_built()) or unpacked(remembered(f"{sha256(stamp().encode()).hexdigest()}.tables"))


def read_built() -> bytes | None:
    """The file of tables beside this one; None where there is none."""
    try:
        with open(BUILT, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def stamp() -> str:
    """A digest of what tables depend on: the grammar and the version of lark."""
    from lark import __version__

    return f"lark {__version__} {sha256(grammar().encode()).hexdigest()}"


def packed(tables: Tables) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(tables), 9)


def unpacked(content: bytes | None) -> Tables | None:
    """The tables in a file, unless it is damaged or of another grammar or lark."""
    try:
        tables = msgspec.msgpack.decode(zlib.decompress(content or b""), type=Tables)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return tables if tables.stamp == stamp() else None


def _plain(value: Any) -> Any:
    """Lists for tuples, and no width beyond 32 bits (lark writes "unbounded" as 2**64, which MessagePack has not)."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return min(value, 2**32) if type(value) is int else value


if __name__ == "__main__":
    with open(BUILT, "wb") as file:
        file.write(packed(build()))
