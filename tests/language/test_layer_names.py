"""What unnamed layers are called: by what they are, and the same whatever an `if` decides."""

from __future__ import annotations

import pytest

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.weights.slots import slots


def shapes(body: str, arguments: str, before: str = "") -> dict[str, tuple[int, ...]]:
    """The weights of `Block`, used with some arguments: the shape of the first of each layer, by the layer's path."""
    text = f"{before}\nblock Block(on, deep=1, f=relu) {{\n{body}\n}}\n"
    text += f"net A {{ input x [4, 8, 8]\n block: Block({arguments}) }}"
    main = Spec(Source(text, "test.net"), read_import).net("A").checked.main
    found: dict[str, tuple[int, ...]] = {}
    for slot in slots(main):
        found.setdefault(slot.key.removeprefix("block.").rpartition(".")[0], slot.shape)
    return found


def layers(body: str, arguments: str, before: str = "") -> list[str]:
    """The paths of those layers, in order."""
    return list(shapes(body, arguments, before))


GIVEN = [
    "conv(4, 1)",
    "conv(4, 1) -> bn",
    "Unit",
    "Norm",
    "conv(4, 1) + conv(4, 1)",
    "{ conv(4, 1) -> Norm }",
    "bn -> relu",
    "residual(scale=0.1) { conv(4, 3) -> bn }",
    "residual(shortcut=conv(4, 1)) { bn }",
    "linear(4)",
    "concat(conv(2, 1), a: conv(2, 1))",
]
"""Arrows that a branch may be given."""

LAST = "linear(4) -> conv(4, 3) -> residual(scale=0.1) { relu }"

BODIES = {
    "if": "if on { conv(4, 1) -> bn -> relu }\n conv(4, 3) -> bn",
    "if, after": "conv(4, 3)\n if on { conv(4, 1) }\n bn -> conv(4, 3)",
    "else": "if on { conv(4, 1) -> conv(4, 1) } else { conv(4, 3) }\n conv(4, 3)",
    "else if": "if deep > 3 { conv(4, 1) } else if on { conv(4, 1) -> conv(4, 3) } else { bn }\n conv(4, 3) -> bn",
    "conditional": "conv(4, 3) -> (conv(4, 1) if on else it) -> conv(4, 3)",
    "shortcut": "x = it\n bn\n s = conv(4, 1) if on else x\n residual(shortcut=s) { conv(4, 3) -> conv(4, 3) }",
    "shortcut in its place": "residual(shortcut = conv(4, 1) if on else it) { conv(4, 3) -> relu -> conv(4, 3) }",
    "block": "if on { Unit }\n Unit -> conv(4, 3)",
    "constant": "if on { Norm }\n conv(4, 3) -> Norm",
    "nested": "if on { if deep > 0 { conv(4, 1) } }\n conv(4, 3)",
    "inside a loop with a label": "parts: repeat 2 { x = it\n if on { conv(4, 1) }\n conv(4, 3) + x }",
    "operand": "concat(conv(4, 1) if on else it, conv(4, 3))",
    "pointwise": "if on { linear(4) -> relu }\n linear(4) -> relu -> linear(4)",
    "choice within": "if on { conv(4, 1) if deep > 0 else relu }\n conv(4, 3)",
    "named branch": "if on { a: conv(4, 1)\n conv(4, 1) }\n conv(4, 3)",
    "named part": "if on { concat(a: conv(2, 1), conv(2, 1)) }\n conv(4, 3)",
    "else with a label": "if on { conv(4, 1) } else { a: conv(4, 1) }\n conv(4, 3)",
    "scaled link": "if on { residual(scale=0.1, drop_path=0.1) { conv(4, 3) } }\n residual(scale=0.1) { conv(4, 3) }",
    "link": "if on { residual(shortcut=conv(4, 1)) { conv(4, 3) -> relu } }\n residual { conv(4, 3) -> bn }",
    "residual around": "residual(shortcut = it) { (conv(4, 1) if on else it) -> conv(4, 3) -> relu } -> conv(4, 3)",
    "loop within": "if on { repeat 1 { conv(4, 1) } }\n conv(4, 3)",
    "list within": "if on { for k in [1] { conv(4, k) } }\n conv(4, 3)",
    "body within": "{ if on { conv(4, 1) }\n conv(4, 3) } -> conv(4, 3)",
    "assigned": "if on { a = conv(4, 1)\n a -> conv(4, 1) }\n conv(4, 3)",
    "chosen of three": "((bn if on else it) if deep > 0 else conv(4, 1)) -> conv(4, 3) -> bn",
    "nested, other": "if on { if deep > 3 { bn } else { conv(4, 1) } }\n conv(4, 3)",
    "name of a block": "if on { residual(shortcut=it) { conv(4, 3) } }\n Shortcut -> Shortcut",
    "without spaces": "it -> residual(shortcut = conv(4,1) if on else it){conv(4,3)->relu}+conv(4,3)",
    "summed": "if on { conv(4, 1) + conv(4, 1) }\n conv(4, 3)",
    "list summed": "if on { sum([conv(4, 1), bn]) -> concat(*[conv(2, 3), conv(2, 1)]) }\n conv(4, 3) -> bn",
    "in a list": "sum([conv(4, 3), conv(4, 1) if on else it])\n conv(4, 3)",
    "in a sum": "conv(4, 3) + (conv(4, 1) if on else it)\n conv(4, 3)",
    "in the sum of a shortcut": "residual(shortcut=(conv(4, 1) if on else it) + conv(4, 3)) { bn } + conv(4, 5)",
    "in the shortcut of a shortcut": (
        "residual(shortcut=residual(shortcut=(conv(4, 1) if on else it) + conv(4, 3)) { bn }) { bn } + conv(4, 5)"
    ),
    "list by name": "both = [conv(4, 1), conv(4, 3)]\n (sum(both) if on else it) -> conv(4, 3)",
    "items of a list": "both = [[bn, conv(4, 1)]]\n if on { both[0][1] -> both[0][0] }\n bn -> conv(4, 3)",
    "list of the file": "(sum(BOTH) if on else it) -> conv(4, 3)",
    **{f"given, {f}": f"if on {{ f }}\n conv(4, 3) -> bn -> Unit -> {LAST}" for f in GIVEN},
}
BEFORE = "Norm = bn(eps=1e-3)\nblock Unit = conv(4, 3) -> bn\nblock Shortcut = Unit -> bn\nBOTH = [conv(4, 1), Unit]"


@pytest.mark.parametrize("case", BODIES)
def test_an_if_moves_no_name(case: str) -> None:
    """What a block has without the branch it also has with it, under the same names, and more."""
    f = case.partition(", ")[2] if case.startswith("given") else "relu"
    there, gone = (shapes(BODIES[case], f"{on}, f={f}", BEFORE) for on in ("true", "false"))
    if "else" in case:  # both branches have layers, which share their numbers
        assert [*there.items()][-1] == [*gone.items()][-1]
    else:
        assert gone.items() < there.items()
        assert [name for name in there if name in gone] == [*gone]


def test_names_say_what_a_layer_is() -> None:
    assert layers("linear(4) -> gap -> linear(4)", "true") == ["pwconv", "linear"]
    assert layers("linear(8) -> relu -> linear(4)", "true") == ["pwconv1", "pwconv2"]


def test_what_a_loop_leaves_out_moves_nothing() -> None:
    body = "repeat 2 { (conv(4, 1) if on else it) -> conv(4, 3) }"
    assert [layers(body, on) for on in ("true", "false")] == [[f"conv{i}" for i in range(1, n)] for n in (5, 3)]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("One", ["one"]),
        ("Two", ["two"]),
        ("if on { One }", [""]),  # the block around it is a single layer itself
        ("Labelled -> relu", ["labelled.inner"]),
        ("Varied(true) -> relu -> Varied(false)", ["varied1.conv", "varied2.conv"]),
        ("Repeated(1) -> relu -> Repeated(2)", ["repeated1.conv", "repeated2.conv1", "repeated2.conv2"]),
        ("Third(true) -> relu -> Third(false)", ["third1.conv", "third2.conv"]),
        ("Padded(true) -> relu -> Padded(false)", ["padded1.conv", "padded2.conv"]),
    ],
)
def test_a_block_around_one_layer_is_that_layer(body: str, names: list[str]) -> None:
    """Unless the author named it, or other arguments would give it more."""
    before = """
block One = conv(4, 3)
block Two = One
block Labelled { inner: conv(4, 3) }
block Varied(wide) { if wide { conv(4, 3) } else { conv(4, 3) -> relu } }
block Repeated(n) { repeat n { conv(4, 3) } }
block Third(wide) { (relu if wide else it if wide else it) -> conv(4, 3) }
block Padded(wide) { (relu if wide else it) -> conv(4, 3) }
"""
    assert layers(body + ("" if "->" in body or "{" in body else " -> relu"), "true", before) == names


def test_layers_beside_a_shared_one_have_names_that_their_dict_allows() -> None:
    """`nn.ModuleDict` has attributes of its own, as `values`."""
    body = "share f = conv(4, 1)\n body: { f -> Values -> conv(4, 3) -> f }"
    found = layers(body, "true", "block Values = conv(4, 3) -> bn")
    assert sorted(found) == ["body.conv", "body.values_.bn", "body.values_.conv", "f"]
