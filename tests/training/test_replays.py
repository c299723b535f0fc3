"""Whole runs against plain PyTorch: what the loss was given is recorded, and a loop written here ends with the same
weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

import netdsl

NET = "net S { input image [1, 8, 8]\n c: conv(4, 3) -> relu\n f: flatten -> linear(3) }"
RATE, LAST, WARM = 0.01, 0.001, 3
SETTINGS = {
    "epochs": 3, "batch": 16, "optimizer": f"adamw(lr={RATE}, weight_decay=0.1, betas=[0.8, 0.95])",
    "schedule": f"warmup({WARM} steps) -> cosine(to={LAST})", "standardize": "none", "checkpoint": "4 steps",
}  # fmt: skip
ROWS = 70
RANDOM = np.random.default_rng(3)
Y = RANDOM.permutation([0] * 45 + [1] * 18 + [2] * 7)
X = RANDOM.integers(0, 255, (ROWS, 1, 8, 8), dtype=np.uint8)
X[:, 0, 0, 0] = np.arange(ROWS)  # the first pixel says which one it is
TEST = X[:30], Y[:30]
Batches = list[tuple[Tensor, Tensor]]


def each(output: Tensor, target: Tensor) -> Tensor:
    """The loss of each sample, of classes or of shares of them."""
    if target.is_floating_point():
        return -(target * output.log_softmax(1)).sum(1)
    return F.cross_entropy(output, target, reduction="none")


def trained(folder: Path, more: dict[str, Any], stop: int = 0) -> tuple[netdsl.Run, dict[str, Tensor], Batches]:
    """A run, its weights at the beginning, and what each step was given; one that fails behind a step is resumed."""
    net = netdsl.load(netdsl.Source(NET))
    start = {k: v.clone() for k, v in net.module(seed=5).state_dict().items()}
    save_file(start, folder / "start.safetensors")
    seen: Batches = []

    def loss(output: Tensor, target: Tensor, image: Tensor) -> Tensor:
        seen.append((image.detach().clone(), target.detach().clone()))
        return each(output, target)

    def on_step(numbers: dict[str, Any]) -> None:
        if numbers["step"] == stop and len(seen) == stop:
            raise InterruptedError

    given: dict[str, Any] = {"loss": loss, "on_step": on_step, "onnx": False, "quiet": True}
    settings = {**SETTINGS, **more, "init": f'weights("{folder / "start.safetensors"}")'}
    try:
        net.train(data=(X, Y), test=TEST, settings=settings, folder=folder / "run", **given)
    except netdsl.TrainingError:
        netdsl.open_run(folder / "run").resume(data=(X, Y), test=TEST, **given)
    return netdsl.open_run(folder / "run"), start, seen


def replayed(start: dict[str, Tensor], seen: Batches, decay: float = 0.0) -> dict[str, Tensor]:
    """The weights behind plain AdamW on what was seen, in double precision, or their moving average."""
    module = netdsl.load(netdsl.Source(NET)).module()
    module.load_state_dict(start)
    module.double()
    chosen = torch.optim.AdamW(module.parameters(), lr=RATE, betas=(0.8, 0.95), weight_decay=0.1)
    average = {k: v.clone() for k, v in module.state_dict().items()}
    for step, (image, target) in enumerate(seen):
        part = (step - WARM) / (len(seen) - WARM)
        falling = LAST + (RATE - LAST) * (1 + math.cos(math.pi * part)) / 2
        chosen.param_groups[0]["lr"] = RATE * step / WARM if step < WARM else falling
        chosen.zero_grad()
        each(module(image.double()), target).mean().backward()
        chosen.step()
        for key, tensor in module.state_dict().items():
            average[key] = decay * average[key] + (1 - decay) * tensor
    return average


def assert_equal(run: netdsl.Run, weights: dict[str, Tensor]) -> None:
    for key, tensor in run.module().state_dict().items():
        torch.testing.assert_close(tensor.double(), weights[key], atol=1e-6, rtol=1e-5)


def test_balanced_classes_and_an_average_over_a_resume(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    more = {"sampling": "balanced", "ema": "0.9"}
    run, start, seen = trained(tmp_path / "a", more)
    assert_equal(run, replayed(start, seen, decay=0.9))
    per_epoch = len(seen) // 3
    for epoch in range(3):
        batches = seen[per_epoch * epoch : per_epoch * (epoch + 1)]
        rows = (torch.cat([x[:, 0, 0, 0] for x, _ in batches]) * 255).round().long().numpy()
        assert sorted(np.bincount(Y[rows])) == [23, 23, 24]
        copies = np.bincount(rows, minlength=ROWS)
        assert [np.ptp(copies[c == Y]) for c in range(3)] == [1, 1, 1]  # none is shown twice more often than another
        assert (torch.cat([t for _, t in batches]).numpy() == Y[rows]).all()
    again, _, parts = trained(tmp_path / "b", more, stop=7)
    assert all(
        torch.equal(a, b) for one, other in zip(seen[:7], parts, strict=False) for a, b in zip(one, other, strict=True)
    )
    for key, tensor in again.module().state_dict().items():
        assert torch.equal(tensor, run.module().state_dict()[key])


@pytest.mark.parametrize("per", ["batch", "sample", "pair"])
def test_mixed_targets_are_those_of_the_mixed_pixels(per: str, tmp_path: Path) -> None:
    run, start, seen = trained(tmp_path, {"mix": f"mixup(0.6, per={per})"})
    assert_equal(run, replayed(start, seen))
    pixels = torch.tensor(X).flatten(1).double() / 255
    between = pixels[:, None] - pixels[None]
    length = (between**2).sum(-1).clamp_min(1e-9)
    for image, target in seen[:3]:
        shares = set()
        for mixed, classes in zip(image.flatten(1).double(), target, strict=True):
            share = (((mixed - pixels)[None] * between).sum(-1) / length).clamp(0, 1)
            apart = (share[..., None] * between + pixels[None] - mixed).abs().amax(-1)
            one, other = divmod(int(apart.argmin()), ROWS)
            part = float(share[one, other])
            expected = torch.zeros(3)
            expected[Y[one]] += part
            expected[Y[other]] += 1 - part
            assert apart.min() < 1e-6
            torch.testing.assert_close(classes, expected, atol=1e-5, rtol=0)
            shares.add(round(max(part, 1 - part), 4))
        assert per == "sample" or len(shares) <= (2 if per == "batch" else len(image) // 2 + 1)


def test_views_are_averaged_as_probabilities_or_before(tmp_path: Path) -> None:
    image = torch.tensor(TEST[0]).float() / 255
    for number, (tta, axes) in enumerate({"hflip": [(), (3,)], "flips": [(), (3,), (2,), (2, 3)]}.items()):
        for average in ("probabilities", "logits"):
            folder = tmp_path / f"{number}{average}"
            folder.mkdir()
            run, *_ = trained(folder, {"tta": f"{tta}(average={average})", "epochs": 1})
            with torch.no_grad():
                views = torch.stack([run.module().eval()(image.flip(a)) for a in axes])
            mean = views.softmax(2).mean(0) if average == "probabilities" else views.mean(0).softmax(1)
            expected = -mean.log()[range(30), TEST[1]].mean()
            assert run.result["loss"] == pytest.approx(float(expected), abs=1e-5)
