"""The Pygments lexer reads the whole zoo."""

from __future__ import annotations

from pathlib import Path

import pytest
from pygments.token import Comment, Error, Keyword, Name, Number

from netdsl.highlight.lexer import NetdslLexer
from netdsl.loader import zoo


@pytest.mark.parametrize("name", zoo())
def test_every_spec_is_read_without_errors(name: str) -> None:
    text = Path(zoo()[name]).read_text()
    tokens = list(NetdslLexer(stripnl=False, ensurenl=False).get_tokens(text))
    assert "".join(value for _, value in tokens) == text
    assert not [value for kind, value in tokens if kind is Error]


def test_what_words_are() -> None:
    text = "net A {  # a net\n  input x [3, 8, 8]\n  stem: conv(8, 3, stride=2)\n}\nrecipe R for A {\n  epochs = 3\n}\n"
    kinds = {value: kind for kind, value in NetdslLexer().get_tokens(text)}
    assert kinds["net"] is Keyword.Declaration
    assert kinds["A"] in (Name.Class, Name)
    assert kinds["# a net"] is Comment.Single
    assert kinds["conv"] is Name.Function
    assert kinds["stem"] is Name.Label
    assert kinds["stride"] is Name.Attribute
    assert kinds["3"] is Number


def test_words_of_an_experiment() -> None:
    text = "experiment E for A {\n  vary optimizer.lr = [0.1]\n  compare test.top1 against width = 8\n}\n"
    kinds = {value: kind for kind, value in NetdslLexer().get_tokens(text)}
    assert kinds["experiment"] is Keyword.Declaration
    assert kinds["E"] is Name.Class
    assert {kinds[word] for word in ("vary", "compare")} == {Keyword}
