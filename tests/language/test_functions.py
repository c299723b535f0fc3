"""Functions of expressions, given what they do not take: the words are ours, and Python's never show."""

from __future__ import annotations

from itertools import product

import pytest

from netdsl.elaborate.arithmetic import BUILTINS, NUMERIC, TAKES
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

VALUES = ("1", "1.5", "BIG", "-BIG", "NAN", '"a"', "[1, 2]", "[]", '[1, "a"]', "relu", "none", "true", "(1,)",
          "[relu, gelu]", "[[1], [2]]", "10**60", "H")  # fmt: skip
PYTHON = ("object", "NoneType", "'int'", "'str'", "float ", "argument", "iterable", "integer", "literal", "tuple",
          "instances", "Size", "unsupported", "convert", "expected", "type")  # fmt: skip


def diagnostics(name: str, calls: list[str]) -> list[str]:
    lines = "".join(f"  x{i} = {name}({call})\n" for i, call in enumerate(calls))
    text = f"BIG = 1e308 * 10\nNAN = BIG - BIG\nnet N {{\n  input x [3, H]\n{lines}  relu\n}}\n"
    return [d.message for d in Spec(Source(text, "f.net"), read_import).diagnostics]


def test_every_function_says_what_it_takes() -> None:
    assert TAKES.keys() == BUILTINS.keys() | NUMERIC.keys()


@pytest.mark.parametrize("name", BUILTINS)
def test_pythons_words_never_show(name: str) -> None:
    calls = ["", *VALUES, *map(", ".join, product(VALUES, repeat=2)), "1, 2, 0", "1, 2, 3, 4", "1, 2, 1.5"]
    found = diagnostics(name, calls)
    assert found
    for message in found:
        assert not any(word in message for word in PYTHON), message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("round(BIG)", "`round` takes a finite number, and perhaps how many digits are kept, found the number `inf`"),
        ("int(NAN)", "`int` takes one finite number, found the number `nan`"),
        ('int("x")', '`int` takes one finite number, found the text "x"'),
        ("range(1, 2, 0)", "`range` takes one to three whole numbers, of which the third is not 0, found the "
         "number `1`, the number `2`, the number `0`"),
        ("len(3)", "`len`: the number `3` has no length"),
        ("range(10**9)", "`range`: more than 100,000 numbers"),
    ],
)  # fmt: skip
def test_what_was_found_is_said(call: str, message: str) -> None:
    name, _, rest = call.partition("(")
    assert diagnostics(name, [rest[:-1]]) == [message]
