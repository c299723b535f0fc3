"""How weights start: what a word draws, and what its selectors leave alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from roles import roles_of
from torch import Tensor, nn

from netdsl.diagnostics.diagnostic import Fault
from netdsl.planning.groups import Parameter
from netdsl.planning.initialization import NetParameters
from netdsl.training.initialize import Start, initialize


def started(text: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters of a small net before and after an `init`."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 400, 3), nn.BatchNorm2d(400), nn.Flatten(), nn.Linear(400, 300))
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    initialize(recipe(f"init = {text}").init, Start(module, NetParameters(roles_of(module), head="3.weight"), Path()))
    return before, {n: p.detach() for n, p in module.named_parameters()}


def changed(text: str) -> set[str]:
    before, after = started(text)
    return {n for n in before if not torch.equal(before[n], after[n])}


def test_a_word_draws_weights_and_zeroes_biases() -> None:
    assert changed("normal(0.01)") == {"0.weight", "0.bias", "3.weight", "3.bias"}
    _, after = started("normal(0.01)")
    assert float(after["0.weight"].std()) == pytest.approx(0.01, rel=0.03)
    assert float(after["3.bias"].abs().max()) == 0.0


def test_selectors_leave_the_rest_alone() -> None:
    assert changed('kaiming(mode=fan_out, only=["conv"])') == {"0.weight", "0.bias"}
    assert changed('normal(0.01, only=["3"])') == {"3.weight", "3.bias"}
    assert changed('biases(1, only=["linear"])') == {"3.bias"}
    assert changed('biases(1, only=["0", "linear"])') == {"0.bias", "3.bias"}
    assert changed('normal(1e-6, only=["bias"])') == {"0.bias", "3.bias"}
    assert changed('normal(0.02, only=["1"])') == set()  # norms are drawn only by their role
    _, after = started('kaiming(mode=fan_out, only=["conv"])')
    assert float(after["0.weight"].std()) == pytest.approx((2 / (400 * 9)) ** 0.5, rel=0.03)


def test_uniform_draws_biases_too() -> None:
    _, after = started("uniform(0.08)")
    for name in ("0.weight", "0.bias", "3.weight", "3.bias"):
        assert 0.06 < float(after[name].abs().max()) <= 0.08
    assert float(after["1.weight"].min()) == 1.0


def test_vectors_have_no_fan() -> None:
    with pytest.raises(Fault, match="needs a matrix"):
        started('kaiming(only=["bias"])')


# Every word against its definition, computed here.


def test_xavier_has_variance_2_over_both_fans() -> None:
    for distribution in ("uniform", "normal"):
        _, after = started(f"xavier(distribution={distribution}, gain=2)")
        for name, fans in (("0.weight", 3 * 9 + 400 * 9), ("3.weight", 400 + 300)):
            w = after[name]
            assert float(w.var()) == pytest.approx(4 * 2 / fans, rel=0.05)
            limit = 2 * (6 / fans) ** 0.5
            assert (float(w.abs().max()) <= limit) == (distribution == "uniform")


@pytest.mark.parametrize(("mode", "fans"), [("fan_in", (27, 400)), ("fan_out", (3600, 300))])
@pytest.mark.parametrize(("nonlinearity", "gain"), [("relu", 2), ("linear", 1)])
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_kaiming_has_variance_gain_squared_over_a_fan(
    mode: str, fans: tuple[int, int], nonlinearity: str, gain: int, distribution: str
) -> None:
    _, after = started(f"kaiming(mode={mode}, nonlinearity={nonlinearity}, distribution={distribution})")
    for name, fan in zip(("0.weight", "3.weight"), fans, strict=True):
        assert float(after[name].var()) == pytest.approx(gain / fan, rel=0.05)


def test_orthogonal_rows_or_columns() -> None:
    _, after = started("orthogonal(gain=3)")
    for name in ("0.weight", "3.weight"):
        w = after[name].flatten(1)
        small = w.T @ w if w.shape[0] > w.shape[1] else w @ w.T
        torch.testing.assert_close(small, 9 * torch.eye(len(small)), atol=1e-4, rtol=0)


def test_trunc_normal_is_cut_at_2() -> None:
    _, after = started("trunc_normal(std=0.02)")
    assert float(after["3.weight"].std()) == pytest.approx(0.02, rel=0.02)
    _, after = started("trunc_normal(std=2)")
    w = after["3.weight"]
    assert float(w.abs().max()) <= 2.0
    cut = 1.0  # a normal of deviation 2 cut at one deviation: variance 4 * (1 - 2 * phi(1) / (Phi(1) - Phi(-1)))
    inside = torch.erf(torch.tensor(cut / 2**0.5))
    density = torch.exp(torch.tensor(-(cut**2) / 2)) / (2 * torch.pi) ** 0.5
    assert float(w.var()) == pytest.approx(float(4 * (1 - 2 * density / inside)), rel=0.02)


def test_constants_and_identities() -> None:
    _, after = started('constant(0.25, only=["linear"]) -> biases(1, only=["conv"])')
    assert after["3.weight"].unique().tolist() == [0.25]
    assert after["3.bias"].unique().tolist() == [0.0]
    assert after["0.bias"].unique().tolist() == [1.0]
    before, after = started("dirac")
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(nn.functional.conv2d(x, after["0.weight"], padding=1)[:, :3], x)
    assert torch.equal(after["0.weight"][3:], before["0.weight"][3:])
    assert torch.equal(after["3.weight"], before["3.weight"])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_an_open_gate_keeps_the_state(kind: Any) -> None:
    """With all else 0, torch's own layer multiplies its state by the gate at each step."""
    layer = kind(2, 3, num_layers=2, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    found = [Parameter(n, "bias" if "bias" in n else "recurrent", tuple(p.shape)) for n, p in layer.named_parameters()]
    notes = initialize(recipe("init = gates(1.5)").init, Start(layer, NetParameters(tuple(found)), Path()))
    assert notes == []
    assert {n for n, p in layer.named_parameters() if p.any()} == {"bias_ih_l0", "bias_ih_l1"}
    state = torch.ones(2, 1, 3)
    last = layer(torch.zeros(1, 4, 2), state if kind is nn.GRU else (torch.zeros_like(state), state))[1]
    kept = last if kind is nn.GRU else last[1]
    gate = 1 / (1 + math.exp(-1.5))
    torch.testing.assert_close(kept, torch.full((2, 1, 3), gate**4))


def test_a_coupled_gate_lets_in_what_the_other_forgets() -> None:
    layer = nn.LSTM(2, 3)
    found = [Parameter(n, "bias" if "bias" in n else "recurrent", tuple(p.shape)) for n, p in layer.named_parameters()]
    initialize(recipe("init = gates(2, coupled=true)").init, Start(layer, NetParameters(tuple(found)), Path()))
    reads, keeps = (layer.bias_ih_l0 + layer.bias_hh_l0).sigmoid()[:6].view(2, 3)
    torch.testing.assert_close(reads + keeps, torch.ones(3))


def test_gates_without_a_gate_are_said() -> None:
    layer = nn.RNN(2, 3)
    found = tuple(Parameter(n, "recurrent", tuple(p.shape)) for n, p in layer.named_parameters())
    notes = initialize(recipe("init = gates").init, Start(layer, NetParameters(found), Path()))
    assert notes == ["`gates` found no LSTM and no GRU with biases"]


def test_the_head_is_scaled_with_its_bias() -> None:
    before, after = started("head_scale(0.001)")
    torch.testing.assert_close(after["3.weight"], before["3.weight"] * 0.001)
    torch.testing.assert_close(after["3.bias"], before["3.bias"] * 0.001)
    assert changed("head_scale(0.001)") == {"3.weight", "3.bias"}


def test_pytorchs_own_draws_nothing() -> None:
    assert changed("pytorch") == set()


def test_words_apply_one_after_the_other() -> None:
    _, after = started('constant(0.5) -> constant(0.25, only=["linear"])')
    assert (after["0.weight"].unique().tolist(), after["3.weight"].unique().tolist()) == ([0.5], [0.25])
