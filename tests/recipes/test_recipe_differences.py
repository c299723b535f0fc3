"""What published recipes say differently under one name: each difference can be said, and its numbers differ as they
should. One test for each; the references are formulas of the sources' code, or torch's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from paths import SPECS
from recipe_harness import recipe
from torch import Tensor, nn
from torch.nn import functional
from training_harness import loop_of, samples

from netdsl.analysis.count import parameters
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.planning.groups import Parameter, group
from netdsl.planning.plan import plan
from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.source import Source
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import Split
from netdsl.training.data.targets import Targets
from netdsl.training.regularization import drop_paths, set_drop_path

PER_EPOCH, EPOCHS = 10, 20


def lr(fields: str, step: int) -> float:
    found = recipe(f"epochs = {EPOCHS}\n{fields}")
    whole = Schedule(found.schedule, peak_lr(found), EPOCHS * PER_EPOCH, PER_EPOCH, found.schedule_unit)
    return whole(step)


# 1. Schedules: unit, start, floor.


def test_schedules_change_by_step_or_by_epoch() -> None:
    """timm on steps and ConvNeXt against torchvision's scheduler.step() at the end of an epoch."""
    text = "optimizer = sgd(lr=1)\nschedule = cosine"
    for step in (0, 9, 10, 57, 199):
        assert lr(text, step) == pytest.approx((1 + math.cos(math.pi * step / 200)) / 2)
        assert lr(text + "\nschedule_unit = epoch", step) == pytest.approx(
            (1 + math.cos(math.pi * (step // 10) / 20)) / 2
        )


@pytest.mark.parametrize(
    ("phase", "first", "third"),
    [
        ("warmup(5 epochs, factor=0.01)", 0.01 * 0.5, 0.5 * (0.01 + 0.99 * 2 / 50)),  # torchvision
        ("warmup(5 epochs, start=1e-6)", 1e-6, 1e-6 + (0.5 - 1e-6) * 2 / 50),  # timm, DeiT: an absolute lr
        ("warmup(5 epochs, factor=1e-4)", 0.5e-4, 0.5 * (1e-4 + (1 - 1e-4) * 2 / 50)),  # ResNet strikes back
        ("warmup(5 epochs)", 0.0, 0.5 * 2 / 50),  # from 0
        ("warmup(5 epochs, inclusive=true)", 0.0, 0.5 * 2 / 49),  # ConvNeXt: the last step has the full lr
    ],
)
def test_what_a_warmup_starts_from(phase: str, first: float, third: float) -> None:
    fields = f"optimizer = sgd(lr=0.5)\nschedule = {phase} -> cosine"
    assert lr(fields, 0) == pytest.approx(first, abs=1e-12)
    assert lr(fields, 2) == pytest.approx(third, rel=1e-9)
    assert lr(fields, 50) == pytest.approx(0.5)


def test_what_a_cosine_falls_to() -> None:
    """0, 1e-6 absolute (ConvNeXt), or a fraction of the peak: said with the optimizer's lr as an expression."""
    for text, floor in (("cosine", 0.0), ("cosine(to=1e-6)", 1e-6), ("cosine(to=0.01 * 4e-3)", 4e-5)):
        last = lr(f"optimizer = adamw(lr=4e-3)\nschedule = {text}", 199)
        assert last == pytest.approx(floor + (4e-3 - floor) * (1 + math.cos(math.pi * 199 / 200)) / 2)


# 2. The batch that an lr is stated for.


def test_lr_is_scaled_with_the_batch_or_not() -> None:
    """DeiT: 5e-4 * batch / 512; ConvNeXt V2: per 256; ConvNeXt: 4e-3 as it stands."""
    assert peak_lr(recipe("batch = 4096\noptimizer = adamw(lr=5e-4, per_batch=512)")) == pytest.approx(4e-3)
    assert peak_lr(recipe("batch = 1024\noptimizer = adamw(lr=6.25e-4, per_batch=256)")) == pytest.approx(2.5e-3)
    assert peak_lr(recipe("batch = 64\noptimizer = adamw(lr=4e-3)")) == 4e-3


# 3. What is not decayed.


@pytest.mark.parametrize(
    ("selectors", "free"),
    [
        ("norm", {"norm"}),  # torchvision's norm_weight_decay=0: biases and layer-scale are decayed
        ("norm, bias", {"norm", "bias"}),
        ("vector", {"norm", "bias"}),  # by rank alone, as torchvision stores layer-scale as [C, 1, 1]
        ("norm, bias, scale", {"norm", "bias", "scale"}),  # ConvNeXt's code keeps it [C]
    ],
)
def test_decay_sets_of_convnext(selectors: str, free: set[str]) -> None:
    spec = Spec(load_source(SPECS / "convnext.net"), read_import)
    found = tuple(Parameter(p.path, p.role, p.shape) for p in parameters(spec.net("ConvNeXt_T").checked.main))
    groups = group(recipe(f"optimizer = adamw(weight_decay=0.05)\ngroup {selectors} {{ weight_decay = 0 }}"), found)
    undecayed = {p for g in groups if g.settings.get("weight_decay") == 0 for p in g.paths}
    assert undecayed == {p.path for p in found if p.role in free}


def test_embeddings_are_a_role_of_their_own() -> None:
    text = "net A {\n input t [L] int64\n embed(9, 4) -> it + param((1, 4), role=position) -> linear(9)\n}"
    main = Spec(Source(text, "a.net"), read_import).net().checked.main
    found = tuple(Parameter(p.path, p.role, p.shape) for p in parameters(main))
    groups = group(recipe("group embedding, position { weight_decay = 0 }"), found)
    free = [p for g in groups if g.settings.get("weight_decay") == 0 for p in g.paths]
    assert {p.role for p in found if p.path in free} == {"embedding", "position"}


# 4. Momentum.


def updated(fields: str, gradients: list[float], lrs: list[float], start: float = 1.0) -> list[float]:
    """One number, updated with given gradients and learning rates."""
    from netdsl.training.optim.optimizers import Updater

    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, start)
    found = recipe(fields)
    updater = Updater(module, group(found, (Parameter("weight", "linear", (1, 1)),)), found, 100)
    values = []
    for g, rate in zip(gradients, lrs, strict=True):
        module.weight.grad = torch.full_like(module.weight, g)
        updater.set_lr(rate)
        updater.step()
        values.append(module.weight.item())
    return values


G, LR = [1.0, -0.5, 2.0, 0.25], [0.1, 0.1, 0.01, 0.02]


@pytest.mark.parametrize(("nesterov", "dampening"), [(False, 0.0), (False, 0.5), (True, 0.0)])
@pytest.mark.parametrize("inside", [False, True])
def test_momentum_conventions(nesterov: bool, dampening: float, inside: bool) -> None:
    """lr outside the buffer (PyTorch) or inside (Caffe, AlexNet, cifar10-fast); Nesterov; dampening."""
    w, v, want = 1.0, 0.0, []
    for i, (g, rate) in enumerate(zip(G, LR, strict=True)):
        new = g if i == 0 else (1 - dampening) * g
        v = 0.9 * v + (rate if inside else 1) * new
        step = 0.9 * v + (rate if inside else 1) * g if nesterov else v
        w -= step if inside else rate * step
        want.append(w)
    options = f"lr=0.1, momentum=0.9, dampening={dampening}, nesterov={str(nesterov).lower()}"
    got = updated(f"optimizer = sgd({options}, lr_in_buffer={str(inside).lower()})", G, LR)
    assert got == pytest.approx(want, rel=1e-5)


# 5. Weight decay.


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("adam(lr=0.1, weight_decay=0.02)", "coupled"),
        ("adamw(lr=0.1, weight_decay=0.02)", "lr"),
        ("adamw(lr=0.1, weight_decay=0.02, decay=schedule)", "schedule"),
        ("adamw(lr=0.1, weight_decay=0.02, decay=normalized)", "normalized"),
    ],
)
def test_kinds_of_weight_decay(text: str, kind: str) -> None:
    """L2 in the gradient; decoupled, times lr(t) (PyTorch), times the schedule alone (the paper), normalised."""
    w, m, v, want = 1.0, 0.0, 0.0, []
    for t, (gradient, rate) in enumerate(zip(G, LR, strict=True), 1):
        g = gradient + (0.02 * w if kind == "coupled" else 0)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        direction = m / (1 - 0.9**t) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        eta = rate / 0.1
        shrink = {"coupled": 0.0, "lr": rate * 0.02, "schedule": eta * 0.02, "normalized": eta * 0.02 / 100**0.5}
        w -= rate * direction + shrink[kind] * w
        want.append(w)
    assert updated(f"optimizer = {text}", G, LR) == pytest.approx(want, rel=1e-5)


# 6. Stochastic depth.


def test_drop_path_per_row_and_per_batch() -> None:
    """Per row: each sample has its own fate (timm, torchvision). Per batch: one for all (Huang et al. 2016); the branch
    is then worth 0 and its weights have a gradient of 0. It is still computed: no time is saved."""
    text = "net A {\n input x [4]\n residual { linear(4) }\n}"
    from netdsl.elaborate.elaborate import Options

    net = Spec(Source(text, "a.net"), read_import).net(None, {}, {}, Options(links=True))
    x = torch.randn(4000, 4)
    module = net.module(0).train()
    set_drop_path(module, recipe("drop_path = drop_path(constant(0.25), mode=row)").drop_path)
    branch = module(x) - x
    kept = branch.abs().sum(1) > 0
    assert 0.72 < float(kept.float().mean()) < 0.78
    torch.testing.assert_close(branch[kept], module.linear(x)[kept] / 0.75, rtol=1e-4, atol=1e-5)
    set_drop_path(module, recipe("drop_path = drop_path(constant(0.25), mode=batch)").drop_path)
    fates = []
    for _ in range(400):
        module.zero_grad()
        out = module(x[:8])
        dropped = torch.equal(out, x[:8])
        out.sum().backward()
        assert bool((module.linear.weight.grad == 0).all()) == dropped
        if not dropped:
            torch.testing.assert_close(out - x[:8], module.linear(x[:8]) / 0.75, rtol=1e-4, atol=1e-5)
        fates.append(dropped)
    assert 0.18 < sum(fates) / 400 < 0.32
    assert drop_paths(module)


# 7. Averages.


@pytest.mark.parametrize(
    ("word", "decay", "every", "restart"),
    [
        ("0.9", 0.9, 1, 0),  # timm, ConvNeXt: at every step
        ("ema(0.9, every=3)", 0.9, 3, 0),
        ("ema(0.9, restart=6 steps)", 0.9, 1, 6),  # torchvision: n_averaged = 0 during the warm-up
        ("ema(0.99, every=2, scaled=true)", 1 - 0.01 * 10 * 2 / 4, 2, 0),  # torchvision's adjustment, 4 epochs of 5
    ],
)
def test_averages_of_weights(word: str, decay: float, every: int, restart: int) -> None:
    loop = loop_of(f"epochs = 4\nbatch = 10\noptimizer = sgd(lr=0.1)\nema = {word}", split=samples(50))
    expected = loop.module.state_dict()["5.weight"].clone()
    for step in range(1, 21):
        loop.update(step - 1)
        weight = loop.module.state_dict()["5.weight"]
        if step % every == 0:
            keep = 0.0 if step <= restart else decay
            expected = keep * expected + (1 - keep) * weight
    average = loop.averages.state()
    assert average is not None
    torch.testing.assert_close(average["5.weight"], expected, rtol=1e-4, atol=1e-6)


def test_statistics_beside_an_average_are_copied_or_averaged() -> None:
    """timm and torchvision copy batch-norm statistics by default; the other choice is to average them."""
    for policy in ("copy", "average"):
        loop = loop_of(f"steps = 6\nbatch = 10\nema = ema(0.5, buffers={policy})", split=samples(50))
        expected = loop.module.state_dict()["1.running_mean"].clone()
        for step in range(6):
            loop.update(step)
            mean = loop.module.state_dict()["1.running_mean"]
            expected = mean.clone() if policy == "copy" else (expected + mean) / 2
        average = loop.averages.state()
        assert average is not None
        torch.testing.assert_close(average["1.running_mean"], expected)
        assert int(average["1.num_batches_tracked"]) == 6


# 8. Mixing.


def mixed(text: str, count: int = 8, step: int = 0, repeat: int = 1) -> Any:
    """Inputs and targets of one update, where sample i is an image of the number i and of class i."""
    found = recipe(f"batch = {count}\nrepeat = {repeat}\nmix = {text}")
    image = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    feed = BatchLoader(Split((image,), torch.arange(count)), found, Targets(found, "classes", count))
    return feed.batch(step), feed.order(0), feed


def test_mixup_is_drawn_per_batch_per_sample_or_per_pair() -> None:
    batch, order, _ = mixed("mixup(1.0)")
    assert len({round(float(s), 5) for s in batch.target[range(8), order]}) == 1
    batch, order, _ = mixed("mixup(1.0, per=sample)")
    assert len({round(float(s), 5) for s in batch.target[range(8), order]}) == 8
    batch, order, _ = mixed("mixup(1.0, per=pair)")
    share = batch.target[range(8), order]
    for i in range(0, 8, 2):  # timm's _mix_pair: both of a pair with one lambda, each the other's partner
        a, b = float(order[i]), float(order[i + 1])
        s = float(share[i])
        assert float(share[i + 1]) == s
        assert float(batch.target[i, order[i + 1]]) == pytest.approx(1 - s)
        torch.testing.assert_close(batch.inputs[0][i, 0, 0, 0], torch.tensor(s * a + (1 - s) * b))
        torch.testing.assert_close(batch.inputs[0][i + 1, 0, 0, 0], torch.tensor(s * b + (1 - s) * a))
    assert len({round(float(s), 5) for s in share}) == 4


@pytest.mark.parametrize(("count", "repeat"), [(8, 1), (7, 1), (1, 1), (12, 3)])
@pytest.mark.parametrize("word", ["mixup", "cutmix"])
def test_pairs_are_the_same_however_the_update_is_shared(word: str, count: int, repeat: int) -> None:
    whole, order, feed = mixed(f"{word}(1.0, per=pair)", count, repeat=repeat)
    parts = [feed.batch(0, i, min(i + 3, count)) for i in range(0, count, 3)]
    assert torch.equal(whole.inputs[0], torch.cat([p.inputs[0] for p in parts]))
    assert torch.equal(whole.target, torch.cat([p.target for p in parts]))
    torch.testing.assert_close(whole.target.sum(1), torch.ones(count))
    if count == 7:
        assert float(whole.target[6, order[6]]) == 1.0  # the last one has no partner
    if repeat == 3:
        assert (whole.target > 0).sum(1).tolist() == [2] * 12


@pytest.mark.parametrize(
    ("text", "mixup", "cutmix"),
    [
        ("mixup(0.8) | cutmix(1.0)", 0.5, 0.5),  # RandomChoice, and timm's switch_prob 0.5
        ("mixup(0.8, p=0.5) | cutmix(1.0)", 0.25, 0.5),
        ("mixup(0.8, weight=3) | cutmix(1.0)", 0.75, 0.25),  # timm's switch_prob 0.25
        ("mixup(0.8, weight=3, p=0.4) | cutmix(1.0, p=0.4)", 0.3, 0.1),  # and prob 0.4
    ],
)
def test_chances_of_mixings(text: str, mixup: float, cutmix: float) -> None:
    _, _, feed = mixed(text)
    drawn = [type(d.component).__name__ if (d := feed.stages.at(step).mixer.draw(step)) else "" for step in range(4000)]
    assert drawn.count("Mixup") / 4000 == pytest.approx(mixup, abs=0.03)
    assert drawn.count("Cutmix") / 4000 == pytest.approx(cutmix, abs=0.03)


# 9. Losses.

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 3, 1, 2, 2, 0])
HOT = functional.one_hot(LABELS, 4).float()


@pytest.mark.parametrize(
    ("text", "torchs"),
    [
        ("cross_entropy", lambda: functional.cross_entropy(LOGITS, LABELS)),
        ("cross_entropy(reduction=sum)", lambda: functional.cross_entropy(LOGITS, LABELS, reduction="sum")),
        (
            "cross_entropy(label_smoothing=0.2, reduction=sum)",
            lambda: functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.2, reduction="sum"),
        ),
        ("bce", lambda: functional.binary_cross_entropy_with_logits(LOGITS, HOT)),
        ("bce(label_smoothing=0.1)", lambda: functional.binary_cross_entropy_with_logits(LOGITS, HOT * 0.9 + 0.025)),
        (
            "bce(label_smoothing=0.1, threshold=0.2)",
            lambda: functional.binary_cross_entropy_with_logits(LOGITS, HOT),
        ),
        ("bce(sum_classes=true)", lambda: functional.binary_cross_entropy_with_logits(LOGITS, HOT) * 4),
        ("bce(reduction=sum)", lambda: functional.binary_cross_entropy_with_logits(LOGITS, HOT) * 6),
    ],
)
def test_losses_and_their_reductions(text: str, torchs: Any) -> None:
    """What the loop minimises for a batch, through its own target and its own division."""
    found = recipe(f"batch = 6\nmicro_batch = 4\nsteps = 1\nloss = {text}")
    split = Split((LOGITS,), LABELS)
    feed = BatchLoader(split, found, Targets(found, "classes", 4))
    module = nn.Sequential(nn.Linear(4, 4, bias=False))
    nn.init.eye_(module[0].weight)
    loop = loop_of(found, module=module, split=split, feed=feed, held=split)
    seen: list[Tensor] = []
    loop.watch = lambda what, numbers: seen.append(numbers["loss"]) if what == "step" else None
    loop.update(0)
    torch.testing.assert_close(seen[0], torchs())


def test_smoothing_has_one_owner_that_the_plan_names() -> None:
    """timm smooths inside mixup and again in the loss; torchvision in the loss alone. Here it is said once."""
    net = Spec(load_source(SPECS / "lenet.net"), read_import).net()
    text = "loss = cross_entropy(label_smoothing=0.1)\nmix = mixup(0.8) | cutmix(1.0)"
    targets = plan(net, recipe(text), 1438).targets
    assert "0.1" in targets
    assert targets.index("smoothed") < targets.index("mixed")
    batch, order, _ = mixed("mixup(0.8)\nloss = cross_entropy(label_smoothing=0.1)")
    _ = order
    torch.testing.assert_close(batch.target.sum(1), torch.ones(8))
    assert float(batch.target.min()) == pytest.approx(0.1 / 8)  # every class once, not 0.1 / 8 twice


# 10. Resolution, repeated augmentation.


def test_repeated_augmentation_shows_a_third_of_the_samples_three_times() -> None:
    found = recipe("batch = 12\nrepeat = 3\naugment = hflip")
    feed = BatchLoader(samples(48), found, Targets(found, "classes", 3))
    assert len(feed.order(0)) == 48
    assert len(set(feed.order(0).tolist())) == 16
