"""Blocks that differ by an `if` of the author's are one class, which computes what each of them says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from printed import proven_emit
from torch_reference import evaluate, inputs, paths, randomize

from netdsl.backends.torch.module import build
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

torch.set_num_threads(1)

LINK = """
block Unit(c, stride): [cin, H, W] -> [c, _, _] {
  residual(when = stride == 1 and cin == c) { conv(2 * cin, 1) -> relu -> conv(c, 3, stride=stride) -> bn }
}
net A { input x [4, 8, 8]
  Unit(4, 1) -> Unit(6, 1) -> Unit(6, 1) -> Unit(6, 2) -> Unit(8, 2) }
"""
PROJECTION = """
block Basic(c, stride=1, drop=0): [cin, H, W] -> [c, _, _] {
  x = it
  bn -> relu
  residual(shortcut = x if stride == 1 and cin == c else conv(c, 1, stride=stride)) {
    conv(c, 3, stride=stride) -> bn -> relu
    if drop > 0 { dropout(drop) }
    conv(c, 3)
  }
}
net A { input x [4, 8, 8]
  Basic(4) -> Basic(8, 2) -> Basic(8) -> Basic(12, 2) }
"""
ROLL = """
block Shifted(c, shift): [C, H, W] -> [c, _, _] {
  conv(c, 1) -> windows(4, shift=shift) -> attention(2) -> unwindows(H, W, shift=shift)
}
net A { input x [4, 8, 8]
  Shifted(4, 0) -> Shifted(6, 2) -> Shifted(8, 0) }
"""
OWN_NAME = """
block Gated(c, gate) {
  conv(c, 3)
  if gate { it * (gap -> linear(c) -> sigmoid) }
  relu
}
net A { input x [4, 8, 8]
  Gated(4, true) -> Gated(6, false) -> Gated(8, true) }
"""
LOOP = """
net A { input x [4, 8, 8]
  parts: for i in range(3) {
    a = conv(4, 3) -> relu
    if i < 2 { a + (it -> conv(4, 1)) } else { a }
  } }
"""
ELSE = """
block Down(c, wide) {
  if wide > 2 { maxpool(2) -> relu } else { avgpool(2) }
  conv(c, 3) -> relu
}
net A { input x [4, 16, 16]
  Down(4, 3) -> Down(6, 1) -> Down(8, 5) }
"""
ROUNDS = """
block Coarser(c, steps) {
  repeat steps - 1 { conv(4, 3, stride=2) -> relu }
  conv(c, 3, stride=2)
}
net A { input x [4, 16, 16]
  Coarser(6, 2) + Coarser(6, 2) + (Coarser(8, 3) -> upsample(2) -> conv(6, 1)) }
"""
CASES = {
    "a link": (LINK, ["self.residual = stride == 1 and cin == c", "return x + y if self.residual else y"]),
    "a projection": (
        PROJECTION,
        ["if stride != 1 or cin != c else None", "if self.conv3 is not None"],
    ),
    "a method in a chain": (ROLL, ["self.shift = shift", "if self.shift else x"]),
    "the author's own switch": (OWN_NAME, ["gate: bool", "if gate else None", "if self.linear is not None else x"]),
    "no argument": (LOOP, []),
    "two arms": (ELSE, ["wide > 2"]),
    "rounds": (ROUNDS, ["steps: int", "steps > 2"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_class_computes_what_each_block_says(case: str) -> None:
    text, wanted = CASES[case]
    program = Spec(Source(text, "test.net"), read_import).net("A").checked
    source = proven_emit(program, "A")
    for part in wanted:
        assert part in source, source
    if wanted:
        blocks = re.findall(r"^class (\w+).*# test.net", source, re.M)
        assert len(blocks) == 2, source
    module = build(source, "A")
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == paths(program)
    randomize(module)
    state = {k: v.clone() for k, v in module.state_dict().items()}
    given = inputs(program)
    for training in (False, True):
        torch.manual_seed(0)
        found: Any = module.train(training)(*given)
        torch.manual_seed(0)
        (expected,) = evaluate(program, dict(state), given, training=training)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_classes_of_one_block_that_stay_apart_are_named_by_what_differs() -> None:
    program = (
        Spec(
            Source(
                "block Level(c, depth) {\n conv(c, 3) -> relu -> conv(c, 3) -> relu -> conv(c, 3)\n"
                " if depth > 0 { skip = it\n maxpool(2) -> Level(2 * c, depth - 1) -> upconv(c, 2, stride=2)\n"
                " concat(skip, it) -> conv(c, 3) -> relu -> conv(c, 3) -> relu } }\n"
                "net A { input x [1, 8, 8]\n Level(4, 2) }",
                "test.net",
            ),
            read_import,
        )
        .net("A")
        .checked
    )
    names = re.findall(r"^class (\w+)", proven_emit(program, "A"), re.M)
    assert names == ["Level", "LevelInnermost", "A"]
