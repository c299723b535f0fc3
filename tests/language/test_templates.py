"""`f"{n} channels"`: what its braces hold, what is refused, and where its names are known."""

from __future__ import annotations

import pytest

from netdsl.pipeline import Spec
from netdsl.planning.recipes import load_recipe
from netdsl.source import Source
from netdsl.syntax.format import format_source


def messages(text: str) -> list[str]:
    return [d.message for d in Spec(Source(text), lambda *_: None).diagnostics]


def test_a_message_holds_values() -> None:
    text = 'net A(n=4, name="x") {\n  input x [8]\n  require n == 1, f"{name}: {n}, {{odd}} is {n + 1} {n > 1}"\n}\n'
    assert messages(text) == ["x: 4, {odd} is 5 true"]


def test_a_pattern_is_put_together() -> None:
    net = 'net B(rows="(h w)") {\n  input x [3, 4, 5]\n  rearrange(f"c h w -> {rows} c")\n}\n'
    assert messages(net + "expect B: output == [20, 3]\n") == []


def test_a_number_too_large_is_shown_where_it_stands() -> None:
    (found,) = Spec(Source(f'A = f"ab{{n + 1{"0" * 400}}}"\n'), lambda *_: None).diagnostics
    assert found.at is not None
    assert (found.message, found.at.text) == ("the number is too large", "1" + "0" * 400)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('f"{n"', "braces in a text hold one expression"),
        ('f"}"', "braces in a text hold one expression"),
        ('f"{}"', "braces in a text hold one expression"),
        ('f"{n:.2f}"', "braces in a text hold one expression"),
        ("f\"{'a'}\"", "braces in a text hold no strings"),
        ('f"{[1]}"', "a text holds texts and numbers, found a list of 1"),
        ('f"{x}"', "a text holds texts and numbers, found a tensor"),
        ('f"{L}"', "a text holds texts and numbers, found the size `L`"),
        ('f"{nope}"', "nothing is called `nope`"),
        (r'f"\q"', r"`\q` is no escape that a string can hold"),
        ('f"{name * 6000}"', "this text is longer than 10,000 characters"),
    ],
)
def test_what_no_text_holds(value: str, message: str) -> None:
    assert message in messages(f'net A(n=4, name="ab") {{\n  input x [L, 8]\n  require n < 1, {value}\n}}\n')


def test_the_formatter_keeps_what_is_said() -> None:
    assert format_source(Source("A = f'{ n+1 } {{ \" }}'\n"))[0] == 'A = f"{n + 1} {{ \\" }}"\n'


def test_a_field_of_a_recipe_holds_values() -> None:
    net = "net A {\n  input x [3, 8, 8]\n  gap -> linear(2)\n}\n"
    spec = Spec(
        Source(f'FOLDER = "data"\n{net}recipe R for A {{\n  data = imagefolder(f"{{FOLDER}}/train")\n}}\n'),
        lambda *_: None,
    )
    (recipe,) = spec.module.recipes
    found = load_recipe(spec.module, spec.elaborator.evaluator, recipe, {}).recipe
    assert "data/train" in repr(found.data)
