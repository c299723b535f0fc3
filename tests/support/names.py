"""Names that are unlucky in emitted PyTorch, and every place of a spec where a name can stand."""

from __future__ import annotations

import builtins
import keyword
import re

from torch import nn

PRINTED = (
    "torch", "nn", "F", "self", "x", "x1", "x2", "y", "z", "i", "_", "__", "layer", "math", "Tensor",
    "Module", "H", "W", "C", "L", "D", "batch", "out", "output", "weight", "bias", "in_channels",
    "in_features", "dim", "stride", "padding", "kernel_size", "size", "depth", "slope", "shape", "device",
    "dtype", "args", "kwargs", "cls", "functional", "numpy", "Attention", "CrossAttention", "DropPath",
    "DropConnect", "LayerScale", "WindowBias", "Standardize", "Constant", "GaussianDropout", "Conv2d",
    "Linear", "Net", "Unit", "Holder", "Plain", "unit", "holder", "__x", "__x__", "_x", "self_", "torch_",
    "range_", "plain_", "a", "b", "c", "_1", "__2", "_9a", "conv1", "Conv1", "CONV1", "forward", "Callable",
)  # fmt: skip
"""Names that the printer itself writes, those of its helpers, and some that it might make of others."""

NAMES = tuple(
    dict.fromkeys(
        [
            *PRINTED,
            *dir(nn.Module()),
            *(n for t in (nn.Sequential, nn.ModuleList, nn.ModuleDict) for n in dir(t) if not n.startswith("_")),
            *keyword.kwlist,
            *keyword.softkwlist,
            *dir(builtins),
        ]
    )
)


def net(body: str, before: str = "", channels: int = 4) -> str:
    """A net over a small image, after other declarations."""
    return f"{before}\nnet Big {{ input image [{channels}, 4, 4]\n {body} }}"


PLACES = {
    "net": "net @ { input image [3, 4, 4]\n conv(4, 1) -> relu }",
    "net with a size": "net @ { input image [3, N, 4]\n conv(4, 1) -> maxpool(2) }",
    "block": net("@(4) -> @(6)", "block @(c) = conv(c, 1) -> bn", 3),
    "block without weights": net("conv(4, 1)\n @\n p = @\n p + it", "block @ = relu -> tanh", 3),
    "block of a chain": net("body: @(4) -> relu -> @(6)", "block @(c) = conv(c, 1) -> bn", 3),
    "variant": net("@ -> @", "block Base(c) = conv(c, 1) -> bn\n@ = Base(4)", 3),
    "constant": net("conv(@, 1)", "@ = 4", 3),
    "argument": net("B(4) -> B(6)", "block B(@) = conv(@, 1) -> bn", 3),
    "argument in forward": net(
        "B(0.1) -> B(0.2)", "block B(@) = conv(4, 1) -> leaky_relu(@) -> conv(4, 1) -> leaky_relu(@)", 3
    ),
    "argument with a default": net(
        "B(4) -> B(4, 2)", "block B(c, @=1) { residual { conv(c, 3, stride=1, groups=@) -> relu } }"
    ),
    "argument that is a block": net(
        "B(P) -> B(Q)",
        "block B(@) { residual { @(4) -> relu -> @(4) } }\nblock P(c) = conv(c, 1)\nblock Q(c) = conv(c, 3) -> bn",
    ),
    "argument that is a function": net("B(4, relu) -> B(4, tanh)", "block B(c, @) { residual { conv(c, 1) -> @ } }"),
    "argument of a loop": net("B(2) -> B(5)", "block B(@) { stages: for j in range(@) { conv(8, 1) -> relu } }"),
    "argument that is a tensor": net("p = conv(3, 1)\n B(p) -> B(p)", "block B(@) = concat(it, @ -> conv(2, 1))"),
    "net argument": "net Big(@=5) { input image [3, 4, 4]\n conv(@, 1) }",
    "input": "net Big { input @ [3, 4, 4]\n conv(4, 1) -> relu\n it + (@ -> conv(4, 1)) }",
    "input with a size": "net Big { input @ [4, N, 4]\n maxpool(2) -> conv(4, 1)\n it + (@ -> maxpool(2)) }",
    "second input": net("input @ [4, 4, 4]\n image -> conv(4, 1) -> it + @", "", 3),
    "output": net("conv(4, 1) -> relu\n output @ = conv(2, 1)\n output other = conv(3, 1)", "", 3),
    "only output": net("conv(4, 1) -> relu\n output @ = conv(2, 1)", "", 3),
    "output in a loop": net("for j in range(2) { conv(4, 1)\n output @ = conv(2, 1) }", "", 3),
    "output of a block": net(
        "B -> relu", "block B { conv(4, 1)\n output @ = conv(2, 1) when training\n conv(3, 1) }", 3
    ),
    "output while training": net("conv(4, 1)\n output @ = conv(2, 1) when training\n conv(3, 1)", "", 3),
    "local": net("@ = conv(4, 1)\n conv(4, 1) -> relu -> conv(4, 1)\n it + @ * @", "", 3),
    "local with a size": "net Big { input image [4, N, 4]\n @ = conv(4, 1)\n"
    " conv(4, 1) -> reshape((2, 2 * N, 4)) -> conv(4, 1) -> reshape((4, 2 * N, 4)) -> maxpool((2, 1))\n it * @ }",
    "several locals": net("@, other = chunk(2)\n more = @ -> conv(2, 1)\n more + other * @"),
    "local before a loop": net(
        "@ = conv(4, 1)\n parts: for j in range(3) { (it + @) -> conv(4, 3) -> bn -> relu }\n it * @"
    ),
    "local with an arrow": net(
        "@ = conv(4, 1) -> dropout(0.5)\n conv(4, 1)\n output aux = @ -> conv(2, 1) when training\n it + @"
    ),
    "number": net("@ = 6\n conv(@, 1) -> conv(@, 1)"),
    "parameter": net("@ = param((4, 4, 4), init=1)\n conv(4, 1)\n it * @"),
    "label": net("@: conv(4, 1) -> relu\n bn", "", 3),
    "label of one layer": net("@: conv(4, 1)\n bn", "", 3),
    "label of a loop": net("@: for j in range(3) { conv(4, 1) -> relu }\n bn", "", 3),
    "label in a label": net("body: { @: conv(4, 1) -> relu\n k = it\n bn -> it + k }\n bn", "", 3),
    "label beside a share": net("share f = conv(4, 1)\n body: { f -> conv(4, 1)\n @: conv(4, 1) -> relu\n f }\n f"),
    "label met twice": net("for j in range(2) { @: conv(4, 1) -> relu }\n bn", "", 3),
    "share": net("share @ = conv(4, 1) -> bn\n @ -> relu -> @"),
    "captured block": net("share f = conv(4, 1)\n B(f) -> B(f)", "block B(@) = @ -> relu -> @"),
    "size": "net Big { input image [3, @, 4]\n conv(4, 1) -> maxpool(2) -> reshape((2, 2 * (@ // 2), 2)) }",
    "two sizes": "net Big { input image [3, @, N]\n conv(4, 1) -> maxpool(2) -> reshape((4, (@ // 2) * (N // 2))) }",
    "size of a block": net(
        "a = B\n maxpool(2) -> B -> linear(16)\n it + a",
        "block B: [K, @, M] -> [_, _] = conv(K, 1) -> reshape((K, @ * M))",
        3,
    ),
    "channels of a block": net("B -> B", "block B: [@, M, N] -> [_, _, _] = conv(2 * @, 1) -> bn", 3),
    "loop variable": net("for @ in [2, 3] { conv(@, 1) }"),
    "comprehension": net("concat(*[conv(@, 1) for @ in [2, 3]])"),
    "part": net("@ -> relu", "net @ { input image [3, 4, 4]\n conv(4, 1) }", 3),
}
"""Specs with `@` where the name stands; the net is `Big`, or the name itself."""


def spec(place: str, name: str) -> str:
    """The spec of a place with a name in it."""
    return PLACES[place].replace("@", name) + "\n"


TOGETHER = """
@0 = 2
block @1(@2, @3=relu): [@4, @5, @6] -> [_, _, _] {
  @7 = conv(@2, 1)
  @8: conv(@2, 3) -> @3
  it + @7
}
block @9(@10) = @10 -> relu -> @10
net @11 {
  input @12 [4, @13, 4]
  conv(4, 1)
}
net @14(@15=4) {
  input @16 [4, @17, @18]
  input @19 [4, @17, @18]
  share @20 = conv(4, 1)
  @21 = @16 -> @1(4) -> @20
  @22, @23 = @19 -> chunk(2)
  @19 -> conv(4, 1)
  @24: for @25 in range(@0) { @1(@15, tanh) -> @9(conv(4, 1)) }
  @26 = param((4, 1, 1), init=1)
  @21 + it * @26
  @27 = [conv(4, 1), conv(4, 3)]
  @27[0] -> @20 -> @27[1]
  reshape((2, 2 * @17, @18)) -> reshape((4, @17, @18)) -> maxpool(2)
  require @17 >= 3
  output @28 = it + (@22 -> maxpool(2) -> conv(4, 1)) + (@23 -> maxpool(2) -> conv(4, 1))
  output @29 = concat(*[conv(@30, 1) for @30 in [2, 3]])
  output @31 = conv(1, 1) when training
}
"""
"""A net with a name in every place at once, `@0` to `@31`."""

HOLES = 32
SIZE_HOLES = (4, 5, 6, 13, 17, 18)
NET_HOLE = 14
OUTER_HOLES = (0, 1, 9, 11, 14, 15, 16, *range(19, 32))
"""What the file declares and what the net calls its own: names that hide one another would say something else."""
BLOCK_HOLES = (2, 3, 7, 8)


def together(chosen: dict[int, str]) -> tuple[str, str]:
    """The spec with these names and plain ones in the other places; the name of its net."""
    plain = {i: ("P" if i in SIZE_HOLES else "plain") + chr(65 + i // 26) + chr(65 + i % 26) for i in range(HOLES)}
    names = plain | chosen
    return re.sub(r"@(\d+)", lambda match: names[int(match[1])], TOGETHER), names[NET_HOLE]
