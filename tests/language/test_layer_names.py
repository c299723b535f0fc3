"""What unnamed layers are called: by what they are, and the same whatever an `if` decides."""

from __future__ import annotations

import pytest

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.weights.slots import slots


def layers(body: str, arguments: str, before: str = "") -> list[str]:
    """The paths of the layers with weights of `Block`, used with some arguments."""
    text = (
        f"{before}\nblock Block(on, deep=1) {{\n{body}\n}}\nnet A {{ input x [4, 8, 8]\n block: Block({arguments}) }}"
    )
    main = Spec(Source(text, "test.net"), read_import).net("A").checked.main
    keys = (slot.key.removeprefix("block.").rpartition(".")[0] for slot in slots(main))
    return list(dict.fromkeys(keys))


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
}
BEFORE = "Norm = bn(eps=1e-3)\nblock Unit = conv(4, 3) -> bn"


@pytest.mark.parametrize("case", BODIES)
def test_an_if_moves_no_name(case: str) -> None:
    """What a block has without the branch it also has with it, under the same names, and more."""
    there, gone = layers(BODIES[case], "true", BEFORE), layers(BODIES[case], "false", BEFORE)
    if "else" in case:  # both branches have layers, which share their numbers
        assert there[-1] == gone[-1]
    else:
        assert set(gone) < set(there)
        assert [name for name in there if name in gone] == gone


def test_names_say_what_a_layer_is() -> None:
    assert layers("linear(4) -> gap -> linear(4)", "true") == ["pwconv", "linear"]
    assert layers("linear(8) -> relu -> linear(4)", "true") == ["pwconv1", "pwconv2"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("One", ["one"]),
        ("Two", ["two"]),
        ("if on { One }", [""]),  # the block around it is a single layer itself
        ("Labelled -> relu", ["labelled.inner"]),
        ("Varied(true) -> relu -> Varied(false)", ["varied1.conv", "varied2.conv"]),
        ("Repeated(1) -> relu -> Repeated(2)", ["repeated1.conv", "repeated2.conv1", "repeated2.conv2"]),
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
block Padded(wide) { (relu if wide else it) -> conv(4, 3) }
"""
    assert layers(body + ("" if "->" in body or "{" in body else " -> relu"), "true", before) == names
