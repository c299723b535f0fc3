"""Pieces of matching and of converting, one by one: what a whole file rarely depends on."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netdsl.weights.orders as orders
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.weights.convert import reverse, with_positions
from netdsl.weights.load import Loaded, Rules, load
from netdsl.weights.match import match
from netdsl.weights.read import Foreign
from netdsl.weights.slots import Slot, slots
from netdsl.weights.unwrap import WeightsError


def taken(text: str, state: dict[str, Any]) -> Loaded:
    file = Foreign("f", {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in state.items()})
    return load(Spec(Source(text, "n.net"), read_import).net("N").checked, file, dict, Rules())


@pytest.mark.parametrize("prefix", ["", "module.", "module.net."])
@pytest.mark.parametrize("more", [0, 1, -1])
def test_equal_keys_are_evidence_by_themselves(prefix: str, more: int) -> None:
    """Whether one side has more than the other, and behind a prefix of any depth."""
    text = f"net N {{ input x [4]\n repeat 6 {{ linear(4) -> relu }}\n {'linear(3)' if more < 0 else 'relu'} }}"
    program = Spec(Source(text, "n.net"), read_import).net("N").checked
    own = [s for s in slots(program.main) if more >= 0 or s.shape[0] == 4]
    file = [Slot(prefix + s.key, s.shape) for s in own[::-1]]
    file += [Slot(f"{prefix}other.weight", (9, 9))] * (more > 0)
    found = match(program, file)
    assert {m.why for m in found.matches} == {"equal keys"}
    assert [m.foreign.key for m in found.matches] == [prefix + s.key for s in own]
    assert len(found.missing) == (2 if more < 0 else 0)
    assert len(found.left_over) == max(0, more)


def test_biases_of_query_and_value_beside_a_fused_projection() -> None:
    """BEiT's and Swin v2's: the keys have no bias."""
    draw = np.random.default_rng(0)
    shapes = {
        "attn.qkv.weight": (24, 8), "attn.q_bias": (8,), "attn.v_bias": (8,), "attn.proj.weight": (8, 8),
        "attn.proj.bias": (8,),
    }  # fmt: skip
    state = {k: draw.normal(size=s).astype("float32") for k, s in shapes.items()}
    found = taken("net N { input x [5, 8]\n attention(2) }", state)
    assert not found.found.left_over
    bias = next(a for k, a in found.state.items() if k.endswith("in_proj_bias"))
    assert np.array_equal(bias, np.concatenate([state["attn.q_bias"], np.zeros(8), state["attn.v_bias"]]))


def test_a_spectral_norm_of_a_transposed_convolution_is_over_its_second_axis() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = nn.utils.spectral_norm(nn.ConvTranspose2d(4, 6, 3, 1, 1))
    x = torch.randn(1, 4, 5, 5)
    twin(x)
    twin.eval()
    found = taken("net N { input x [4, 5, 5]\n upconv(6, 3, stride=1, padding=1) }", {**twin.state_dict()})
    weight = next(torch.from_numpy(a) for k, a in found.state.items() if k.endswith("weight"))
    assert torch.allclose(F.conv_transpose2d(x, weight, twin.bias, 1, 1), twin(x), atol=1e-5)


@pytest.mark.parametrize(("extra", "given", "wanted"), [(0, 4, 6), (1, 4, 3), (2, 4, 6), (2, 4, 1)])
def test_rows_that_no_grid_explains_stay(extra: int, given: int, wanted: int) -> None:
    """None, a class token's, or those of a class token and a distillation token (DeiT)."""
    table = torch.randn(1, extra + given**2, 5, generator=torch.Generator().manual_seed(0))
    found = with_positions(table.numpy(), (1, extra + wanted**2, 5), "positions")
    grid = table[:, extra:].reshape(1, given, given, 5).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, (wanted, wanted), mode="bicubic", antialias=True)
    expected = torch.cat([table[:, :extra], resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    assert torch.allclose(torch.from_numpy(found), expected)


def test_a_table_of_no_grid_is_refused() -> None:
    with pytest.raises(WeightsError, match="two square grids"):
        with_positions(np.zeros((1, 18, 4), "float32"), (1, 40, 4), "positions")


def test_what_is_not_of_the_net_stays_as_it_is_in_the_file() -> None:
    text = "net N { input x [4]\n linear(4) -> relu -> linear(3) }"
    draw = np.random.default_rng(0)
    shapes = {"a.weight": (4, 4), "a.bias": (4,), "b.weight": (3, 4), "b.bias": (3,), "aux.weight": (9, 4)}
    state = {k: draw.normal(size=s).astype("float64") for k, s in shapes.items()}
    found = taken(text, state)
    new = {k: a + 1 for k, a in found.state.items()}
    back, kept = reverse(found.found.matches, new, state)
    assert kept == ["aux.weight"]
    assert back.keys() == state.keys()
    assert {a.dtype.name for a in back.values()} == {"float64"}
    assert np.array_equal(back["aux.weight"], state["aux.weight"])
    assert all(np.allclose(back[k], state[k] + 1, atol=1e-6) for k in shapes if k not in kept)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Linear(4, 3, bias=False), nn.PReLU(4)])
def test_a_file_of_one_layer_has_no_prefix(layer: nn.Module) -> None:
    line = "prelu(4)" if isinstance(layer, nn.PReLU) else f"linear(3{'' if layer.bias is not None else ', bias=false'})"
    found = taken(f"net N {{ input x [4]\n {line} }}", layer.state_dict())
    assert len(found.state) == len(layer.state_dict())
    assert not found.found.left_over


@pytest.mark.parametrize("most", [3, 2])
def test_layers_that_no_order_puts_as_the_net_uses_them(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix that the net cuts through is taken apart; where that would be too many parts, the reason is said."""
    monkeypatch.setattr(orders, "MOST_PARTS", most)
    program = Spec(Source("net N { input x [3]\n linear(4) -> linear(5) -> linear(6) }", "n.net"), read_import).net("N")
    shapes = {"a.one": (4, 3), "a.two": (6, 5), "b": (5, 4)}
    file = [Slot(f"{k}.{r}", s[: 2 - (r == "bias")]) for k, s in shapes.items() for r in ("weight", "bias")]
    found = match(program.checked, file)
    assert found.complete == (most == 3)
    untried = "too many orders of its layers fit the net, and no names or numbers tell them apart"
    assert found.reasons == (() if most == 3 else (untried,))  # not that they do not fit: nobody looked


def test_one_layer_too_many_of_a_shape_is_not_guessed() -> None:
    """Which of three equal layers a net of two has, nothing says."""
    draw = np.random.default_rng(0)
    state = {f"{n}.weight": draw.normal(size=(4, 4)).astype("float32") for n in ("a", "b", "c")}
    with pytest.raises(WeightsError, match="the net has 2 and the file 3"):
        taken("net N { input x [4]\n linear(4, bias=false) -> relu -> linear(4, bias=false) }", state)


def test_a_convolution_over_the_whole_map_is_the_linear_layer_after_flatten() -> None:
    draw = np.random.default_rng(0)
    shapes = {"fc6.weight": (8, 3, 4, 4), "fc6.bias": (8,), "fc7.weight": (5, 8, 1, 1), "fc7.bias": (5,)}
    state = {k: draw.normal(size=s).astype("float32") for k, s in shapes.items()}
    found = taken("net N { input x [3, 4, 4]\n flatten -> linear(8) -> relu -> linear(5) }", state).state
    assert [a.shape for a in found.values()] == [(8, 48), (8,), (5, 8), (5,)]
    assert all(np.array_equal(a, b.reshape(a.shape)) for a, b in zip(found.values(), state.values(), strict=True))


def test_a_norm_called_final_before_the_body_is_doubtful() -> None:
    """The shapes allow it, but the file is of a net that has its norm at the end."""
    program = Spec(
        Source("net N { input x [5, 8]\n layernorm\n repeat 2 { linear(8) -> relu } }", "n.net"), read_import
    )
    file = [Slot("norm.weight", (8,)), Slot("norm.bias", (8,))]
    file += [Slot(f"layers.{i}.{r}", (8,) * (2 - (r == "bias"))) for i in range(2) for r in ("weight", "bias")]
    assert match(program.net("N").checked, file).open
    first = [Slot(s.key.replace("norm", "entry"), s.shape) for s in file]
    assert match(program.net("N").checked, first).complete


def test_a_variance_below_zero_is_noted() -> None:
    """Its root is NaN wherever the norm is used."""
    norm = {k: v.clone() for k, v in nn.BatchNorm1d(4).state_dict().items()}
    norm["running_var"][2] = -1
    file = {f"a.{k}": v for k, v in norm.items()} | {"b.weight": torch.ones(4, 4, 3), "b.bias": torch.ones(4)}
    notes = taken("net N { input x [4, 8]\n conv(4, 3) -> bn }", file).notes
    assert any("variances below 0" in note for note in notes)
