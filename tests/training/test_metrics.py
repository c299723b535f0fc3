"""Metrics against scikit-learn's, added up over batches and processes of any size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_harness import recipe
from sklearn import metrics as sk
from torch import Tensor, nn

from netdsl.cli.main import main
from netdsl.recipe.metrics import METRICS
from netdsl.training.data.dataset import Split
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.evaluate import Evaluator
from netdsl.training.metrics import Metrics, score
from netdsl.training.ranking import area_under_roc, average_precision

OF_CLASSES = ("balanced_accuracy", "precision", "recall", "f1", "auroc", "average_precision", "mean_iou", "per_class")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured(task: str, output: Tensor, target: Tensor, classes: int, wanted: tuple[str, ...], batch: int) -> Any:
    """What an evaluation of given outputs says; their loss is of no interest."""
    loss = {"numbers": "mse", "labels": "bce"}.get(task, "cross_entropy")
    found = recipe(f"batch = {batch}\nloss = {loss}\nmetrics = [{', '.join(wanted)}]")
    evaluator = Evaluator(found, ("output",), ("output",), task, classes, ProcessGroup())
    return evaluator(nn.Identity(), Split((output,), target))


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_metrics_of_classes(batch: int) -> None:
    logits = torch.randn(157, 5, generator=generator())
    target = torch.multinomial(torch.tensor([0.5, 0.2, 0.2, 0.1, 0.0]), 157, True, generator=generator(1))
    target[:2] = 4
    found = measured("classes", logits, target, 5, OF_CLASSES, batch)
    truth, guess, chances = target.numpy(), logits.argmax(1).numpy(), logits.softmax(1).numpy()
    hot = np.eye(5)[truth]
    macro: dict[str, Any] = {"average": "macro", "zero_division": 0}
    expected = {
        "balanced_accuracy": sk.balanced_accuracy_score(truth, guess),
        "precision": sk.precision_score(truth, guess, **macro),
        "recall": sk.recall_score(truth, guess, **macro),
        "f1": sk.f1_score(truth, guess, **macro),
        "mean_iou": sk.jaccard_score(truth, guess, average="macro"),
        "auroc": sk.roc_auc_score(truth, chances, multi_class="ovr", average="macro"),
        "average_precision": sk.average_precision_score(hot, chances, average="macro"),
    }
    assert {n: found[n] for n in expected} == pytest.approx(expected)
    assert found["per_class"] == pytest.approx(sk.recall_score(truth, guess, average=None).tolist())
    assert found["f1_per_class"] == pytest.approx(sk.f1_score(truth, guess, average=None).tolist())
    each = [sk.roc_auc_score(hot[:, c], chances[:, c]) for c in range(5)]
    assert found["auroc_per_class"] == pytest.approx(each)


def test_metrics_of_labels() -> None:
    logits = torch.randn(101, 4, generator=generator())
    target = (torch.rand(101, 4, generator=generator(1)) < torch.tensor([0.5, 0.3, 0.1, 0.7])).float()
    found = measured("labels", logits, target, 1, (*OF_CLASSES, "micro_f1"), 16)
    truth, guess, scores = target.int().numpy(), (logits > 0).int().numpy(), logits.sigmoid().numpy()
    balanced = [sk.balanced_accuracy_score(truth[:, c], guess[:, c]) for c in range(4)]
    expected = {
        "balanced_accuracy": sum(balanced) / 4,
        "precision": sk.precision_score(truth, guess, average="macro"),
        "recall": sk.recall_score(truth, guess, average="macro"),
        "f1": sk.f1_score(truth, guess, average="macro"),
        "micro_f1": sk.f1_score(truth, guess, average="micro"),
        "mean_iou": sk.jaccard_score(truth, guess, average="macro"),
        "auroc": sk.roc_auc_score(truth, scores),
        "average_precision": sk.average_precision_score(truth, scores),
    }
    assert {n: found[n] for n in expected} == pytest.approx(expected)
    assert found["average_precision_per_class"] == pytest.approx(
        sk.average_precision_score(truth, scores, average=None).tolist()
    )


def test_two_classes_by_one_number_are_scikit_learns_binary_metrics() -> None:
    logits, target = torch.randn(60, 1, generator=generator()), torch.rand(60, 1, generator=generator(1)).round()
    found = measured("labels", logits, target, 1, OF_CLASSES, 16)
    truth, guess = target[:, 0].numpy(), (logits[:, 0] > 0).numpy()
    assert found["f1"] == pytest.approx(sk.f1_score(truth, guess))
    assert found["precision"] == pytest.approx(sk.precision_score(truth, guess))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(truth, logits[:, 0].numpy()))


@pytest.mark.parametrize(("level", "spread"), [(0, 1), (5e5, 3.6e4), (1e7, 4)])
def test_metrics_of_numbers_far_from_zero(level: float, spread: float) -> None:
    """What is left of a spread is not lost in the squares of a level that is a million times as large."""
    target = (level + spread * torch.randn(200, 3, generator=generator())).float()
    output = (target + 0.3 * spread * torch.randn(200, 3, generator=generator(1))).float()
    found = measured("numbers", output, target, 1, ("mae", "r2"), 32)
    truth, guess = target.double().numpy(), output.double().numpy()
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(truth, guess))
    assert found["r2"] == pytest.approx(sk.r2_score(truth, guess), rel=1e-9)


def test_a_number_that_does_not_vary() -> None:
    target = torch.stack((torch.ones(9), torch.arange(9.0)), 1)
    for shift in (0.0, 0.5):
        output = target + torch.tensor([shift, 0.1])
        found = measured("numbers", output, target, 1, ("r2",), 4)
        assert found["r2"] == pytest.approx(sk.r2_score(target.numpy(), output.numpy()), abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_rankings_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, 1 + seed, 40).astype(float), rng.random(40) < 0.3
    truth[:2] = [True, False]
    given = torch.from_numpy(scores), torch.from_numpy(truth)
    assert area_under_roc(*given) == pytest.approx(sk.roc_auc_score(truth, scores))
    assert average_precision(*given) == pytest.approx(sk.average_precision_score(truth, scores))


@pytest.mark.parametrize("classes", [7, 12])
@pytest.mark.parametrize("batch", [1, 13])
def test_classes_of_equal_scores(classes: int, batch: int) -> None:
    """Of equal scores the first class comes first, in `top5` as in `top1`; samples that have the same scores in
    another order are ties of a ranking."""
    rng = np.random.default_rng(classes)
    scores, truth = rng.integers(0, 3, (91, classes)), rng.integers(0, classes, 91)
    scores[:9] = 1
    given = torch.from_numpy(scores.astype(np.float32)), torch.from_numpy(truth)
    found = measured("classes", *given, classes, ("top5", "auroc", "average_precision"), batch)
    first = np.argsort(-scores, axis=1, kind="stable")
    assert found["top1"] == pytest.approx(np.mean(first[:, 0] == truth))
    assert found["top5"] == pytest.approx(np.mean([t in row[:5] for t, row in zip(truth, first, strict=True)]))
    hot, chances = np.eye(classes)[truth], given[0].double().softmax(1).numpy().round(12)
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(hot, chances, average="macro"))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(hot, chances, average="macro"))


def test_a_class_that_does_not_occur_does_not_count() -> None:
    logits, target = torch.randn(30, 3, generator=generator()), torch.arange(30) % 2
    logits[:, 2] = -9.0
    found = measured("classes", logits, target, 3, OF_CLASSES, 8)
    assert found["auroc_per_class"][2] is None
    assert found["auroc"] == pytest.approx(sum(found["auroc_per_class"][:2]) / 2)
    assert found["f1"] == pytest.approx(sk.f1_score(target, logits.argmax(1), average="macro"))
    alone = measured("classes", logits, torch.zeros(30, dtype=torch.long), 3, ("auroc",), 8)
    assert "auroc" not in alone
    assert score("auroc", alone) == alone["loss"]  # less of it is better


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_put_their_scores_together(world: int) -> None:
    """Each process knows the scores of its own samples; their sum is the whole."""
    logits, target = torch.randn(23, 4, generator=generator()), torch.arange(23) % 4
    found = recipe("batch = 8\nmetrics = [auroc, average_precision, f1]")
    sums: list[dict[str, Tensor]] = []

    class Alone(ProcessGroup):
        def sum(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            sums.append(tensors)
            return {n: sum((s[n] for s in sums), torch.zeros_like(t)) for n, t in tensors.items()}

    for rank in range(world):
        evaluator = Evaluator(found, ("output",), ("output",), "classes", 4, Alone(rank, world))
        result = evaluator(nn.Identity(), Split((logits,), target))
    expected = sk.roc_auc_score(target, logits.double().softmax(1), multi_class="ovr")
    assert result["auroc"] == pytest.approx(expected)


def test_every_metric_has_a_direction_that_its_best_value_shows() -> None:
    for name, kind in METRICS.items():
        if not kind.number:
            continue
        better, worse = (1.0, 0.0) if kind.higher else (0.0, 1.0)
        assert score(name, {name: better, "loss": 9.0}) < score(name, {name: worse, "loss": 0.0})
    assert not math.isnan(score("loss", {"loss": 1.0}))


def test_a_run_measures_and_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["metrics=[f1, auroc, per_class]", "epochs=1", "stop=early_stopping(3, metric=f1)", "validation=0.2"]
    given = [part for s in settings for part in ("--set", s)]
    assert main(["train", "lenet", *given, "--no-onnx", "-o", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "F1 " in said
    assert "AUROC " in said
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert len(result["f1_per_class"]) == 10
    assert "AUROC" in (tmp_path / "run" / "report.html").read_text()
    assert main(["eval", str(tmp_path / "run"), "--metrics", "average_precision,confusion,per_class"]) == 0
    out = capsys.readouterr().out
    assert "average precision" in out


def test_confidence_and_its_error_against_bins_counted_by_hand() -> None:
    """Naeini et al. 2015: in each of 15 bins of equal width, how far confidence is from accuracy."""
    generator = torch.Generator().manual_seed(0)
    output, target = 2 * torch.randn(500, 4, generator=generator), torch.randint(0, 4, (500,), generator=generator)
    counted = Metrics("classes", 4, ("confidence", "calibration_error"))
    for part in (slice(0, 200), slice(200, 500)):
        counted.add(output[part], target[part], torch.zeros(len(target[part])))
    found = counted.results()
    chances = output.double().softmax(1).numpy()
    confidence, right = chances.max(1), chances.argmax(1) == target.numpy()
    error = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert found["confidence"] == pytest.approx(confidence.mean())
    assert found["calibration_error"] == pytest.approx(error, abs=1e-6)
