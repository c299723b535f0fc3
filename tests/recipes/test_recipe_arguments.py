"""Arguments of words that no other test gives: each reaches what it is for, held against torch or its formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from roles import roles_of
from torch import Tensor, nn
from torch.nn import functional

from netdsl.planning.groups import group
from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.training.losses.losses import loss_of
from netdsl.training.optim.gradients import clip
from netdsl.training.optim.optimizers import Updater
from netdsl.training.regularization import time_rate

O = torch.optim  # noqa: E741 - as short as the table wants it
PEAK, PER_EPOCH, TOTAL = 0.4, 10, 100


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))


def gradients(module: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in module.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


def ours(text: str) -> list[Tensor]:
    module, found = net(), recipe(f"batch = 64\noptimizer = {text}")
    updater = Updater(module, group(found, roles_of(module)), found, 100)
    for step in range(5):
        gradients(module, step)
        updater.set_lr(peak_lr(found))
        updater.step()
    return [p.detach() for p in module.parameters()]


def theirs(make: Any) -> list[Tensor]:
    module = net()
    optimizers = make(module)
    for step in range(5):
        gradients(module, step)
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            optimizer.step()
    return [p.detach() for p in module.parameters()]


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("adam(lr=0.01, betas=[0.8, 0.95], eps=1e-3)", lambda m: O.Adam(m.parameters(), 0.01, (0.8, 0.95), 1e-3)),
        ("nadam(lr=0.01, betas=[0.8, 0.95], eps=1e-3)", lambda m: O.NAdam(m.parameters(), 0.01, (0.8, 0.95), 1e-3)),
        ("radam(lr=0.01, betas=[0.8, 0.95], eps=1e-3)", lambda m: O.RAdam(m.parameters(), 0.01, (0.8, 0.95), 1e-3)),
        ("adamw(lr=0.01, eps=1e-3, weight_decay=0)", lambda m: O.AdamW(m.parameters(), 0.01, eps=1e-3, weight_decay=0)),
        ("rmsprop(lr=0.01, alpha=0.7, eps=0.1)", lambda m: O.RMSprop(m.parameters(), 0.01, 0.7, 0.1)),
        ("adagrad(lr=0.1, eps=0.1)", lambda m: O.Adagrad(m.parameters(), 0.1, eps=0.1)),
        (
            "muon(lr=0.1, momentum=0.5, nesterov=false, weight_decay=0, adjust=match_rms_adamw, adamw_lr=0.02)",
            lambda m: [
                O.Muon([p for p in m.parameters() if p.ndim == 2], 0.1, 0, 0.5, False, adjust_lr_fn="match_rms_adamw"),
                O.AdamW([p for p in m.parameters() if p.ndim == 1], 0.02, weight_decay=0),
            ],
        ),
    ],
)  # fmt: skip
def test_optimizers_take_every_argument(text: str, make: Any) -> None:
    for a, b in zip(ours(text), theirs(make), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name", ["sgd", "adam", "adamw", "nadam", "radam", "rmsprop", "adagrad", "muon", "lion", "lamb", "lars"]
)
def test_every_optimizers_lr_can_be_stated_for_a_batch(name: str) -> None:
    both = ", adamw_lr=2e-3" if name == "muon" else ""  # the lr of what Muon leaves to AdamW scales alike
    for a, b in zip(ours(f"{name}(lr=0.01, per_batch=32)"), ours(f"{name}(lr=0.02{both})"), strict=True):
        torch.testing.assert_close(a, b)


def by_formula(update: Any) -> list[Tensor]:
    module = net()
    values = [p.detach().double() for p in module.parameters()]
    states: list[dict[str, Any]] = [{} for _ in values]
    for step in range(5):
        gradients(module, step)
        for i, p in enumerate(module.parameters()):
            assert p.grad is not None
            values[i] = update(values[i], p.grad.double(), states[i], step + 1)
    return [v.float() for v in values]


def test_papers_optimizers_take_every_argument() -> None:
    def lion(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
        m = s.get("m", torch.zeros_like(w))
        s["m"] = 0.7 * m + 0.3 * g
        return w - 0.01 * (0.5 * m + 0.5 * g).sign()

    def lars(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
        local = 0.02 * w.norm() / (g.norm() + 0.1 * w.norm())
        s["v"] = 0.5 * s.get("v", torch.zeros_like(w)) + 0.3 * local * (g + 0.1 * w)
        return w - s["v"]

    def lamb(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
        s["m"] = 0.8 * s.get("m", torch.zeros_like(w)) + 0.2 * g
        s["v"] = 0.95 * s.get("v", torch.zeros_like(w)) + 0.05 * g * g
        r = (s["m"] / (1 - 0.8**t)) / ((s["v"] / (1 - 0.95**t)).sqrt() + 1e-2) + 0.1 * w
        return w - 0.01 * w.norm() / r.norm() * r

    for text, update in (
        ("lion(lr=0.01, betas=[0.5, 0.7])", lion),
        ("lars(lr=0.3, momentum=0.5, trust=0.02, weight_decay=0.1)", lars),
        ("lamb(lr=0.01, betas=[0.8, 0.95], eps=1e-2, weight_decay=0.1, max_norm=0)", lamb),
    ):
        for a, b in zip(ours(text), by_formula(update), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=text)


def lr(text: str, step: int) -> float:
    return Schedule(recipe(f"epochs=10\nschedule = {text}").schedule, PEAK, TOTAL, PER_EPOCH)(step)


def test_phases_take_every_argument() -> None:
    assert lr("polynomial(2, to=0.1)", 50) == pytest.approx(0.1 + 0.3 * 0.5**2)
    assert lr("polynomial(2, to=0.1, over=5 epochs) -> constant", 25) == pytest.approx(0.1 + 0.3 * 0.5**2)
    assert lr("polynomial(2, to=0.1, over=5 epochs) -> constant", 70) == pytest.approx(0.1)
    assert lr("constant(over=2 epochs) -> linear", 60) == pytest.approx(PEAK / 2)
    assert lr("step(every=1 epochs, factor=0.5, over=3 epochs) -> constant", 29) == pytest.approx(PEAK / 4)
    assert lr("step(every=1 epochs, factor=0.5, over=3 epochs) -> constant", 30) == pytest.approx(PEAK / 8)
    assert lr("multistep([1 epochs], 0.5, over=2 epochs) -> constant", 99) == pytest.approx(PEAK / 2)
    assert lr("exponential(factor=0.5, over=2 epochs) -> constant", 15) == pytest.approx(PEAK * 0.5**1.5)
    assert lr("exponential(factor=0.5, over=2 epochs) -> constant", 99) == pytest.approx(PEAK * 0.25)
    half = lr("restarts(first=2 epochs, to=0.1, over=4 epochs) -> constant", 30)
    assert half == pytest.approx(0.1 + 0.3 * (1 + math.cos(math.pi / 2)) / 2)
    assert lr("onecycle(start_div=8, end_div=100)", 0) == pytest.approx(PEAK / 8)
    assert lr("onecycle(start_div=8, end_div=100)", 99) == pytest.approx(PEAK / 800)
    assert lr("onecycle(over=5 epochs) -> constant", 60) == pytest.approx(PEAK / 25 / 1e4)
    assert lr("warmup(over=20 steps) -> constant", 10) == pytest.approx(PEAK / 2)


def test_losses_take_every_argument() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (3 * torch.randn(7, 4, generator=generator) for _ in range(2))
    for text, torchs in (
        ("huber(delta=0.3)", functional.huber_loss(a, b, delta=0.3)),
        ("huber(delta=2)", functional.huber_loss(a, b, delta=2)),
        ("l1", functional.l1_loss(a, b)),
        ("mse", functional.mse_loss(a, b)),
    ):
        torch.testing.assert_close(loss_of(recipe(f"loss = {text}").loss)(a, b).mean(), torchs)
    for text in ("mse(reduction=sum)", "l1(reduction=sum)", "huber(reduction=sum)", "dice_ce(reduction=sum)"):
        assert recipe(f"data = clutter\nloss = {text}").loss.reduction == "sum"


@pytest.mark.parametrize("word", ["mse", "l1", "huber"])
def test_sums_of_losses_of_numbers(word: str) -> None:
    """The gradient of `reduction=sum` is that of the mean times the samples."""
    from training_harness import loop_of, samples

    found = []
    for reduction in ("mean", "sum"):
        loop = loop_of(f"batch = 20\nsteps=1\nloss = {word}(reduction={reduction})", split=samples(20))
        loop._prepare(0)
        loop._backward(0, 0, 20, True)
        found.append(torch.cat([p.grad.flatten() for p in loop.module.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0] * 20, found[1], rtol=1e-4, atol=1e-4)


def test_clipping_takes_every_argument() -> None:
    w = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    w.grad = torch.tensor([[30.0, 40.0], [0.6, 0.8]])
    clip(recipe("clip = adaptive(limit=0.1, eps=0.5)").clip, [w])
    assert w.grad.norm(dim=1).tolist() == pytest.approx([0.1 * 5, 0.1 * 0.5])
    w.grad = torch.tensor([[-3.0, 4.0], [0.1, 0.0]])
    clip(recipe("clip = value(limit=0.5)").clip, [w])
    assert w.grad.flatten().tolist() == pytest.approx([-0.5, 0.5, 0.1, 0.0])


def test_rates_over_time_take_every_argument() -> None:
    early = recipe("dropout = early(rate=0.2, until=4 steps, shape=constant)").dropout
    assert [time_rate(early, s, 10, 1) for s in (0, 3, 4, 9)] == [0.2, 0.2, 0.0, 0.0]
    line = recipe("dropout = linear(start=0.1, to=0.3)").dropout
    assert [time_rate(line, s, 11, 1) for s in (0, 5, 10)] == pytest.approx([0.1, 0.2, 0.3])
    assert time_rate(recipe("dropout = constant(rate=0.4)").dropout, 7, 10, 1) == 0.4
    late = recipe("dropout = late(rate=0.2, after=4 steps)").dropout
    assert [time_rate(late, s, 10, 1) for s in (3, 4)] == [0.0, 0.2]
