"""Axes written with size 1 are repeated in operators; not in residual links, nor one channel over many."""

from __future__ import annotations

import pytest
import torch

from netdsl.pipeline import Net, Spec
from netdsl.source import Source


def net(*lines: str, **sizes: int) -> Net:
    text = "net A {\n  " + "\n  ".join(lines) + "\n}\n"
    return Spec(Source(text), lambda name, importer: None).net("A", sizes=sizes)


@pytest.mark.parametrize(
    ("expression", "shapes"),
    [
        ("x * y", ("[4, 5, 6]", "[1, 5, 6]")),
        ("x / (1 + y ** 2)", ("[4, 5, 6]", "[4, 1, 1]")),
        ("x + y", ("[L, 6]", "[1, 6]")),
        ("x - y", ("[4, H, 1]", "[4, 1, W]")),
        ("maximum(x, y)", ("[1, 6]", "[L, 6]")),
        ("where(x -> greater(0), x, y)", ("[L, 6]", "[1, 6]")),
        ("x -> masked_fill(mask=y -> greater(0), value=-1)", ("[4, H, W]", "[1, H, W]")),
        ("sum([x, y, x * y])", ("[4, H, W]", "[4, 1, W]")),
    ],
)
def test_values_are_torchs(expression: str, shapes: tuple[str, str]) -> None:
    own = net(f"input x {shapes[0]}", f"input y {shapes[1]}", expression)
    program = own.checked
    assert not program.constraints
    given = [
        torch.randn(2, *(n if isinstance(n, int) else {"L": 5, "H": 3, "W": 7}[str(n)] for n in v.type.shape))
        for v in program.main.inputs
    ]
    x, y = given
    wanted = {
        "x * y": lambda: x * y, "x / (1 + y ** 2)": lambda: x / (1 + y**2), "x + y": lambda: x + y,
        "x - y": lambda: x - y, "maximum(x, y)": lambda: torch.maximum(x, y),
        "where(x -> greater(0), x, y)": lambda: torch.where(x > 0, x, y),
        "x -> masked_fill(mask=y -> greater(0), value=-1)": lambda: x.masked_fill(y > 0, -1),
        "sum([x, y, x * y])": lambda: x + y + x * y,
    }  # fmt: skip
    torch.testing.assert_close(own.module(seed=0)(*given), wanted[expression]())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("input x [4, 5, 6]", "input y [1, 5, 6]", "x + y"), "`+` needs equal shapes, found [4, 5, 6] and [1, 5, 6]"),
        (("input x [4, 5, 6]", "x -> residual { gap -> unsqueeze(axis=1) -> unsqueeze(axis=1) }"), "residual"),
        (("input x [4, 5, 6]", "concat(x, x -> reduce_mean(axis=1, keepdims=true))"), "`concat` along axis 0"),
    ],
)
def test_what_is_refused(lines: tuple[str, ...], message: str) -> None:
    (found,) = net(*lines).diagnostics
    assert message in found.message


def test_a_size_that_is_1_by_an_option_is_not_repeated() -> None:
    lines = ("input x [L, 6]", "input y [T, 6]", "x * y")
    assert [str(c) for c in net(*lines).checked.constraints] in (["L == T"], ["T == L"])
    (found,) = net(*lines, L=1).diagnostics
    assert "not repeated" in found.message
    assert not net(*lines, L=1, T=1).diagnostics
    (found,) = net("input x [L, 6]", "input y [3, 6]", "x * y", L=1).diagnostics
    assert "L == 3" in found.message
    assert not net("input x [L, 6]", "input y [1, 6]", "x * y", L=1).diagnostics


@pytest.mark.parametrize("other", [(), ("output b = x -> linear(3, axis=0)",)])
def test_a_size_of_1_never_hides_what_no_size_gives(other: tuple[str, ...]) -> None:
    """Whatever else of the net needs the size as a number."""
    (found,) = net("input x [H, 8]", "input y [2 * H, 8]", "output a = x + y", *other, H=1).diagnostics
    assert (found.code, found.message) == ("shape-mismatch", "`+` needs equal shapes, found [H, 8] and [2*H, 8]")
    assert not net("input x [H, 8]", "output b = x -> linear(3, axis=0)", H=1).diagnostics


@pytest.mark.parametrize(
    "read", ["x * y -> conv(C, 3)", "z = x * y\n  x -> conv(C, 3)\n  it * z", "y -> conv(C, 1)\n  x * y"]
)
def test_a_size_of_1_is_not_repeated_where_another_layer_needs_it_as_a_number(read: str) -> None:
    inputs = "input x [C, 8, 8]", "input y [3, 8, 8]"
    (found,) = net(*inputs, read, C=1).diagnostics
    assert found.message.endswith("an axis that is 1 by `--size` is not repeated")
    alike = net(
        "input x [C, 8, 8]", "input y [1, 8, 8]", "z = x -> residual { conv(1, 3) }", "z * y -> conv(C, 3)", C=1
    )
    assert [d.message for d in alike.diagnostics] == []


def test_the_module_is_made_for_a_declared_size_of_1() -> None:
    module = net("input x [1, 6]", "input y [3, 6]", "x * y").module(seed=0)
    assert module(torch.ones(2, 1, 6), torch.ones(2, 3, 6)).shape == (2, 3, 6)
    with pytest.raises(ValueError, match="x must be"):
        module(torch.ones(2, 3, 6), torch.ones(2, 3, 6))
