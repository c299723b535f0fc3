"""Comments, file names and words are text: whatever they hold, the emitted source is the same program."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from foreign import HOSTILE, TEXTS
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from netdsl.backends.torch.module import build
from netdsl.backends.torch.quoting import comment, docstring, quoted, template
from netdsl.backends.torch.source import emit
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source


@given(TEXTS)
@settings(deadline=None)
def test_a_literal_is_the_text(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text
    assert quoted(text).isprintable()


@given(TEXTS)
@settings(deadline=None)
def test_a_template_is_the_text(text: str) -> None:
    assert eval(f'f"{template(text)}{{x}}"', {"x": 1}) == f"{text}1"


@given(TEXTS)
@settings(deadline=None)
def test_a_comment_ends_with_its_line(text: str) -> None:
    (line,) = f"x = 1  # {comment(text)}".splitlines()
    assert ast.dump(ast.parse(line)) == ast.dump(ast.parse("x = 1"))


@given(TEXTS, st.sampled_from(["", "    "]), st.sampled_from([30, 100]))
@settings(deadline=None)
def test_a_docstring_is_one_literal(text: str, indent: str, width: int) -> None:
    lines = docstring(text, indent, width)
    (statement,) = ast.parse("if x:\n" + "\n".join(lines) if indent else "\n".join(lines)).body
    inner = statement.body[0] if isinstance(statement, ast.If) else statement
    assert isinstance(inner, ast.Expr)
    words = str(ast.literal_eval(inner.value)).replace('"""', "'''")
    assert all(line.isprintable() for line in lines)
    if text.isprintable() and '"""' not in text:
        assert "".join(words.split()) == "".join(text.split())


SPEC = """\
{comment}

# A unit.
block Unit(c) = conv(c, 3) -> bn -> relu

{comment}
net Small {{
  input image [3, H, W]
  Unit(4)
  maxpool(2) -> maxpool(2)
  head: gap -> linear(2)
}}
"""


def small(comment: str = "# A net.", name: str = "test.net") -> Net:
    return Spec(Source(SPEC.format(comment=comment), name), read_import).net("Small")


def code(source: str) -> str:
    """The program of a source, without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body: Any = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return ast.dump(tree)


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=20)
def test_the_source_is_the_same_whatever_is_said_beside_it(said: str, name: str) -> None:
    plain = small()
    line = said.replace("\n", "").replace("\r", "").encode(errors="ignore").decode()
    commented = small(f"# {line}", name).program
    assume(commented is not None)  # what is not text at all is refused
    program = replace(commented, doc=said)
    source = emit(program, class_name="Small", header=said)
    assert code(source) == code(emit(plain.checked, class_name="Small", header="x"))
    source.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_net_with_hostile_text_runs(text: str) -> None:
    line = text.replace("\n", " ").replace("\r", " ").replace("\x00", "").encode(errors="ignore").decode()
    net = small(f"# {line}", f"x\n    {text}.net")
    assert not net.diagnostics
    module = build(net.source(), net.class_name, seed=0)
    assert module.eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    with pytest.raises(ValueError, match="Small needs H >= 4"):
        module(torch.zeros(1, 3, 2, 8))
