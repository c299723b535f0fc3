"""Noise inside nets, by its statistics: what is dropped, what is left, and that a recipe sets its rate over time."""

from __future__ import annotations

import pytest
import torch
from recipe_harness import recipe
from torch import Tensor, nn

from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.training.regularization import dropouts, time_rate


def built(body: str, size: str) -> nn.Module:
    net = Spec(Source(f"net A {{\n input x {size}\n {body}\n}}", "a.net"), lambda *_: None).net()
    assert not net.diagnostics, net.diagnostics
    return net.module(0)


def noisy(body: str, size: str, x: Tensor) -> Tensor:
    module = built(body, size)
    torch.manual_seed(0)
    assert torch.equal(module.eval()(x), x)
    result: Tensor = module.train()(x)
    return result


def test_plain_dropout_drops_numbers() -> None:
    y = noisy("dropout(0.3)", "[50]", torch.ones(400, 50))
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float((y == 0).float().mean()) == pytest.approx(0.3, abs=0.02)


def test_spatial_dropout_drops_channels() -> None:
    y = noisy("dropout2d(0.3)", "[20, 5, 5]", torch.ones(100, 20, 5, 5))
    whole = y.flatten(2)
    assert bool((whole == whole[..., :1]).all())
    assert float((whole[..., 0] == 0).float().mean()) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_multiplicative_noise_has_dropouts_mean_and_variance(p: float) -> None:
    y = noisy(f"gaussian_dropout({p})", "[50]", torch.full((4000, 50), 2.0))
    assert float(y.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(y.var()) == pytest.approx(4 * p / (1 - p), rel=0.03)
    assert float((y == 0).float().mean()) == 0.0


def test_dropconnect_drops_weights() -> None:
    """Wan et al. (2013): y_i = sum_j m_ij w_ij x_j, m Bernoulli: mean w x, variance p / (1 - p) sum_j (w_ij x_j)^2."""
    module = built("dropconnect(6, p=0.4)", "[10]")
    layer = next(m for m in module.modules() if isinstance(m, nn.Linear))
    x = torch.randn(1, 10, generator=torch.Generator().manual_seed(0))
    mean = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(module.eval()(x), mean)
    module.train()
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = torch.cat([module(x) for _ in range(4000)])
        torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.03, rtol=0)
        variance = 0.4 / 0.6 * (layer.weight * x).square().sum(1)
        torch.testing.assert_close(drawn.var(0), variance, atol=0, rtol=0.1)
        both = module(x.repeat(2, 1))
    torch.testing.assert_close(both[0], both[1])  # one draw for the batch


def test_a_recipe_sets_the_rate_of_every_kind() -> None:
    module = built("dropout(0.5) -> gaussian_dropout(0.5) -> dropconnect(9, p=0.5) -> relu", "[10]")
    word = recipe("dropout = late(0.2, 5 steps)").dropout
    layers = dropouts(module)
    assert len(layers) == 3
    x = torch.randn(3, 10)
    module.train()
    for layer in layers:
        layer.p = time_rate(word, 4, 10, 1)
    assert torch.equal(module(x), module.eval()(x))
    module.train()
    for layer in layers:
        layer.p = time_rate(word, 5, 10, 1)
    assert not torch.equal(module(x), module(x))
