"""Regression targets: standardised for the loss by the training split, given in their own units by the net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from netdsl.cli.main import main
from netdsl.elaborate.builder import Options
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.summary.rows import kind

SPEC = """
net Price(size=1) {
  input x [4]
  linear(16) -> relu -> linear(size)
}
recipe Prices for Price {
  data = npz("d.npz")
  loss = mse
  epochs = 30
  batch = 16
}
net Share {
  input x [4]
  linear(16) -> relu -> linear(1) -> sigmoid
}
"""


FILES = {"a.net": SPEC}


def save(y: np.ndarray, rows: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """A file with inputs of which `y(x)` is to be predicted."""
    x = np.random.default_rng(0).standard_normal((rows, 4)).astype(np.float32)
    target = y(x)  # type: ignore[operator]
    cut = rows * 3 // 4
    np.savez("d.npz", x=x[:cut], y=target[:cut], x_test=x[cut:], y_test=target[cut:])
    return x, target


def prices(x: np.ndarray) -> np.ndarray:
    return (5e5 + 3.6e4 * (0.8 * x[:, 0] - 0.5 * x[:, 1] + 0.3 * x[:, 2] * x[:, 3])).astype(np.float32)


def train(*settings: str, spec: str = "a.net", code: int = 0) -> dict[str, Any]:
    given = [part for s in settings for part in (("-p", s) if s.startswith("size=") else ("--set", s))]
    assert main(["train", spec, "-q", "-o", "run", *given]) == code
    return json.loads(Path("run/run.json").read_text()) if code == 0 else {}  # type: ignore[no-any-return]


def test_large_targets_are_learnt_and_given_in_their_units(here: Path) -> None:
    x, y = save(prices)  # type: ignore[arg-type]
    about = train()
    assert about["result"]["rmse"] < 0.35 * y[180:].std()
    (mean,), (std,) = about["units"]
    assert mean == pytest.approx(float(y[:180].astype(float).mean()), rel=1e-5)
    assert std == pytest.approx(float(y[:180].astype(float).std()), rel=1e-5)
    session = onnxruntime.InferenceSession("run/model.onnx")
    given = session.run(None, {session.get_inputs()[0].name: x[180:]})[0]
    rmse = float(np.sqrt(np.mean((given[:, 0].astype(float) - y[180:]) ** 2)))
    assert rmse == pytest.approx(about["result"]["rmse"], rel=1e-3)
    assert about["result"]["onnx"]["loss"] == pytest.approx(about["result"]["loss"], rel=1e-3)
    assert about["result"]["loss"] == pytest.approx((rmse / std) ** 2, rel=1e-3)


def test_evaluation_of_a_run_has_the_same_units(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(prices)  # type: ignore[arg-type]
    about = train("epochs=2")
    for more in ([], ["--onnx"]):
        capsys.readouterr()
        assert main(["eval", "run", "--json", *more]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["rmse"] == pytest.approx(about["result"]["rmse"], rel=1e-4)
        assert found["loss"] == pytest.approx(about["result"]["loss"], rel=1e-4)
    assert main(["train", "--resume", "run", "--set", "epochs=3", "-q", "--no-onnx"]) == 0


@pytest.mark.parametrize(
    ("loss", "torchs"), [("mse", nn.MSELoss()), ("l1", nn.L1Loss()), ("huber(0.5)", nn.HuberLoss(delta=0.5))]
)
def test_weights_are_those_of_standardised_targets(here: Path, loss: str, torchs: nn.Module) -> None:
    """Three steps of SGD on all rows, against a torch net that is trained on (y - mean) / std; two columns of other
    units."""
    x, y = save(lambda x: np.stack([prices(x), 1e-3 * x[:, 3]], 1))  # type: ignore[arg-type]
    x_train, y_train = torch.from_numpy(x[:180]), torch.from_numpy(y[:180].astype(np.float32))
    settings = [
        "steps=3",
        "batch=180",
        "optimizer=sgd(lr=0.1)",
        "schedule=constant",
        "standardize=none",
        f"loss={loss}",
    ]
    about = train(*settings, "size=2")
    mean, std = (torch.tensor(u) for u in about["units"])
    start = Spec(Source(name="a.net", text=Path("a.net").read_text()), read_import).net("Price", {"size": 2})
    from netdsl.training.rng import key

    module = start.module(key(0, "init") >> 1)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torchs(module(x_train), (y_train - mean) / std).backward()
        optimizer.step()
    from safetensors.torch import load_file

    got = load_file("run/model.safetensors")
    for name, p in module.state_dict().items():
        torch.testing.assert_close(got[name], p, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("middle", "scale"), [(2451545.37, 3), (-7e7, 900), (0, 1e-9), (1e30, 3e30), (5e5, 3.6e4)])
def test_targets_are_standardised_in_any_unit(here: Path, middle: float, scale: float) -> None:
    """Also those that differ in their seventh digit alone."""
    _, y = save(lambda x: (middle + scale * x[:, 0]).astype(np.float32))  # type: ignore[arg-type]
    (mean,), (std,) = train("steps=1")["units"]
    standard = (y[:180].astype(np.float64) - mean) / std
    assert abs(standard.mean()) < 5e-3
    assert standard.std() == pytest.approx(1, abs=1e-3)


def test_whole_numbers_are_regression_with_a_loss_of_numbers(here: Path) -> None:
    """Negative and large ones too, which no class has."""
    for scale, shift in ((40, 0), (3e4, 5e5)):
        save(lambda x, s=scale, b=shift: (b + s * x[:, 0]).round().astype(np.int64))  # type: ignore[arg-type]
        about = train()
        assert about["task"] == "numbers"
        assert about["result"]["rmse"] < 0.3 * scale
        for path in sorted(Path("run").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


def test_whole_numbers_too_large_for_classes_are_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(lambda x: (2e9 + x[:, 0]).astype(np.int64))  # type: ignore[arg-type]
    train("loss=cross_entropy", "size=3", code=1)
    assert "too many for classes" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [bool, np.int64, np.uint8, np.float32])
def test_rows_of_zeros_and_ones_are_labels(here: Path, kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    save(lambda x: (x[:, :3] + x[:, 1:] > 0).astype(kind))  # type: ignore[arg-type]
    about = train("loss=bce", "size=3")
    assert about["task"] == "labels"
    assert about["units"] is None
    assert about["result"]["top1"] > 0.85


def test_other_losses_name_what_rows_of_zeros_and_ones_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(lambda x: x[:, :3] > 0)  # type: ignore[arg-type]
    train("loss=cross_entropy", "size=3", code=1)
    assert "`bce`" in capsys.readouterr().err
    save(lambda x: np.eye(3, dtype=int)[x[:, :3].argmax(1)])  # type: ignore[arg-type]
    train("loss=cross_entropy", "size=3", code=1)
    assert "`y.argmax(1)`" in capsys.readouterr().err


def test_bounded_nets_and_recipes_that_say_so_keep_their_targets(here: Path) -> None:
    save(lambda x: 1 / (1 + np.exp(-x[:, 0])))  # type: ignore[arg-type]
    about = train("loss=mse", 'data=npz("d.npz")', "epochs=2", spec="a.net:Share")
    assert about["units"] is None
    for path in sorted(Path("run").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert train("standardize_targets=false", "epochs=2")["units"] is None


def test_outputs_in_units_are_the_same_net_scaled() -> None:
    """Whatever the layers of the net are called, whose state-dict keys stay."""
    for text in (
        "net A {\n  input x [4]\n  linear(8) -> relu -> linear(2)\n}",
        "net A {\n  input x [4]\n  units: linear(8)\n  h = relu\n  h -> linear(2)\n}",
    ):
        spec = Spec(Source(name="a.net", text=text), read_import)
        plain = spec.net("A")
        scaled = spec.net("A", options=Options(units=((5e5, -2.0), (3e4, 0.1))))
        a, b = plain.module(1).eval(), scaled.module(1).eval()
        b.load_state_dict(a.state_dict(), strict=False)
        x = torch.randn(3, 4)
        expected = a(x) * torch.tensor([3e4, 0.1]) + torch.tensor([5e5, -2.0])
        torch.testing.assert_close(b(x), expected, rtol=1e-5, atol=1e-4)
        assert set(a.state_dict()) <= set(b.state_dict())


def test_a_run_from_before_targets_were_standardised_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe of version 0.1 doesn't have the field: its weights are of targets as they are."""
    save(lambda x: x[:, 0])
    settings = ["--set", "schedule=constant", "--set", "standardize_targets=false", "--quiet", "--no-onnx"]
    assert main(["train", "a.net", "-o", "whole", *settings, "--set", "epochs=4"]) == 0
    assert main(["train", "a.net", "-o", "old", *settings, "--set", "epochs=2"]) == 0
    written = json.loads(Path("old/recipe.json").read_text())
    assert written.pop("standardize_targets") is False
    Path("old/recipe.json").write_text(json.dumps(written))
    change = ["train", "--resume", "old", "--no-onnx", "--set"]
    assert main([*change, "standardize_targets=true"]) == 2
    assert "`standardize_targets` cannot change in the middle of a run" in capsys.readouterr().err
    assert main([*change, "epochs=4"]) == 0
    whole, old = (load_file(f"{run}/model.safetensors") for run in ("whole", "old"))
    assert whole.keys() == old.keys()
    assert all(torch.equal(whole[name], old[name]) for name in whole)
    assert json.loads(Path("old/recipe.json").read_text())["standardize_targets"] is False


def test_the_layer_of_units_is_called_so() -> None:
    """In drawings and tables, though the op is the `standardize` that undoes the statistics."""
    text = "net N {\n  input x [3]\n  standardize(mean=1, std=2) -> linear(1)\n}\n"
    net = Spec(Source(text), read_import).net("N", {}, {}, Options(units=((5.0,), (2.0,))))
    assert [kind(step) for step in net.checked.main.steps] == ["standardize", "linear", "units"]
