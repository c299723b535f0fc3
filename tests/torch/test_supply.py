"""A block whose sizes its inputs do not tell is given a tensor that does: what `check` accepts becomes a module."""

from __future__ import annotations

from random import Random

import pytest
from open_sizes import held, net_of

ROWS = 'block Rows(h) { rearrange("(y x) c -> c y x", y=h) -> conv(4, 3) -> rearrange("c y x -> (y x) c") }\n'
FORMS = (
    "{}",
    "layernorm -> {}",
    "residual {{ layernorm -> {} }}",
    "part: linear(4) -> {} -> {} -> gelu",
    "stages: for i in range(3) {{ layernorm -> {} -> linear(4) }}",
    "again: for i in range(2) {{ residual {{ {} -> gelu }} }}",
)


def grid_net(seed: int) -> str:
    """Blocks in blocks that lay tokens out in rows, by a number that comes from the image."""
    random = Random(seed)
    stride = random.choice((1, 2, 3))
    size = "H" if stride == 1 else f"(H + {stride - 1}) // {stride}"
    text, inner = ROWS, "Rows"
    for depth in range(random.randint(0, 2)):
        lines = [form.format(*[f"linear(4) -> {inner}(h)"] * 2) for form in random.sample(FORMS, 2)]
        inner = f"Outer{depth}"
        text += f"block {inner}(h) {{\n  " + "\n  ".join(lines) + "\n}\n"
    lines = [f"conv(4, 3, stride={stride})", 'rearrange("c y x -> (y x) c")']
    lines += [form.format(*[f"{inner}({size})"] * 2) for form in random.sample(FORMS, random.randint(1, 3))]
    return text + "net N {\n  input image [2, H, W]\n  " + "\n  ".join(lines) + "\n}\n"


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_tokens_at_every_size(seed: int) -> None:
    net = net_of(grid_net(seed))
    assert not net.diagnostics, net.diagnostics
    assert held(net, seed, 3) == 9


def test_sizes_come_from_the_nearest_tensor_that_tells_them() -> None:
    text = ROWS.replace("conv(4, 3)", "conv(4, 3, stride=2)").replace("Rows(h) {", "Half(h) {")
    net = net_of(text + 'net N {\n  input image [2, H, W]\n  rearrange("c y x -> (y x) c")\n  Half(H)\n}\n')
    assert "def forward(self, x: Tensor, image: Tensor)" in net.source()


def test_keys_of_an_opened_chain_are_those_it_had() -> None:
    text = 'net N {{\n  input image [2, H, W]\n  rearrange("c y x -> (y x) c")\n  part: layernorm -> Rows({})\n}}\n'
    opened, closed = net_of(ROWS + text.format("H")), net_of(ROWS + text.replace("H, W", "6, 6").format("6"))
    assert list(opened.module().state_dict()) == list(closed.module().state_dict())


def test_two_inputs_tell_a_size_together() -> None:
    net = net_of(
        ROWS + 'net N {\n  input a [2, H]\n  input b [2, W]\n  grid = einsum("c h, c w -> h w", a, b)\n'
        '  grid -> unsqueeze(axis=0) -> conv(4, 1) -> rearrange("c y x -> (y x) c")\n  Rows(H)\n}\n'
    )
    assert held(net, 0, 3) == 9


def test_a_required_multiple_says_what_floors_are() -> None:
    """SegFormer: a padded convolution gives `(H + 3) // 4` rows, its author writes `H // 4`."""
    net = net_of(
        ROWS + "net N {\n  input image [2, H, W]\n  require H % 4 == 0 and W % 4 == 0\n"
        '  conv(4, 7, stride=4, padding=3) -> rearrange("c y x -> (y x) c") -> Rows(H // 4)\n}\n'
    )
    assert "==" not in " ".join(str(c) for c in net.checked.constraints if "% 4" not in str(c))
    assert held(net, 0, 4) == 1
