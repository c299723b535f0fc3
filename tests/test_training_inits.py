"""How weights start: what a word draws, and what its selectors leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from recipe_harness import recipe
from torch import Tensor, nn

from netdsl.training.data import DataError
from netdsl.training.groups import roles_of
from netdsl.training.initialize import Start, initialize


def started(text: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters of a small net before and after an `init`."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 400, 3), nn.BatchNorm2d(400), nn.Flatten(), nn.Linear(400, 300))
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    initialize(recipe(f"init = {text}").init, Start(module, roles_of(module), Path()))
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
    with pytest.raises(DataError, match="needs a matrix"):
        started('kaiming(only=["bias"])')
