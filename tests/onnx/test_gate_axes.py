"""What is pooled over an image and gets axes back: those of the image, or any others."""

from __future__ import annotations

import itertools

import pytest
from agreement import agree

from netdsl.pipeline import Net, Spec
from netdsl.source import Source

IMAGES = ("4, L", "4, H, W", "4, D, H, W")
INSIDE = ("", "linear(6) -> relu -> linear(4) -> sigmoid -> ")


def net(text: str) -> Net:
    return Spec(Source(f"net A {{\n{text}\n}}\n", "gates.net"), lambda *_: None).net("A")


@pytest.mark.parametrize(("image", "inside"), list(itertools.product(IMAGES, INSIDE)))
def test_axes_behind_a_pooled_vector(image: str, inside: str) -> None:
    """One, two and three axes, whatever the image has: as many as were pooled make a gate of the image."""
    for count, pool in ((1, "gap"), (2, "gmp"), (3, "gap")):
        axes = " -> ".join(f"unsqueeze(axis={i + 1})" for i in range(count))
        assert agree(net(f"  input x [{image}]\n  {pool} -> {inside}{axes}"), count)
    assert agree(net(f"  input x [{image}]\n  x * ({INSIDE[0]}gap -> {inside}relu)"), 0)


def test_a_gate_is_read_in_two_shapes() -> None:
    text = "  input x [4, H, W]\n  g = gap -> linear(4) -> sigmoid\n  output a = x * g\n"
    for axes in ("unsqueeze(axis=0)", "unsqueeze(axis=1)", "unsqueeze(axis=1) -> unsqueeze(axis=2)"):
        assert agree(net(f"{text}  output b = g -> {axes}"), 2)
