"""What elaboration says and finds: each mistake once, names that stand twice, values that look alike, imported nets."""

from __future__ import annotations

import pytest

from netdsl.elaborate.given import Expression
from netdsl.elaborate.migrate import outdated
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.version import LANGUAGE

IMAGE = "input x [3, 8, 8]"
MASKS = "input x [L, 8]\n  input keep [L] bool\n  input other [L] bool"


def said(body: str, inputs: str = IMAGE, before: str = "", after: str = "") -> list[tuple[str, str]]:
    text = f"{before}\nnet N {{\n  {inputs}\n  {body}\n}}\n{after}"
    found = Spec(Source(text, "test.net"), read_import).diagnostics
    return [(d.code, d.at.text if d.at else "") for d in found]


@pytest.mark.parametrize(
    ("body", "windows"),
    [
        ("maxpool(99)\n  maxpool(77)\n  conv(4, 3)", ["99"]),
        ("maxpool(99)\n  x\n  maxpool(77)", ["99", "77"]),
        ("a = x -> maxpool(99)\n  b = x -> maxpool(77)\n  a -> maxpool(66)\n  a + b", ["99", "77"]),
    ],
)
def test_what_follows_from_a_mistake_is_not_said(body: str, windows: list[str]) -> None:
    assert said(body) == [("kernel-too-large", w) for w in windows]


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        ("if true { a: relu }\n  a: tanh", True),
        ("if true { relu } else { a: relu }\n  a: tanh", True),
        ("if true { a: relu } else { a: tanh }", False),
        ("if true { relu } else {\n  a: relu\n  a: tanh\n  }", True),
        ("l: {\n  a: relu\n  a: tanh\n  }", True),
        ("l: repeat 2 {\n  a: relu\n  a: tanh\n  }", True),
        ("a: relu\n  l: { a: tanh }", False),
    ],
)
def test_a_label_stands_once_in_a_body(body: str, twice: bool) -> None:
    assert [code for code, _ in said(body)] == ["duplicate-name"] * twice


@pytest.mark.parametrize(
    ("before", "body", "mistake"),
    [
        ("", "(conv(3, 1) if nothing else it) -> conv(3, 3)", ("unknown-name", "nothing")),
        ("A = A -> A", "if 1 > 2 { A }\n  relu", ("endless-recursion", "A = A -> A")),
        ("", "if 1 > 2 { residual(2) { relu } }\n  relu", None),
    ],
)
def test_branches_that_are_not_taken_end(before: str, body: str, mistake: tuple[str, str] | None) -> None:
    """Their layers are counted, whatever they are."""
    assert said(body, before=before) == ([mistake] if mistake else [])


@pytest.mark.slow
def test_a_branch_that_is_not_taken_costs_what_it_says() -> None:
    """Each block hands on twice what it was given: 2 ** 60 layers that are not there."""
    blocks = [f"block B{i}(f) = B{i + 1}({{ f -> f }})" for i in range(60)]
    found = said("B0(conv(3, 3))", before="\n".join([*blocks, "block B60(f) { if 1 > 2 { f }\n relu }"]))
    assert [code for code, _ in found] == ["too-much-work"]


@pytest.mark.parametrize("values", [("true", "1"), ("[true]", "[1]"), ("[[true]]", "[[1]]")])
def test_true_and_1_are_not_the_same_argument(values: tuple[str, str]) -> None:
    first, second = values
    place = "b" + "[0]" * first.count("[")
    for body in (f"B({first}) -> B({second})", f"B({second}) -> B({first})"):
        assert said(body, before=f"block B(b) = conv(3, 3, bias={place}) -> relu") == [
            ("argument-type", f"bias={place}")
        ]


@pytest.mark.parametrize("mask", ["keep or other", "keep and other"])
def test_two_masks_are_not_joined(mask: str) -> None:
    assert said(f"x -> attention(2, mask={mask})", MASKS) == [("operator-types", mask)]


def test_a_mask_that_is_given_decides() -> None:
    """What else there would be may ask for something that is absent."""
    masked = "block A(m) = attention(2, mask=m or (none + 1))"
    assert said("x -> A(keep)", MASKS, masked) == [("unused-input", "other")]
    assert said("x -> A(none)", MASKS, masked)[0][0] == "operator-types"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("where(x)", "`where(x, a=..., b=...)`"),
        ("where(x, x)", "`where(x, x, b=...)`"),
        ("matmul", "`matmul(a=..., b=...)`"),
    ],
)
def test_operands_that_are_missing_are_named(call: str, hint: str) -> None:
    (one,) = Spec(Source(f"net N {{\n  {IMAGE}\n  {call}\n}}\n", "test.net"), read_import).diagnostics
    assert (one.code, one.hint) == ("missing-argument", hint)


def test_a_residual_branch_is_dropped_where_it_says_so() -> None:
    for options, count in (("drop_path=0.1", 1), ("", 0)):
        text = f"net N {{\n  {IMAGE}\n  residual({options}) {{ conv(3, 3) -> relu }}\n}}\n"
        assert Spec(Source(text, "test.net"), read_import).net("N").source().count("DropPath(0.1)") == count


NETS = "WEIGHT = [1, 2.5]\nnet Small {\n  input x [3, Height, W2]\n  conv(4, 3) -> relu\n}\n"


def imported(text: str) -> Spec:
    return Spec(Source(text, "own.net"), lambda name, importer: Source(NETS, "nets.net") if name == "nets" else None)


def test_an_imported_net_is_a_net_of_the_file() -> None:
    spec = imported("from nets import Small\nnet Own {\n  input x [3, 8, 8]\n  relu\n}\n")
    assert str(spec.net("Small").checked.main.inputs[0].type) == "[3, Height, W2]"
    assert [d.message for d in spec.net("Smal").diagnostics] == ["own.net declares no net `Smal`"]


def test_constants_of_a_file() -> None:
    spec = Spec(Source(NETS, "nets.net"), read_import)
    assert spec.constant("WEIGHT") == (1, 2.5)
    assert spec.constant("Small") is None
    assert spec.constant("OTHER") is None


def test_what_is_for_a_net_whose_import_fails_is_silent() -> None:
    found = imported("from missing import Unit\nnet N {\n  input x [3, 8, 8]\n  Unit(3) -> Unit(4)\n}\n").diagnostics
    assert [d.code for d in found] == ["unknown-module"]


@pytest.mark.parametrize(("reason", "end"), [("", "was stored"), ("no layer `a`", "was stored: no layer `a`")])
def test_an_outdated_spec_says_why(reason: str, end: str) -> None:
    found = outdated("the run", 1, (), reason)
    assert found.message == f"the spec of the run does not give the net that {end}"
    assert len(found.notes) == 1
    assert not outdated("the run", LANGUAGE, (), reason).notes


def test_an_expression_of_the_command_line_has_no_line() -> None:
    text = "net N(c) {\n  input x [3, 8, 8]\n  conv(c, 3)\n}\n"
    (one,) = Spec(Source(text, "n.net"), read_import).net("N", {"c": Expression("8 * widht")}).diagnostics
    assert one.at is not None
    assert (one.code, one.at.text, one.at.source.option) == ("unknown-name", "widht", True)
