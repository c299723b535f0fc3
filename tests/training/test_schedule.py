"""Schedules against torch's own schedulers and published code, step by step."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from recipe_harness import recipe

from netdsl.planning.schedule import Schedule

PER_EPOCH, TOTAL, PEAK = 7, 70, 0.4


def ours(text: str, unit: str = "step") -> list[float]:
    schedule = Schedule(recipe(f"epochs = 10\nschedule = {text}").schedule, PEAK, TOTAL, PER_EPOCH, unit)
    return [schedule(step) for step in range(TOTAL)]


def theirs(make: Any, stride: int = 1) -> list[float]:
    """The lr before each step, where the scheduler is stepped once in `stride` steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for step in range(TOTAL):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if (step + 1) % stride == 0:
                scheduler.step()
    return found


S = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("cosine(to=1e-3)", lambda o: S.CosineAnnealingLR(o, TOTAL, 1e-3)),
        ("step(3 epochs, 0.3)", lambda o: S.StepLR(o, 21, 0.3)),
        ("multistep([10 steps, 5 epochs], 0.1)", lambda o: S.MultiStepLR(o, [10, 35], 0.1)),
        ("exponential(0.97, 1 steps)", lambda o: S.ExponentialLR(o, 0.97)),
        ("polynomial(power=2)", lambda o: S.PolynomialLR(o, TOTAL, 2)),
        ("linear(factor=0.1)", lambda o: S.LinearLR(o, 1.0, 0.1, TOTAL)),
        ("restarts(10 steps, times=2, to=0.01)", lambda o: S.CosineAnnealingWarmRestarts(o, 10, 2, 0.01)),
        ("onecycle(rise=0.3)", lambda o: S.OneCycleLR(o, PEAK, TOTAL, pct_start=0.3)),
        ("onecycle(rise=0.3, shape=linear)",
         lambda o: S.OneCycleLR(o, PEAK, TOTAL, pct_start=0.3, anneal_strategy="linear")),
        ("constant", lambda o: S.ConstantLR(o, 1.0, 1)),
        (
            "warmup(2 epochs, factor=0.01) -> cosine",
            lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.01, 1.0, 14), S.CosineAnnealingLR(o, TOTAL - 14)], [14]),
        ),
    ],
)  # fmt: skip
def test_phases_equal_torch(text: str, make: Any) -> None:
    assert ours(text) == pytest.approx(theirs(make), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("cosine(to=1e-3)", lambda o: S.CosineAnnealingLR(o, 10, 1e-3)),
        ("step(3 epochs, 0.3)", lambda o: S.StepLR(o, 3, 0.3)),
        ("multistep([2 epochs, 5 epochs], 0.1)", lambda o: S.MultiStepLR(o, [2, 5], 0.1)),
        ("exponential(0.9)", lambda o: S.ExponentialLR(o, 0.9)),
        ("polynomial(power=2)", lambda o: S.PolynomialLR(o, 10, 2)),
        ("linear(factor=0.1)", lambda o: S.LinearLR(o, 1.0, 0.1, 10)),
        ("restarts(2 epochs, times=2)", lambda o: S.CosineAnnealingWarmRestarts(o, 2, 2)),
        ("warmup(4 epochs, factor=0.2, shape=constant) -> constant", lambda o: S.ConstantLR(o, 0.2, 4)),
        (
            "warmup(2 epochs, factor=0.1) -> multistep([3 epochs, 5 epochs])",
            lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 2), S.MultiStepLR(o, [3, 5])], [2]),
        ),
        (
            "constant(2 epochs) -> cosine(over=3 epochs) -> constant",
            lambda o: S.SequentialLR(o, [S.ConstantLR(o, 1.0, 1), Halved(o, 3)], [2]),
        ),
    ],
)
def test_phases_by_epoch_equal_torch_stepped_once_an_epoch(text: str, make: Any) -> None:
    """Exact at the borders: the epoch after a phase has the next phase's first value."""
    assert ours(text, "epoch") == pytest.approx(theirs(make, stride=PER_EPOCH), rel=1e-6, abs=1e-12)


class Halved(S.LambdaLR):
    """Half a cosine over some epochs, then its end."""

    def __init__(self, optimizer: Any, length: int) -> None:
        super().__init__(optimizer, lambda t: (1 + math.cos(math.pi * min(1.0, t / length))) / 2)


def test_borders_between_phases_are_exact() -> None:
    """The first step of a phase is the first that has its value; both units name the same border."""
    for unit in ("epochs", "steps"):
        times = (2, 3) if unit == "epochs" else (14, 21)
        got = ours(f"warmup({times[0]} {unit}) -> constant({times[1]} {unit}) -> linear(to=0)")
        assert got[13] == pytest.approx(PEAK * 13 / 14)
        assert got[14] == got[34] == got[35] == PEAK
        assert got[36] == pytest.approx(PEAK * 34 / 35)
        assert got[69] == pytest.approx(PEAK * 1 / 35)


def test_epoch_units_equal_torchvisions_reference() -> None:
    """references/classification/train.py: LinearLR then CosineAnnealingLR, both stepped once per epoch."""

    def make(o: Any) -> Any:
        return S.SequentialLR(o, [S.LinearLR(o, 0.01, 1.0, 5), S.CosineAnnealingLR(o, 10 - 5)], [5])

    got = ours("warmup(5 epochs, factor=0.01) -> cosine", "epoch")
    assert got == pytest.approx(theirs(make, stride=PER_EPOCH), rel=1e-6, abs=1e-12)


def test_convnexts_schedule_step_by_step() -> None:
    """utils.py of the ConvNeXt repository: linspace up to the full lr, then half a cosine over the rest."""
    warm = 2 * PER_EPOCH
    rest = TOTAL - warm
    expected = [PEAK * i / (warm - 1) for i in range(warm)]
    expected += [1e-6 + 0.5 * (PEAK - 1e-6) * (1 + math.cos(math.pi * i / rest)) for i in range(rest)]
    assert ours("warmup(2 epochs, inclusive=true) -> cosine(to=1e-6)") == pytest.approx(expected, rel=1e-9)


def test_phases_go_on_from_where_the_last_one_ended() -> None:
    got = ours("linear(to=0.2, over=10 steps) -> constant(10 steps) -> linear(to=0.1, over=10 steps)")
    assert got[0] == PEAK
    assert got[10:20] == [pytest.approx(0.2)] * 10
    assert got[25] == pytest.approx(0.15)
    assert got[30:] == [pytest.approx(0.1)] * 40


def test_a_triangle_like_cifar10_fast() -> None:
    """lr piecewise linear: 0 at 0, the peak at epoch 5, 0 at epoch 10, at every step."""
    got = ours("warmup(5 epochs) -> linear(to=0)")
    expected = [PEAK * min(s / 35, (70 - s) / 35) for s in range(TOTAL)]
    assert got == pytest.approx(expected, abs=1e-12)


def test_the_schedule_has_no_state() -> None:
    schedule = Schedule(recipe("epochs=10\nschedule = warmup(1 epochs) -> cosine").schedule, PEAK, TOTAL, PER_EPOCH)
    forward = [schedule(s) for s in range(TOTAL)]
    assert [schedule(s) for s in reversed(range(TOTAL))] == forward[::-1]


def test_a_constant_warmup_is_torchs_constant_lr() -> None:
    made = theirs(lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=0.1, total_iters=4))
    assert ours("warmup(4 steps, factor=0.1, shape=constant) -> constant") == pytest.approx(made)


def test_a_warmup_may_replace_the_beginning_of_a_whole_curve() -> None:
    """timm's and TensorFlow's warm-ups: what follows is counted from the first step of training."""
    peak, total = 0.2, 100

    def at(text: str, step: int) -> float:
        return Schedule(recipe(f"schedule = warmup(10 steps) -> {text}").schedule, peak, total, 10)(step)

    for step in (10, 37, 99):
        cosine = 0.01 + (peak - 0.01) * (1 + math.cos(math.pi * step / total)) / 2
        assert at("cosine(to=0.01, whole=true)", step) == pytest.approx(cosine)
        decayed = peak * 0.97 ** (step // 24)
        assert at("exponential(0.97, every=2.4 epochs, staircase=true, whole=true)", step) == pytest.approx(decayed)
        stepped = peak * 0.1 ** ((step >= 32) + (step >= 48))
        assert at("multistep([32 steps, 48 steps], whole=true)", step) == pytest.approx(stepped)
        assert at("step(30 steps, whole=true)", step) == pytest.approx(peak * 0.1 ** (step // 30))
    assert at("cosine(whole=true)", 5) == pytest.approx(peak / 2)
