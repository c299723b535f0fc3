"""Targets that are probabilities of classes: torch's cross entropy, the likeliest class, rows that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe_harness import recipe
from torch import nn

from netdsl.cli.main import main
from netdsl.training.data.dataset import Split
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.evaluate import Evaluator
from netdsl.training.losses.losses import loss_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = np.exp(3 * X[:, :3]) / np.exp(3 * X[:, :3]).sum(1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_the_loss_is_torchs_on_probabilities(smoothing: float) -> None:
    found = recipe(f"loss = cross_entropy(label_smoothing={smoothing}, weight=[1, 2, 3])")
    logits, target = torch.randn(120, 3), torch.from_numpy(Y).float()
    given = Targets(found, "distributions", 3)(target)
    torchs = nn.CrossEntropyLoss(torch.tensor([1.0, 2, 3]), label_smoothing=smoothing)
    torch.testing.assert_close(loss_of(found.loss)(logits, given).mean(), torchs(logits, target))


def test_metrics_compare_with_the_likeliest_class() -> None:
    logits, target = torch.randn(120, 3), torch.from_numpy(Y).float()
    found = recipe("metrics = [confusion]")
    evaluator = Evaluator(found, ("output",), ("output",), "distributions", 3, ProcessGroup())
    result = evaluator(nn.Identity(), Split((logits,), target))
    assert result["top1"] == pytest.approx(float((logits.argmax(1) == target.argmax(1)).float().mean()))
    assert result["loss"] == pytest.approx(float(nn.CrossEntropyLoss()(logits, target)), rel=1e-5)


@pytest.mark.parametrize("more", [[], ["--set", "mix=mixup(0.4)"], ["--set", "loss=focal(weight=balanced)"]])
def test_a_net_learns_them(tmp_path: Path, more: list[str]) -> None:
    np.savez(tmp_path / "soft.npz", x=X, y=Y.astype(np.float32))
    (tmp_path / "n.net").write_text("net N { input x [4]\n linear(16) -> relu -> linear(3) }\n")
    given = ["--data", f'npz("{tmp_path}/soft.npz")', "--set", "epochs=20", "--set", "batch=16", *more]
    assert main(["train", f"{tmp_path}/n.net", *given, "-q", "-o", str(tmp_path / "run")]) == 0
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["task"] == "distributions"
    assert about["result"]["top1"] > 0.8
    assert main(["eval", str(tmp_path / "run")]) == 0


def test_rows_that_are_no_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Y.astype(np.float32).copy()
    wrong[7] *= 2
    np.savez(tmp_path / "soft.npz", x=X, y=Y.astype(np.float32), x_test=X, y_test=wrong)
    (tmp_path / "n.net").write_text("net N { input x [4]\n linear(3) }\n")
    assert main(["train", f"{tmp_path}/n.net", "--data", f'npz("{tmp_path}/soft.npz")', "-o", str(tmp_path / "r")]) == 1
    assert "row 7 of" in (said := capsys.readouterr().err)
    assert "adds up to 2" in said
