"""The parser: what a spec says, and the grammar that says so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lark
import pytest
from paths import DATA, ROOT

from netdsl.source import Source
from netdsl.syntax import ast, tables
from netdsl.syntax.format import same
from netdsl.syntax.parse import read

SPECS = [*sorted((ROOT / "specs").rglob("*.net")), DATA / "format.net"]


def declared(text: str) -> tuple[Any, ...]:
    file, diagnostics = read(Source(text))
    assert not diagnostics, diagnostics[0]
    return file.declarations


def value(text: str) -> Any:
    """The tree of an expression."""
    return declared(f"A = {text}\n")[0].value


def body(text: str) -> tuple[Any, ...]:
    """The statements of a body."""
    return tuple(declared(f"net A {{\n{text}\n}}\n")[0].body.statements)


# The grammar


def test_the_grammar_is_lalr_without_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    lark.logger.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG, lark.logger.name):
            lark.Lark(tables.grammar(), parser="lalr", lexer="contextual", postlex=tables.Layout(), debug=True)
    finally:
        lark.logger.setLevel(logging.CRITICAL)
    assert "conflict" not in caplog.text.lower()


def test_the_kept_tables_are_those_of_the_grammar() -> None:
    """After a change of the grammar: `python -m netdsl.syntax.tables`."""
    kept = tables.unpacked(tables.read_built())
    assert kept is not None, "the tables are out of date: run `python -m netdsl.syntax.tables`"
    fresh = tables.loaded(tables.build())
    for path in SPECS:
        text = path.read_text()
        assert fresh.parse(text) == tables.parser().parse(text)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_specs_have_no_mistakes(path: Path) -> None:
    file, diagnostics = read(Source(path.read_text(), path.name))
    assert not diagnostics
    assert file.declarations


# Arrows, and what is ours


def test_pipelines_bind_loosest_then_choices() -> None:
    stages = value("a -> b | c if d else e -> f + g").stages
    assert [type(s).__name__ for s in stages] == ["Name", "Choice", "Binary"]
    assert isinstance(stages[1].options[1], ast.Conditional)


def test_a_pipeline_in_parentheses_stays_one_stage() -> None:
    assert len(value("a -> (b -> c) -> d").stages) == 3


def test_arguments_may_be_pipelines_and_bodies() -> None:
    call = value("concat(a -> b, { conv(3)\n relu }, pool=gap -> it)")
    assert [type(a.value).__name__ for a in call.arguments] == ["Pipeline", "Body", "Pipeline"]


def test_quantities() -> None:
    quantity = value("warmup(20 epochs)").arguments[0].value
    assert (quantity.number.value, quantity.unit) == (20, "epochs")


def test_a_generator_is_a_list() -> None:
    assert same(value("sum(x for x in y if z)"), value("sum([x for x in y if z])"))


@pytest.mark.parametrize(
    "lines",
    ["a -> b", "a\n  -> b", "a ->\n b", "a  # c\n  # d\n\n  -> b # e", "(a -> b)", "a\r\n\t-> b"],
)
def test_an_arrow_goes_on_over_lines(lines: str) -> None:
    (statement,) = body(lines)
    assert [s.id for s in statement.value.stages] == ["a", "b"]


def test_newlines_end_statements_but_not_inside_brackets() -> None:
    assert len(body("a\nb\n\n\nc")) == 3
    assert len(body("f(a,\n b,\n\n # c\n g(\n1))\nb")) == 2
    assert len(body("x = [1,\n 2,\n]\n")[0].value.items) == 2
    inner = body("f({ a\n b }, (\n{ a\n b\n c }))")[0].value
    assert [len(a.value.statements) for a in inner.arguments] == [2, 3]


def test_an_equals_sign_may_begin_a_line() -> None:
    (block,) = declared("block SE(r=16): [C, H, W] -> [C, H, W]  # a comment\n  = it * (gap -> linear(C // r))\n")
    assert isinstance(block.body, ast.Binary)
    assert [s.id for s in block.signature.inputs] == ["C", "H", "W"]


def test_else_may_begin_a_line() -> None:
    (statement,) = body("if a { b }\n# why\nelse if c { d }\n\nelse { e }")
    assert isinstance(statement.otherwise, ast.If)
    assert isinstance(statement.otherwise.otherwise, ast.Body)


def test_nested_targets() -> None:
    (loop,) = body("for i, (a, (b, c)) in xs { a }")
    assert loop.targets[0].id == "i"
    assert loop.targets[1].items[1].items[1].id == "c"


WORDS = ("input", "output", "share", "repeat", "require", "group", "freeze")


def test_keywords_are_free_as_names_where_nothing_else_could_be_meant() -> None:
    for name in (*WORDS, "when", "training", "extends", "expect", "net", "block", "recipe"):
        assert value(f"f({name}=1)").arguments[0].name.id == name
        assert value(f"g -> {name}").stages[1].id == name
    for name in (*WORDS, "residual"):
        assert isinstance(body(f"{name} = 3")[0], ast.Assign)
        assert isinstance(body(f"{name}: relu")[0], ast.Label)
        assert isinstance(body(f"{name} -> relu")[0].value, ast.Pipeline)
    (recipe,) = declared("recipe R {\n  group = 3\n  group norm, stages.0 { lr = 0 }\n  freeze = 1\n  freeze stem\n}\n")
    assert [type(e).__name__ for e in recipe.entries] == ["Field", "Group", "Field", "Freeze"]
    assert [s.id for s in recipe.entries[1].selectors] == ["norm", "stages.0"]


def test_words_are_not_cut() -> None:
    """`iffy` after a value is no `if`."""
    assert read(Source("A = x iffy y\n"))[1]
    assert read(Source("A = x orange y\n"))[1]
    assert value("x or inner").rest[0].id == "inner"


def test_declarations() -> None:
    text = (
        "from a.b import C, D as E\nW = 1\nblock B(c, k=3) = conv(c, k)\nnet N { input x [3, H] int64\n output y }\n"
        "net M = N(1)\nexpect M: params == 1, macs < 2\nrecipe R for N extends Q {\n"
        "  loss = { y: mse()\n z: 0.3 * l1() }\n}\n"
    )
    kinds = [type(d).__name__ for d in declared(text)]
    assert kinds == ["Import", "Constant", "Block", "Block", "Variant", "Expect", "Recipe"]


# Comments


def test_documentation() -> None:
    file, _ = read(Source("# The file.\n\n# One,\n#two.\nA = 1  # beside\nB = 2\n# apart\n\nC = 3\n"))
    assert file.doc == "The file."
    assert [d.doc for d in file.declarations] == ["One,\ntwo.", "", ""]
    assert [c.own_line for c in file.comments] == [True, True, True, False, True]


def test_the_opening_comment_documents_file_and_declaration() -> None:
    file, _ = read(Source("\ufeff# Both.\nA = 1 # no\n"))
    assert (file.doc, file.declarations[0].doc) == ("Both.", "Both.")


def test_a_hash_in_a_string_is_no_comment() -> None:
    assert not read(Source("A = \"# no\" + '#'\n"))[0].comments
