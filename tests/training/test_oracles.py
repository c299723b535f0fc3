"""Metrics, moves, colours and optimizers against the libraries of the field that do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kornia
import pytest
import pytorch_optimizer
import torch
import torchmetrics.functional as tm
from torch import Tensor, nn

from netdsl.training.augment import pixels
from netdsl.training.augment.geometry import inverse_matrix, warp
from netdsl.training.metrics import Metrics
from netdsl.training.optim.large_batch import Lars, Lion


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def measured(task: str, classes: int, output: Tensor, target: Tensor, loss: Tensor, *wanted: str) -> dict[str, Any]:
    """Metrics added up over batches of other sizes."""
    metrics = Metrics(task, classes, wanted)
    for part in torch.split(torch.arange(len(target)), 7):
        metrics.add(output[part], target[part], loss[part])
    return metrics.results()


def test_classification() -> None:
    output, target = random(61, 8), torch.randint(0, 8, (61,), generator=torch.Generator().manual_seed(1))
    found = measured("classes", 8, output, target, random(61), "top5", "per_class", "confusion", "mean_iou")
    kind: dict[str, Any] = {"task": "multiclass", "num_classes": 8}
    assert found["top1"] == pytest.approx(float(tm.accuracy(output, target, average="micro", **kind)))
    assert found["top5"] == pytest.approx(float(tm.accuracy(output, target, average="micro", top_k=5, **kind)))
    assert found["per_class"] == pytest.approx(tm.recall(output, target, average="none", **kind).tolist())
    assert found["confusion"] == tm.confusion_matrix(output, target, **kind).tolist()
    assert found["mean_iou"] == pytest.approx(float(tm.jaccard_index(output, target, **kind)))


def test_masks_labels_numbers_and_tokens() -> None:
    generator = torch.Generator().manual_seed(2)
    output, mask = random(9, 4, 6, 5), torch.randint(0, 4, (9, 6, 5), generator=generator)
    found = measured("mask", 4, output, mask, random(9))
    iou = tm.jaccard_index(output.argmax(1), mask, task="multiclass", num_classes=4)
    assert found["mean_iou"] == pytest.approx(float(iou))
    output, labels = torch.randn(30, 5, generator=generator), torch.randint(0, 2, (30, 5), generator=generator)
    found = measured("labels", 1, output, labels.float(), random(30))
    assert found["top1"] == pytest.approx(float(tm.accuracy(output, labels, task="multilabel", num_labels=5)))
    output, numbers = torch.randn(30, 3, generator=generator), torch.randn(30, 3, generator=generator)
    found = measured("numbers", 1, output, numbers, random(30))
    assert found["rmse"] == pytest.approx(float(tm.mean_squared_error(output, numbers, squared=False)))
    output, tokens = torch.randn(12, 7, 6, generator=generator), torch.randint(0, 6, (12, 7), generator=generator)
    loss = nn.functional.cross_entropy(output.movedim(-1, 1), tokens, reduction="none").mean(1)
    found = measured("tokens", 6, output, tokens, loss)
    assert found["perplexity"] == pytest.approx(float(tm.text.perplexity(output, tokens)), rel=1e-5)


def moved(x: Tensor, angle: float = 0.0, shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> Tensor:
    one = torch.ones(len(x))
    matrix = inverse_matrix(
        angle * one, torch.tensor(shift).expand(len(x), 2).float(), scale * one, torch.zeros(len(x), 2)
    )
    return warp(x, None, matrix, "bilinear", 0.0)[0]


@pytest.mark.parametrize("angle", [0.0, 17.0, -40.0, 90.0])
@pytest.mark.parametrize(("shift", "scale"), [((0.0, 0.0), 1.0), ((3.0, -2.0), 1.0), ((0.0, 0.0), 1.3)])
def test_moves(angle: float, shift: tuple[float, float], scale: float) -> None:
    x = random(2, 3, 24, 20)
    turn = kornia.geometry.transform.get_affine_matrix2d(
        torch.tensor([shift]).expand(2, 2),
        torch.tensor([[9.5, 11.5]]).expand(2, 2),
        torch.full((2, 2), scale),
        torch.full((2,), angle),
    )[:, :2]
    theirs = kornia.geometry.transform.warp_affine(x, turn, (24, 20), align_corners=True)
    inside = slice(6, -6)  # what comes in from outside is blended by one and cut by the other
    torch.testing.assert_close(moved(x, angle, shift, scale)[..., inside, inside], theirs[..., inside, inside],
                               rtol=1e-4, atol=1e-4)  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x, a: pixels.hue(x, a), lambda x: kornia.enhance.adjust_hue(x, 0.2 * 2 * torch.pi)),
        (lambda x, a: pixels.solarize(x, a), lambda x: kornia.enhance.solarize(x, 0.2)),
        (lambda x, a: pixels.brightness(x, a), lambda x: kornia.enhance.adjust_brightness_accumulative(x, 0.2)),
    ],
)
def test_colours(ours: Callable[..., Tensor], theirs: Callable[..., Tensor]) -> None:
    x = random(2, 3, 9, 8)
    torch.testing.assert_close(ours(x, torch.full((2,), 0.2)), theirs(x), rtol=1e-4, atol=1e-5)


Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda w: Lion([{"params": w}], 1e-2, (0.9, 0.98), 0.1),
            lambda w: pytorch_optimizer.Lion(w, lr=1e-2, betas=(0.9, 0.98), weight_decay=0.1),
        ),
        (
            lambda w: Lars([{"params": w}], 0.5, 0.9, 1e-3, 0.1),
            lambda w: pytorch_optimizer.LARS(w, lr=0.5, momentum=0.9, trust_coefficient=1e-3, weight_decay=0.1),
        ),
    ],
)
def test_optimizers(ours: Make, theirs: Make) -> None:
    def trained(make: Make) -> list[Tensor]:
        weights = [nn.Parameter(random(4, 5) - 0.5), nn.Parameter(random(7, 3, seed=1) - 0.5)]
        optimizer = make(weights)
        for step in range(20):
            for i, w in enumerate(weights):
                w.grad = random(*w.shape, seed=10 * step + i) - 0.5
            optimizer.step()
        return [w.detach() for w in weights]

    for a, b in zip(trained(ours), trained(theirs), strict=True):
        torch.testing.assert_close(a, b)
