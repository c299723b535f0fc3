"""Names that the elaborator gives, nets that are other nets, expectations that refer to named sizes."""

from __future__ import annotations

import pytest

from netdsl.analysis import count
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim, evaluate, floordiv, symbol
from netdsl.source import Source

H = symbol("H")


def spec(text: str) -> Spec:
    return Spec(Source(text, "test.net"), read_import)


def test_outputs_in_a_loop_are_numbered() -> None:
    found = spec(
        "net N {\n  input x [4]\n  for i in range(3) {\n    linear(4)\n    output head = linear(2)\n  }\n}"
    ).net()
    assert found.program is not None
    assert [o.name for o in found.program.main.outputs] == ["head0", "head1", "head2"]


@pytest.mark.parametrize(
    "user",
    [
        "recipe R for LeNet {\n  data = digits\n}",
        "expect LeNet: params == 3",
        "experiment E for LeNet {\n  seeds = 3\n  measure = [params]\n}",
    ],
)
def test_what_is_for_a_net_whose_import_fails_is_silent(user: str) -> None:
    found = spec(f"from lenet import LeNet\n{user}\n").diagnostics
    assert [(d.code, d.at.text) for d in found if d.at] == [("unknown-name", "LeNet")]
    assert "unknown-net" in {d.code for d in spec(f"{user}\n").diagnostics}


def test_two_outputs_of_one_name_are_a_mistake() -> None:
    found = spec("net N {\n  input x [4]\n  output y = linear(2)\n  output y = linear(3)\n}").net()
    assert [d.code for d in found.diagnostics] == ["duplicate-name"]


def test_a_word_that_an_argument_takes_is_that_word_whatever_bears_its_name() -> None:
    """And what is no such word is named as what it is."""
    text = "net N {{\n  input x [4, 8, 8]\n  {0} = x -> gap\n  p = param((4,), role={0})\n  (x + p) * {0}\n}}"
    assert not spec(text.format("bias")).diagnostics
    (found,) = spec(text.format("other")).diagnostics
    assert found.code == "unknown-word"
    assert found.message.endswith("; found a tensor")


def test_a_named_parameter_bears_its_name() -> None:
    found = spec("net N {\n  input x [4]\n  gain = param((4,), init=1)\n  it * gain\n}").net()
    assert found.program is not None
    assert [p.path for p in count.parameters(found.program.main)] == ["gain"]


@pytest.mark.parametrize("body", ["= Base(2)", "(n=2) = Base(n)"])
def test_a_net_that_is_another_has_its_inputs(body: str) -> None:
    text = f"net Base(n) {{\n  input x [4]\n  repeat n {{ linear(4) }}\n}}\nnet N{body}\n"
    program = spec(text).net("N").program
    assert program is not None
    assert [(v.name, v.type.shape) for v in program.main.inputs] == [("x", (4,))]
    assert count.totals(program.main).params == 40


def test_promises_speak_of_named_sizes() -> None:
    net = "net N {\n  input x [L, 4]\n  linear(3)\n}\n"
    assert not spec(net + "expect N: output == [L, 3], macs == 12 * L\n").diagnostics
    wrong = spec(net + "expect N: output == [L, 4], macs == 13 * L\n").diagnostics
    assert [d.code for d in wrong] == ["broken-expectation", "undecided"]


@pytest.mark.parametrize("condition", ["macs", "3", "0", "output", "params == 15 and macs", "not 3, params"])
def test_a_promise_of_nothing_is_no_promise(condition: str) -> None:
    found = spec(f"net N {{\n  input x [4]\n  linear(3)\n}}\nexpect N: params == 15, {condition}\n").diagnostics
    assert "broken-expectation" in {d.code for d in found}
    fixed = [h.edits[0].text for d in found for h in d.hints if h.edits]
    assert fixed == {"macs": ["macs == 12"], "output": ["output == [3]"], "not 3, params": ["params == 15"]}.get(
        condition, []
    )


FACTS: list[tuple[Dim, int]] = [
    (floordiv(H + 4, 8) - 2 * floordiv(H + 4, 16) + 8, 0),
    (3 * floordiv(H, 3) - H, 0),
    (4 * floordiv(H, 4) - H, -1),
    (10 - H, 0),
    (20 - floordiv(H, 2), 3),
    (7 - H + 2 * floordiv(H, 3), -5),
    (3 - 3 * floordiv(H, 4), -15),
    (-1 * H, 0),
]


@pytest.mark.parametrize(("size", "least"), FACTS, ids=[f"{s} >= {m}" for s, m in FACTS])
def test_sizes_that_fall_or_repeat(size: Dim, least: int) -> None:
    """What is derived from `size >= least` holds for exactly the values for which the inequality does."""
    assume = Assumptions()
    verdict = assume.at_least(size, least)
    holds = [evaluate(size, {"H": h}) >= least for h in range(1, 300)]
    if verdict == IMPOSSIBLE:
        assert not any(holds)
    else:
        assert [all(c.holds({"H": h}) for c in assume.constraints()) for h in range(1, 300)] == holds
