"""Every argument of every op given values of another kind: `check` says so in words of the language, or it works."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from netdsl.loader import read_import
from netdsl.ops import REGISTRY
from netdsl.ops.base import Example
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.syntax import ast
from netdsl.syntax.parse import read

QUICK = ("flow",)
OTHERS = (
    "relu", "none", "Block", "Inner", "conv(4, 1)", "shared", "(flow -> relu)", "range", "[relu]", "(4, flow)",
    "[[1], [2]]", "true",
    "true", '"text"', '""', "1.5", "-1", "0", "H", "H // 2", "-H", "H * 1.5", "(H, H)", "min(H, 3)", "2 ** 70", "1e400",
    "(1, none)", "[]", "weight", "[Inner]", "[Block, 2]", "weight.bias", "length + 1", "[1, 2, 3, 4, 5, 6, 7]",
)  # fmt: skip
INTERNAL = re.compile(r"object at|Arrow|class '|netdsl\.|Wire|\w=\(|\b(None|True|False|int|float|str)\b")
"""What a message says only where a value of the compiler is printed as Python prints it."""

BEFORE = """\
block Block(c=4) = conv(c, 1)
net Inner {
  input image [3, 4, 4]
  conv(4, 1)
}
net Big {
"""
LOCALS = """\
  input more [4, H, 4]
  share shared = linear(4)
  flow = more
  weight = param((4, 4), init=1)
  length = H
"""


def spec(example: Example, call: str) -> str:
    inputs = "".join(f"  input {n} {t}\n" for n, t in zip("xyz", example.inputs, strict=False))
    return f"{BEFORE}{inputs}{LOCALS}  {'x -> ' if example.inputs else ''}{call}\n}}\n"


def arguments(text: str) -> Iterator[tuple[int, int]]:
    """Where the arguments of a call begin and end, and the first item of those that are tuples or lists."""
    head = "net A { "
    tree, _ = read(Source(f"{head}{text} }}"))
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call))
    for argument in next(calls).arguments if "(" in text else ():
        items = argument.value.items if isinstance(argument.value, ast.TupleExpr | ast.ListExpr) else ()
        for node in (argument.value, *items[:1]):
            yield node.at.start - len(head), node.at.end - len(head)


def problems(kind: str, values: tuple[str, ...], most: int | None = None) -> list[str]:
    found = []
    for example in REGISTRY[kind].examples[:most]:
        for start, end in arguments(example.text):
            for value in values:
                call = f"{example.text[:start]}{value}{example.text[end:]}"
                for d in Spec(Source(spec(example, call)), read_import).diagnostics:
                    said = "\n".join([d.message, *(h.message for h in d.hints), *d.notes]).replace(call, "")
                    if d.code.startswith("internal") or INTERNAL.search(said):
                        found.append(f"{call}: {d.code}: {said}")
    return found


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_arguments_of_another_kind(kind: str) -> None:
    assert problems(kind, QUICK, most=2) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_arguments_of_every_other_kind(kind: str) -> None:
    assert problems(kind, OTHERS) == []


@pytest.mark.parametrize("kind", sorted(k for k, op in REGISTRY.items() if op.operands and not op.variadic))
def test_no_tensor_is_dropped(kind: str) -> None:
    """One more by position, whether the others are given so or by name; and one given twice by name."""
    op = REGISTRY[kind]
    for example in (e for e in op.examples if len(e.inputs) <= 3):
        inside = example.text.removeprefix(f"{kind}(").removesuffix(")")
        more = [f"{kind}(x, {inside})", f"{kind}({inside}, x)", f"{kind}({inside}, {op.operands[0]}=x)"]
        for call in [*more, *(f"{kind}({inside}, {n}=x, {n}=x)" for n in op.optional_operands)]:
            codes = {d.code for d in Spec(Source(spec(example, call)), read_import).diagnostics}
            assert codes & {"too-many-arguments", "duplicate-argument"}, call
