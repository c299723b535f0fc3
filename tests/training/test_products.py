"""L1 on the weights, directly and as the L2 of a product's factors: the lasso's solution, exact zeros, files in the
net's own keys, exact resumes, several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe_harness import recipe
from safetensors.torch import load_file
from torch import nn
from training_harness import loop_of, samples, small_net, stop_after

from netdsl.cli.main import main
from netdsl.training.optim.gradients import add_penalties
from netdsl.training.optim.reparametrization import factor_names, folded_weight, merge

sklearn = pytest.importorskip("sklearn.linear_model")

LASSO = """
net Linear {
  input x [12]
  linear(1)
}
recipe Lasso for Linear {
  data = npz("table.npz")
  batch = 120
  steps = 2000
  loss = mse
  optimizer = sgd(lr=0.05, momentum=0.9)
  schedule = constant
  standardize = none
  standardize_targets = false
  evaluate = 2000 steps
  checkpoint = 2000 steps
  penalty = PENALTY
}
"""


def table(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """120 samples of 12 features, of which 4 matter."""
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 12)).astype("float32")
    y = x[:, :4] @ np.array([2.0, -1.0, 0.5, 0.2]) + 3.0 + 0.5 * random.normal(size=120)
    y = y.astype("float32")
    np.savez(folder / "table.npz", x=x, y=y, x_test=x, y_test=y)
    return x, y


def solved(folder: Path, penalty: str, *more: str) -> np.ndarray:
    """The weights, then the bias, that a run leaves."""
    (folder / "lasso.net").write_text(LASSO.replace("PENALTY", penalty))
    run = folder / "run"
    assert main(["train", str(folder / "lasso.net"), "-o", str(run), "--quiet", "--no-onnx", *more]) == 0
    found = load_file(run / "model.safetensors")
    assert set(found) == {"linear.weight", "linear.bias"}
    assert set(load_file(run / "best.safetensors")) == {"linear.weight", "linear.bias"}
    return torch.cat([found["linear.weight"].flatten(), found["linear.bias"]]).numpy()


def oracle(x: np.ndarray, y: np.ndarray, rate: float) -> np.ndarray:
    """scikit-learn's lasso halves the squared error: its alpha is half of the rate."""
    fitted = sklearn.Lasso(alpha=rate / 2, tol=1e-10, max_iter=100_000).fit(x.astype("float64"), y.astype("float64"))
    return np.append(fitted.coef_, fitted.intercept_)


def test_the_product_reaches_the_lasso(tmp_path: Path) -> None:
    x, y = table(tmp_path)
    want, got = oracle(x, y, 0.2), solved(tmp_path, "l1_by_product(0.2)")
    zeros = want[:-1] == 0
    assert 4 <= zeros.sum() <= 9
    np.testing.assert_array_equal(got[:-1] == 0, zeros)
    np.testing.assert_allclose(got, want, atol=2e-4)


@pytest.mark.slow
def test_l1_itself_comes_near(tmp_path: Path) -> None:
    x, y = table(tmp_path)
    want, got = oracle(x, y, 0.2), solved(tmp_path, "l1(0.2)", "--set", "schedule=linear(to=1e-4)")
    np.testing.assert_allclose(got, want, atol=5e-3)
    assert float(np.abs(got[:-1][want[:-1] == 0]).max()) < 2e-3


@pytest.mark.slow
def test_a_product_beside_another_penalty_is_the_elastic_net(tmp_path: Path) -> None:
    x, y = table(tmp_path)
    got = solved(tmp_path, "l1_by_product(0.2) -> l2(0.6)")
    alpha, ratio = 0.1 + 0.3, 0.1 / (0.1 + 0.3)  # halves: alpha * ratio = 0.1, alpha * (1 - ratio) = 0.3
    fitted = sklearn.ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-10, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(got[:-1], fitted.coef_, atol=1e-3)


PRODUCT = """
steps = 12
batch = 16
optimizer = adamw(lr=1e-2, weight_decay=0.1)
penalty = l1_by_product(1e-3)
ema = 0.8
checkpoint = 1 steps
group bias { lr = 2 * lr }
group conv { lr = 3 * lr }
"""


def test_a_resumed_run_is_bit_identical(tmp_path: Path) -> None:
    whole = loop_of(PRODUCT)
    whole.run()
    stop_after(loop_of(PRODUCT, tmp_path), 5)
    resumed = loop_of(PRODUCT, tmp_path)
    resumed.restore()
    assert resumed.state.step == 5
    resumed.run()
    a, b = whole.module.state_dict(), resumed.module.state_dict()
    assert a.keys() == b.keys() >= set(factor_names("0.weight"))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all(torch.equal(t, resumed.final_weights()[n]) for n, t in whole.final_weights().items())


def test_settings_of_factors_are_those_of_their_weight() -> None:
    loop = loop_of(PRODUCT)
    names = {id(p): n for n, p in loop.module.named_parameters()}
    found = {
        names[id(p)]: (g["lr_scale"], g["weight_decay"])
        for g in loop.updater.optimizers[0].param_groups
        for p in g["params"]
    }
    assert found["0.parametrizations.weight.original0"] == (pytest.approx(3), 0.0)
    assert found["5.parametrizations.weight.original1"] == (1.0, 0.0)
    assert found["5.bias"] == (2.0, 0.1)
    assert found["0.bias"] == (2.0, 0.1)
    assert len(found) == len(list(loop.module.parameters())) == 8


def test_averages_are_of_the_factors_and_folded_at_the_end() -> None:
    loop = loop_of(PRODUCT)
    loop.run()
    average, final = loop.averages.state(), loop.final_weights()
    assert average is not None
    assert final.keys() == small_net().state_dict().keys()
    a, b = (average[n] for n in factor_names("5.weight"))
    assert torch.equal(final["5.weight"], folded_weight(a, b, 1e-6))
    x = samples().inputs[0]
    with torch.no_grad():
        measured = torch.func.functional_call(loop.module.eval(), average, (x,))
    merge(loop.module, loop.factors)
    loop.module.load_state_dict(final)
    assert torch.equal(loop.module(x), measured)


def test_splitting_changes_no_output_and_a_zero_can_leave_zero() -> None:
    plain = small_net(dropout=0.0)
    nn.init.zeros_(plain[5].weight)
    x = samples().inputs[0]
    plain.eval()
    before = plain(x)
    loop = loop_of("steps = 3\npenalty = l1_by_product(1e-4)", module=plain)
    assert torch.equal(plain(x), before)
    loop.run()
    assert float(loop.final_weights()["5.weight"].abs().max()) > 1e-3


def test_small_weights_are_0_when_they_are_used() -> None:
    loop = loop_of("steps = 3\npenalty = l1_by_product(1e-4, least=0.05)")
    weight = loop.final_weights()["5.weight"]
    small = small_net().state_dict()["5.weight"].abs() < 0.05
    assert 0 < int(small.sum()) < small.numel()
    assert torch.equal(weight == 0, small)
    assert bool((loop.module.train()[5].weight != 0).all())  # type: ignore[index]
    assert torch.equal(loop.module.eval()[5].weight == 0, small)  # type: ignore[index]


def test_frozen_weights_stay_whole() -> None:
    loop = loop_of("steps = 3\npenalty = l1_by_product(1e-2)\nfreeze conv")
    start = loop.module.state_dict()["0.weight"].clone()
    loop.run()
    assert list(loop.factors) == ["5.weight"]
    assert torch.equal(loop.final_weights()["0.weight"], start)


@pytest.mark.parametrize("text", ["l2(0.3)", "l1(0.3)", "group_lasso(0.2)"])
def test_other_penalties_see_the_product(text: str) -> None:
    """Against autograd through w = a * b."""
    a, b = (nn.Parameter(torch.randn(3, 4, generator=torch.Generator().manual_seed(i))) for i in (0, 1))
    w = a * b
    value = {
        "l2(0.3)": 0.15 * w.square().sum(),
        "l1(0.3)": 0.3 * w.abs().sum(),
        "group_lasso(0.2)": 0.2 * 2 * w.norm(dim=1).sum(),
    }[text]
    want = torch.autograd.grad(value, (a, b))
    a.grad, b.grad = torch.zeros_like(a), torch.zeros_like(b)
    add_penalties(recipe(f"penalty = {text}").penalty, (), ((a, b),))
    torch.testing.assert_close((a.grad, b.grad), want)


@pytest.mark.slow
def test_two_processes_train_as_one_and_the_onnx_file_is_folded(tmp_path: Path) -> None:
    text = """net Small(classes=10) {
      input image [1, 8, 8]
      conv(4, 3, stride=2) -> relu -> flatten -> linear(classes)
    }
    recipe Quick for Small { steps = 8\n batch = 32\n evaluate = 8 steps\n penalty = l1_by_product(0.01) }"""
    (tmp_path / "small.net").write_text(text)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, more in (("one", []), ("two", ["--devices", "2", "--no-onnx"])):
        command = [sys.executable, "-m", "netdsl", "train", "small.net", "-o", name, "--quiet", *more]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / n / "model.safetensors") for n in ("one", "two"))
    assert set(one) == set(two) >= {"conv.weight", "conv.bias", "linear.weight", "linear.bias"}
    assert not [n for n in one if "original" in n]
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-5)
    result = json.loads((tmp_path / "one" / "run.json").read_text())["result"]
    assert result["onnx"]["top1"] == pytest.approx(result["top1"])
    assert result["onnx_difference"] < 1e-4
