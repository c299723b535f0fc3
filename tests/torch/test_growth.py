"""Printing costs what it prints: the lines of code that run grow with the net, not with its square.

Counted, not timed, at small sizes; `benchmarks/growth.py` has the seconds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from work import lines_run

from netdsl.backends.torch.source import emit
from netdsl.ir.model import Program
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

UNIT = "block U(c) = conv(c, 3) -> bn -> relu\n"
NETS: dict[str, Callable[[int], str]] = {
    "equal blocks": lambda n: UNIT + net(f"repeat {n} {{ U(4) }}"),
    "members of a container": lambda n: UNIT + net(f"body: repeat {n} {{ U(4) }}"),
    "members that differ": lambda n: net(f"body: for i in range({n}) {{ conv(4 + i % 3, 1) }}\n conv(4, 1)"),
    "members that are tapped": lambda n: net(f"taps: for i in range({n}) {{ a = conv(4, 1)\n it + a -> relu }}"),
    "written lines": lambda n: net("\n".join(f"a{i} = conv(4, 1)\n it + a{i}" for i in range(n))),
    "labels": lambda n: net("\n".join(f"part{i}: conv(4, 1) -> relu" for i in range(n))),
    "containers": lambda n: net("\n".join(f"part{i}: for j in range(2) {{ conv(4, 1) }}" for i in range(n))),
    "a shared layer": lambda n: net(f"share f = conv(4, 1)\n for i in range({n}) {{ f -> tanh }}"),
    "layers without weights": lambda n: net(
        "\n".join("a = maxpool(3, stride=1, padding=1)\n it + a" for _ in range(n))
    ),
    "sums": lambda n: net(f"for i in range({n}) {{ it * 0.5 + x }}"),
    "branches": lambda n: net("\n".join("concat(conv(2, 1), conv(1, 1), conv(1, 1) -> relu)" for _ in range(n))),
}


def net(body: str) -> str:
    return f"net A {{ input x [4, 8, 8]\n {body} }}\n"


def program_of(text: str) -> Program:
    return Spec(Source(text, "test.net"), read_import).net("A").checked


@pytest.mark.parametrize("kind", NETS)
def test_printing_is_linear(kind: str) -> None:
    small, large = (program_of(NETS[kind](n)) for n in (40, 160))
    emit(small, class_name="A")  # what is done once is done before
    one, four = (lines_run(lambda p=p: emit(p, class_name="A")) for p in (small, large))  # type: ignore[misc]
    assert four < 4.6 * one, (one, four)


def test_a_long_sum_is_written_over_several_lines() -> None:
    found = Spec(Source(net("for i in range(1000) { it * 0.5 + x }"), "test.net"), read_import).net("A")
    module = found.module().eval()
    assert torch.allclose(module(torch.ones(1, 4, 8, 8)), torch.full((1, 4, 8, 8), 2.0))
    assert max(map(len, found.source().splitlines())) <= 100


def test_garbage_is_looked_for_again_once_the_source_is_made() -> None:
    made = Spec(Source(net("relu"), "a.net"), read_import).net("A")
    for on in (True, False):
        (gc.enable if on else gc.disable)()
        try:
            made.source()
            assert gc.isenabled() == on
        finally:
            gc.enable()
