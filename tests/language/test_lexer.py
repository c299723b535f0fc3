"""The lexer finds the tokens of lark's own contextual one, and compiles few patterns for it."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from lark import Lark
from lark.exceptions import UnexpectedInput
from lark.lexer import BasicLexer, ContextualLexer, PatternRE
from paths import ROOT

from netdsl.syntax import tables
from netdsl.syntax.build import Builder, Misread
from netdsl.syntax.layout import Layout
from netdsl.syntax.lexer import Lexer

TEXTS = [path.read_text() for path in sorted((ROOT / "specs").glob("*.net"))]
WORDS = re.findall(
    r"\S+",
    """
input output group freeze vary measure compare plot share repeat require residual training when against where extends
epochs step for in if else not and or true none net block recipe ( ) [ ] { } -> | = == : , . 1 2.5e3 0x1F " ' # @ $ as
weight x.weight ** * - as import from expect f" a.b.c
""",
)


def kept() -> tables.Tables:
    found = tables.unpacked(tables.read_built())
    assert found is not None
    return found


def plain() -> Lark:
    """The parser with lark's own lexer."""
    made = kept()
    reader: Lark = Lark._load_from_dict(
        made.data, made.memo, transformer=Builder(lambda text: reader.parse(text)), postlex=Layout()
    )
    return reader


def state_lexers(reader: Lark) -> list[Any]:
    """The lexers of a parser, each once."""
    contextual: Any = reader.parser.lexer.lexer  # type: ignore[attr-defined]
    return [*{id(x): x for x in (*contextual.lexers.values(), contextual.root_lexer)}.values()]


def read(reader: Lark, text: str) -> object:
    """What a parser makes of a text: the tree, or all that is known of the mistake."""
    try:
        return reader.parse(text)
    except UnexpectedInput as error:
        accepts = sorted(error.interactive_parser.accepts()) if hasattr(error, "interactive_parser") else None
        return type(error), error.pos_in_stream, str(error), accepts
    except Misread as error:
        return error.start, error.end, error.message


def test_it_reads_as_larks_own_lexer_does() -> None:
    ours, theirs, rng = tables.parser(), plain(), random.Random(5)
    assert type(theirs.parser.lexer.lexer) is ContextualLexer  # type: ignore[attr-defined]
    for text in rng.sample(TEXTS, 3):
        assert read(ours, text) == read(theirs, text)
    for _ in range(60):
        text = rng.choice(TEXTS)
        middle = rng.randrange(len(text))
        text = text[max(0, middle - 150) : middle + 150]
        cut = rng.randrange(len(text))
        text = (
            text[:cut]
            + rng.choice(" \n")
            + rng.choice(WORDS)
            + rng.choice(("", " "))
            + text[cut + rng.choice((0, 4)) :]
        )
        assert read(ours, text) == read(theirs, text), text


def test_few_patterns_are_compiled_for_many_specs() -> None:
    """Of more than a hundred sets of tokens."""
    reader = tables.loaded(kept())
    assert type(reader.parser.lexer.lexer) is Lexer  # type: ignore[attr-defined]
    for text in TEXTS[:6]:
        reader.parse(text)
    lexers = state_lexers(reader)
    assert len(lexers) > 100
    assert sum(lexer._scanner is not None for lexer in lexers) < 20


def test_no_expression_matches_a_word_of_another_token() -> None:
    """Lark gives such a word its own token afterwards; this lexer does not look for any."""
    terminals = tables.parser().terminals
    words = [t.pattern.value for t in terminals if not isinstance(t.pattern, PatternRE)]
    expressions = [t.pattern.to_regexp() for t in terminals if isinstance(t.pattern, PatternRE)]
    assert words
    assert [(e, w) for e in expressions for w in words if re.fullmatch(e, w)] == []


@pytest.mark.parametrize("kind", [BasicLexer, ContextualLexer])
def test_lark_has_what_is_replaced(kind: type) -> None:
    """A new version of lark that scans in another way is noticed here."""
    assert {BasicLexer: "_build_scanner", ContextualLexer: "lex"}[kind] in vars(kind)
