"""Specs of any size, for the sweeps of `growth.py`."""

from __future__ import annotations


def lines_of(lines: int) -> str:
    """A spec whose lines are all written out."""
    body = "\n".join(f"  a{i} = conv(4, 1)\n  it + a{i}" for i in range(lines // 2))
    return f"net A {{\n  input x [4, 8, 8]\n{body}\n}}\n"


def residues(rounds: int) -> str:
    """Pairs that bring a size down and up again, each by a factor of its own."""
    pair = "residual { maxpool(2 + i) -> upsample(2 + i) }"
    return f"net A {{\n  input x [4, H]\n  for i in range({rounds}) {{ {pair} }}\n}}\n"


def unused(blocks: int) -> str:
    """Blocks of which one is used."""
    return "".join(f"block B{i} = conv({i % 7 + 1}, 1)\n" for i in range(blocks)) + "net A { input x [4, 8, 8]\n B0 }\n"


def blank(lines: int) -> str:
    """A net below lines that are empty."""
    return "\n" * lines + "net A { input x [4]\n linear(3) }\n"


def sized(lines: int) -> str:
    """A net that is called as its size is."""
    body = "\n".join("  residual { layernorm -> linear(8) -> relu -> linear(4) }" for _ in range(lines))
    return f"net L {{\n  input x [L, 4]\n{body}\n}}\nexpect L: output == [L, 4]\n"


def inputs(count: int) -> str:
    """A net of many inputs that it adds up."""
    names = [f"x{i}" for i in range(count)]
    declared = "\n".join(f"  input {n} [4]" for n in names)
    return f"net A {{\n{declared}\n  sum([{', '.join(names)}]) -> linear(3)\n}}\n"


def stages(layers: int) -> str:
    """A net whose layers all differ from those beside them."""
    body = "\n".join(f"  conv({i * 7919 % 61 + 3}, {1 + 2 * (i % 2)}) -> relu" for i in range(layers))
    return f"net A {{\n  input x [4, 8, 8]\n{body}\n}}\n"


def grouped(layers: int) -> str:
    """A recipe with a group for each layer."""
    labels = "\n".join(f"  l{i}: conv(4, 1)" for i in range(layers))
    groups = "\n".join(f"  group l{i} {{ lr = {0.1 / (i + 1):.6f} }}" for i in range(layers))
    recipe = f'recipe R for A {{\n  data = npz("a.npz")\n{groups}\n}}\n'
    return f"net A {{\n  input x [4, 8, 8]\n{labels}\n  gap -> linear(3)\n}}\n{recipe}"


def variants(count: int) -> str:
    """Variants of which each is the one before."""
    body = "".join(f"net V{i} = {f'V{i - 1}' if i else 'A'}\n" for i in range(count))
    return f"net A {{ input x [4, 8, 8]\n conv(4, 1) }}\n{body}"
