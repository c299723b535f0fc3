"""Learning rates of the published recipes: torch's own schedulers and the formulas of the papers' code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from published import IMAGENET, recipe, schedule
from torch import nn
from torch.optim import lr_scheduler

from netdsl.planning.schedule import peak_lr
from netdsl.training.optim.optimizers import decay_factor


def torchvision(epochs: int, lr: float, warmup: int, factor: float, low: float = 0.0) -> list[float]:
    """The script's own schedulers, stepped once an epoch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    after = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - warmup, eta_min=low)
    before = lr_scheduler.LinearLR(optimizer, start_factor=factor, total_iters=warmup)
    return stepped(optimizer, lr_scheduler.SequentialLR(optimizer, [before, after], [warmup]), epochs)


def decaying(epochs: int, lr: float, size: int, gamma: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    return stepped(optimizer, lr_scheduler.StepLR(optimizer, size, gamma), epochs)


def stepped(optimizer: torch.optim.Optimizer, scheduler: Any, epochs: int) -> list[float]:
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.filterwarnings("ignore:.*epoch parameter.*:UserWarning")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alexnet:Torchvision90", lambda: decaying(90, 1e-2, 30, 0.1)),
        ("vgg:Torchvision90", lambda: decaying(90, 1e-2, 30, 0.1)),
        ("vgg:Torchvision90_BN", lambda: decaying(90, 0.1, 30, 0.1)),
        ("resnet:Torchvision90", lambda: decaying(90, 0.1, 30, 0.1)),
        ("mobilenet_v2:Torchvision300", lambda: decaying(300, 0.045, 1, 0.98)),
        ("mobilenet_v3:Torchvision600", lambda: decaying(600, 0.064, 2, 0.973)),
        ("resnet:Torchvision600", lambda: torchvision(600, 0.5, 5, 0.01)),
        ("convnext:Torchvision600", lambda: torchvision(600, 1e-3, 5, 0.01)),
        ("efficientnet_v2:Torchvision600", lambda: torchvision(600, 0.5, 5, 0.01)),
        ("vit:Torchvision300", lambda: torchvision(300, 3e-3, 30, 0.033)),
        ("swin:Torchvision300", lambda: torchvision(300, 1e-3, 20, 0.01, 1e-5)),
        ("swin:Torchvision300_B", lambda: torchvision(300, 1e-3, 20, 0.01, 1e-5)),
    ],
)
def test_torchvisions_recipes_follow_its_schedulers_through_every_epoch(
    name: str, expected: Callable[[], list[float]]
) -> None:
    lr, per_epoch, total = schedule(name)
    for epoch, value in enumerate(expected()):
        for step in (0, per_epoch // 2, per_epoch - 1):
            assert lr(epoch * per_epoch + step) == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert total == len(expected()) * per_epoch


def test_convnexts_schedule_is_the_codes_array() -> None:
    """utils.cosine_scheduler: linspace(0, lr, warm-up), then half a cosine to 1e-6, 312 steps an epoch."""
    lr, per_epoch, total = schedule("convnext:ImageNet300")
    assert (per_epoch, total) == (312, 300 * 312)
    first = np.linspace(0, 4e-3, 20 * 312)
    steps = np.arange(total - 20 * 312)
    later = 1e-6 + 0.5 * (4e-3 - 1e-6) * (1 + np.cos(np.pi * steps / len(steps)))
    expected = np.concatenate([first, later])
    for step in [*range(0, total, 997), 6239, 6240, total - 1]:
        assert lr(step) == pytest.approx(expected[step], rel=1e-9)


def half_cosine(peak: float, low: float, share: float) -> float:
    return low + (peak - low) * (1 + math.cos(math.pi * share)) / 2


def test_fine_tunings_fall_from_the_first_update() -> None:
    for name in ("convnext:FineTune22k", "convnext:FineTune384_L"):
        lr, per_epoch, total = schedule(name)
        assert (per_epoch, total) == (IMAGENET // 512, 30 * (IMAGENET // 512))
        for share in (0, 0.25, 0.5):
            step = round(share * total)
            assert lr(step) == pytest.approx(half_cosine(5e-5, 1e-6, step / total))


def test_convnext_v2_states_lr_for_256_samples() -> None:
    """lr = blr * batch / 256; MAE's schedule: linear from 0, then half a cosine, by the fraction of an epoch."""
    for name, blr, epochs, warmup in (("B", 6.25e-4, 100, 20), ("T", 8e-4, 300, 40), ("A", 2e-4, 600, 0)):
        lr, per_epoch, total = schedule(f"convnext_v2:FineTune_{name}")
        peak = blr * 4
        assert total == epochs * per_epoch
        for epoch in (0, 0.5, 19.5, 40, epochs / 2, epochs - 1):
            step = int(epoch * per_epoch)
            at = step / per_epoch
            rising = peak * at / warmup if at < warmup else None
            expected = half_cosine(peak, 1e-6, (at - warmup) / (epochs - warmup)) if rising is None else rising
            assert lr(step) == pytest.approx(expected), (name, epoch)


@pytest.mark.parametrize(("name", "peak", "epochs"), [("A1", 5e-3, 600), ("A2", 5e-3, 300), ("A3", 8e-3, 100)])
def test_strikes_back_rises_from_a_ten_thousandth(name: str, peak: float, epochs: int) -> None:
    lr, per_epoch, total = schedule(f"resnet:{name}")
    first = 5 * per_epoch
    assert lr(0) == pytest.approx(1e-4 * peak)
    assert lr(first // 2) == pytest.approx(peak * (1e-4 + (1 - 1e-4) * (first // 2) / first))
    for step in (first, total // 3, total - 1):
        assert lr(step) == pytest.approx(half_cosine(peak, 1e-6, (step - first) / (total - first)))
    assert total == epochs * (IMAGENET // 2048)


def test_deits_cosine_counts_from_the_first_epoch() -> None:
    """timm's CosineLRScheduler without warmup_prefix, stepped by epochs: at epoch 5 the cosine is at 5 / 300."""
    lr, per_epoch, _ = schedule("vit:DeiT300")
    assert peak_lr(recipe("vit:DeiT300")) == pytest.approx(1e-3)
    for epoch in (0, 1, 4, 5, 6, 150, 299):
        expected = 1e-6 + epoch * (1e-3 - 1e-6) / 5 if epoch < 5 else half_cosine(1e-3, 1e-5, epoch / 300)
        assert lr(epoch * per_epoch + 7) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["efficientnet:ImageNet350_B0", "efficientnet_v2:ImageNet350"])
def test_efficientnets_staircase_counts_from_the_first_update(name: str) -> None:
    """tf.train.exponential_decay(0.256, step, 2.4 epochs, 0.97, staircase=True); for 5 epochs the warm-up instead."""
    lr, per_epoch, total = schedule(name)
    assert total == 350 * per_epoch
    for step in (0, 100, 5 * per_epoch - 1, 5 * per_epoch, 100 * per_epoch + 3, total - 1):
        expected = 0.256 * 0.97 ** (step // (2.4 * per_epoch))
        if step < 5 * per_epoch:
            expected = 0.256 * step / (5 * per_epoch)
        assert lr(step) == pytest.approx(expected)


def test_mobilenets_staircase() -> None:
    """Inception v3's: 0.045, times 0.94 after every second epoch."""
    lr, per_epoch, total = schedule("mobilenet_v1:ImageNet100")
    assert (per_epoch, total) == (math.ceil(IMAGENET / 32), 100 * per_epoch)
    for epoch in (0, 1, 2, 3, 4, 51, 99):
        assert lr(epoch * per_epoch + 11) == pytest.approx(0.045 * 0.94 ** (epoch // 2))


def test_residual_nets_on_cifar() -> None:
    lr, _, total = schedule("resnet_cifar:CIFAR10")
    deep, _, _ = schedule("resnet_cifar:CIFAR10_110")
    assert total == 64_000
    for step, expected in ((0, 0.1), (399, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001)):
        assert lr(step) == pytest.approx(expected)
        assert deep(step) == pytest.approx(0.01 if step < 400 else expected)
    dropped, per_epoch, _ = schedule("resnet_cifar:StochasticDepth", 45_000)
    assert per_epoch == 352
    epochs = [dropped(e * per_epoch) for e in (0, 249, 250, 374, 375, 499)]
    assert epochs == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_lr_of_the_fast_ones_on_cifar() -> None:
    """cifar10-fast: PiecewiseLinear([0, 5, 24], [0, 0.4, 0]) / batch; airbench94's get_lr."""
    lr, per_epoch, total = schedule("resnet9:DAWNBench")
    assert per_epoch == 97
    for step in range(0, total, 53):
        assert lr(step) == pytest.approx(float(np.interp(step / 97, [0, 5, 24], [0, 0.4, 0])) / 512)
    assert recipe("resnet9:DAWNBench").optimizer.weight_decay == 5e-4 * 512  # type: ignore[union-attr]
    lr, per_epoch, total = schedule("airbench:CIFAR10")
    assert (per_epoch, total) == (48, math.ceil(9.9 * 48))
    rise = int(total * 0.23)
    for step in range(total):
        share = (step - rise) / (total - rise)
        factor = 0.2 + 0.8 * step / rise if step < rise else 1 - share + 0.07 * share
        assert lr(step) == pytest.approx(lr.peak_lr * factor)


def test_char_rnn_decays_after_ten_epochs() -> None:
    """train.lua: at the end of the 10th epoch and of each later one, lr *= 0.97. Its gradient, not divided by the 50
    places of a window, is cut at 5: a mean over them at 5 / 50."""
    lr, per_epoch, _ = schedule("char_rnn:TinyShakespeare")
    rate = 2e-3
    for epoch in range(1, 51):
        assert lr(epoch * per_epoch - 1) == pytest.approx(rate)
        rate *= 0.97 if epoch >= 10 else 1
    found = recipe("char_rnn:TinyShakespeare")
    assert (found.clip.limit, found.batch, found.data.length) == (0.1, 50, 50)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "peak", "times", "steps"),
    [
        ("alexnet:ImageNet90", 1e-2, 3, 90 * math.ceil(IMAGENET / 128)),
        ("vgg:ImageNet74", 1e-2, 3, 74 * math.ceil(IMAGENET / 256)),
        ("resnet_v1:ImageNet600k", 0.1, None, 600_000),
    ],
)
def test_lr_divided_by_hand_falls_by_ten_at_plateaus(name: str, peak: float, times: int | None, steps: int) -> None:
    lr, _, total = schedule(name)
    assert total == steps
    assert [lr(total // 2, falls) for falls in range(4)] == pytest.approx([peak * 0.1**f for f in range(4)])
    (word,) = recipe(name).schedule
    assert (word.times, word.metric) == (times, "top1")  # type: ignore[union-attr]
    assert round(recipe(name).validation * IMAGENET, -3) == 50_000


def test_adamws_decay_is_normalized() -> None:
    """wd = 0.025 * sqrt(batch / (samples * epochs)), times the schedule's multiplier alone."""
    found = recipe("wide_resnet:AdamW")
    lr, per_epoch, total = schedule("wide_resnet:AdamW")
    expected = 0.025 * math.sqrt(1 / (per_epoch * 1500))
    for step in (0, total // 3):
        multiplier = half_cosine(1, 0, step / total)
        # torch's AdamW takes w -= lr(t) * (decay * factor) * w
        assert lr(step) * 0.025 * decay_factor(found, total) == pytest.approx(multiplier * expected)
