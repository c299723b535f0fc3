"""The modules and functions that emitted files define for themselves, against torch's layers or plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from op_harness import Form, Use, torch_module
from torch import Tensor, nn
from torch.nn import functional as F

from netdsl.ops.base import Example


def use(text: str, *inputs: str) -> Use:
    return Use(text.partition("(")[0], Example(text, inputs))


def made(text: str, *inputs: str) -> tuple[Form, list[Tensor]]:
    """The module of an op with random weights, and random inputs for it."""
    torch.manual_seed(7)
    found = use(text, *inputs)
    return torch_module(found).eval(), found.values


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", ["attention(2)", "attention(4, causal=true)", "attention(2, bias=true, mask=y)"])
def test_attention_is_torch_multihead_attention(text: str) -> None:
    """The same state dict gives the same values."""
    masked = "mask" in text
    module, values = made(text, "[5, 8]", *(["[5, 5]"] if masked else []))
    heads = module.layer.heads
    reference = nn.MultiheadAttention(8, heads, batch_first=True).eval()
    reference.load_state_dict(module.layer.state_dict())
    mask = values[1].repeat_interleave(heads, 0) if masked else None
    if "causal" in text:
        mask = nn.Transformer.generate_square_subsequent_mask(5)
    expected, _ = reference(values[0], values[0], values[0], attn_mask=mask, need_weights=False)
    close(module(*values), expected)


def test_attention_starts_as_torch_multihead_attention() -> None:
    torch.manual_seed(3)
    own = Form(use("attention(2)", "[5, 8]")).layer.state_dict()
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[n], theirs[n]) for n in theirs)


def test_cross_attention_is_torch_multihead_attention() -> None:
    module, (x, context) = made("cross_attention(2, context=y)", "[5, 8]", "[6, 4]")
    reference = nn.MultiheadAttention(8, 2, kdim=4, vdim=4, batch_first=True).eval()
    own = module.layer.state_dict()
    state = {f"{n}_proj_weight": own[f"{n}_proj.weight"] for n in "qkv"}
    state["in_proj_bias"] = torch.cat([own[f"{n}_proj.bias"] for n in "qkv"])
    reference.load_state_dict(state | {n: own[n] for n in ("out_proj.weight", "out_proj.bias")})
    close(module(x, context), reference(x, context, context, need_weights=False)[0])


def test_attention_in_windows_attends_to_each_alone() -> None:
    module, (x, mask) = made("attention(2, mask=y)", "[3, 5, 8]", "[3, 1, 5, 5]")
    each = [module.layer(x[:, i], mask[:, i]) for i in range(3)]
    close(module(x, mask), torch.stack(each, 1))


def test_windows_and_back() -> None:
    module, (x,) = made("windows(3)", "[4, 6, 9]")
    windows = module(x)
    for index in range(6):
        top, left = 3 * (index // 3), 3 * (index % 3)
        close(windows[:, index], x[:, :, top : top + 3, left : left + 3].flatten(2).transpose(1, 2))
    back, _ = made("unwindows(6, 9)", "[6, 9, 4]")
    close(back(windows), x)


@pytest.mark.parametrize(
    ("size", "shift"),
    [((3, 3), (s, s)) for s in (0, 1, 2)] + [((2, 3), (0, 0)), ((2, 3), (1, 2)), ((3, 1), (2, 0)), ((6, 3), (0, 1))],
)
def test_window_bias(size: tuple[int, int], shift: tuple[int, int]) -> None:
    """A bias by offset, and -100 between positions whose places in the image before the roll were far apart."""
    said = f"{size[0]}, shift={shift[0]}" if size == (3, 3) else f"{size}, shift={shift}"
    module, (x,) = made(f"window_bias(2, {said})", "[4, 6, 9]")
    table, bias = module.layer.relative_position_bias_table, module(x)
    (rows, columns), moved = size, any(shift)
    cells = [(i, j) for i in range(rows) for j in range(columns)]
    assert bias.shape[1:-3] == ((54 // len(cells),) if moved else ())
    for index in range(54 // len(cells) if moved else 1):
        top, left = rows * (index // (9 // columns)), columns * (index % (9 // columns))
        for a, (i, j) in enumerate(cells):
            for b, (k, m) in enumerate(cells):
                before = [((top + r + shift[0]) % 6, (left + c + shift[1]) % 9) for r, c in ((i, j), (k, m))]
                near = abs(before[0][0] - before[1][0]) < rows and abs(before[0][1] - before[1][1]) < columns
                want = table[(i - k + rows - 1) * (2 * columns - 1) + j - m + columns - 1] - (0 if near else 100)
                got = bias[0, index, :, a, b] if moved else bias[0, :, a, b]
                close(got, want)


def test_weight_standardization_is_batch_norm_of_the_filters() -> None:
    module, (x,) = made("conv(6, 3, weight_standardization=true, eps=1e-8)", "[4, 8, 9]")
    weight, bias = module.layer.weight, module.layer.bias
    filters = F.batch_norm(weight.reshape(1, 6, -1), None, None, training=True, momentum=0.0, eps=1e-8)
    close(module(x), F.conv2d(x, filters.reshape_as(weight), bias, padding=1))


def test_scaled_weight_standardization_is_batch_norm_of_the_filters() -> None:
    module, (x,) = made("scaled_conv(6, 3, gamma=1.7, stride=2)", "[4, 8, 9]")
    weight, gain = module.layer.weight, module.layer.gain
    scale = (gain * 1.7 * 36**-0.5).view(-1)
    flat = weight.reshape(1, 6, -1)
    filters = F.batch_norm(flat, None, None, weight=scale, training=True, momentum=0.0, eps=1e-6)
    close(module(x), F.conv2d(x, filters.reshape_as(weight), module.layer.bias, stride=2, padding=1))


@pytest.mark.parametrize(("size", "row"), [(2, [1, 1]), (3, [1, 2, 1]), (4, [1, 3, 3, 1]), (5, [1, 4, 6, 4, 1])])
def test_blurpool(size: int, row: list[int]) -> None:
    torch.manual_seed(0)
    found = use(f"blurpool({size})", "[4, 8, 9]")
    module = Form(found)
    line = torch.tensor(row, dtype=torch.float32) / sum(row)
    close(module.layer.weight, (line[:, None] * line).expand(4, 1, size, size))
    (x,) = found.values
    padded = F.pad(x, [(size - 1) // 2, size // 2] * 2, mode="reflect")
    close(module(x), F.conv2d(padded, module.layer.weight, stride=2, groups=4))


def test_norms_over_the_channels_of_a_image() -> None:
    for text, reference in (("layernorm(eps=1e-6)", nn.LayerNorm(4, 1e-6)), ("rmsnorm", nn.RMSNorm(4))):
        module, (x,) = made(text, "[4, 8, 9]")
        reference.load_state_dict(module.layer.state_dict())
        close(module(x), reference(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_drop_path(mode: str) -> None:
    """Whole samples (or the whole batch) are dropped at the given rate, and the mean stays."""
    torch.manual_seed(0)
    module = Form(use(f"drop_path(0.25, mode={mode})", "[3]"))
    assert not module.layer.state_dict()
    x = torch.ones(400, 3)
    draws = torch.stack([module(x) for _ in range(50)])
    assert draws.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert draws.mean().item() == pytest.approx(1, abs=0.03 if mode == "row" else 0.2)
    assert all((draws[..., 0] == draws[..., i]).all() for i in (1, 2))
    assert (mode == "batch") == bool((draws == draws[:, :1]).all())
    module.layer.rate.fill_(1.0)
    assert not module(x).any()
    assert module.eval()(x) is x


def test_gaussian_noise() -> None:
    """Mean 0 and the given deviation while training; nothing at inference."""
    torch.manual_seed(0)
    module = Form(use("gaussian_noise(0.3)", "[7]"))
    x = torch.full((20_000, 7), 2.0)
    noise = module(x) - x
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert noise.std().item() == pytest.approx(0.3, abs=0.005)
    assert module.eval()(x) is x


def test_noise() -> None:
    """Standard normal while training, its mean at inference."""
    torch.manual_seed(0)
    module = Form(use("noise", "[7]"))
    drawn = module(torch.full((20_000, 7), 2.0))
    assert drawn.mean().item() == pytest.approx(0, abs=0.01)
    assert drawn.std().item() == pytest.approx(1, abs=0.01)
    assert not module.eval()(torch.ones(2, 7)).any()


def test_rotary_scores_depend_on_distances() -> None:
    """Queries and keys moved along together give the same scores (Su et al., 2021, section 3.2)."""
    module, (x,) = made("rotary(base=50)", "[1, 8]")
    q, k = x[:, :1], x[:, :1].flip(-1)
    rows = [module(t.expand(-1, 9, -1)) for t in (q, k)]
    scores = rows[0] @ rows[1].transpose(-1, -2)
    for distance in range(-3, 4):
        line = scores.diagonal(distance, -2, -1)
        close(line, line[..., :1].expand_as(line))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_scatter(reduce: str) -> None:
    module, (x, index) = made(f"scatter(index=y, size=4, reduce={reduce})", "[6, 3]", "[6] int64")
    result = module(x, index)
    for sample in range(2):
        for node in range(4):
            rows = x[sample][index[sample] == node].numpy()
            want = getattr(np, reduce)(rows, axis=0) if len(rows) else np.zeros(3)
            np.testing.assert_allclose(result[sample, node].numpy(), want, rtol=1e-5, atol=1e-6)


def test_gather() -> None:
    module, (x, index) = made("gather(index=y)", "[4, 6]", "[5] int64")
    close(module(x, index), torch.stack([x[0][index[0]], x[1][index[1]]]))


def test_standardize() -> None:
    found = use("standardize(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))", "[3, 4, 5]")
    (x,) = found.values
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3])
    close(Form(found)(x), ((x.movedim(1, -1) - mean) / std).movedim(-1, 1))


LAYERS = [
    ("conv(6, 3, stride=2, groups=2)", "[4, 8, 9]"),
    ("conv(6, 3, bias=false)", "[4, 9]"),
    ("upconv(6, 3, stride=2)", "[4, 8, 9]"),
    ("linear(6)", "[7]"),
    ("linear(6, bias=false)", "[5, 4]"),
    ("linear(6)", "[4, 8, 9]"),
]


@pytest.mark.parametrize(("text", "shape"), LAYERS)
def test_a_layer_absorbs_what_scales_its_output(text: str, shape: str) -> None:
    """`absorb` gives an op and weights that compute `layer(x) * scale + shift` per output feature."""
    module, (x,) = made(text, shape)
    features = 1 if x.ndim != 3 or "conv" in text else 2
    scale, shift = np.linspace(-1, 2, 6, dtype="float32"), np.linspace(1, -3, 6, dtype="float32")
    arrays = {n: p.detach().numpy() for n, p in module.layer.named_parameters()}
    found = use(text, shape)
    folded = found.op.absorb(arrays, scale, shift)
    assert folded is not None
    found.op, weights = folded
    after = Form(found)
    after.layer.load_state_dict({n: torch.from_numpy(np.asarray(w, "float32")) for n, w in weights.items()})
    across = [-1 if i == features else 1 for i in range(x.ndim)]
    want = module(x) * torch.from_numpy(scale).view(across) + torch.from_numpy(shift).view(across)
    torch.testing.assert_close(after(x), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", ["bn", "bn(affine=false, eps=1e-2)", "scale(0.1)", "affine"])
def test_a_layer_that_scales_says_by_what(text: str) -> None:
    module, (x,) = made(text, "[4, 8, 9]")
    arrays = {n: v.numpy() for n, v in module.layer.state_dict().items()}
    form = use(text, "[4, 8, 9]").op.as_affine(arrays)
    assert form is not None
    scale, shift = (torch.from_numpy(np.asarray(v, "float32")).view(-1, 1, 1) for v in form)
    close(module(x), x * scale + shift)
