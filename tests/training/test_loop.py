"""What trainers get wrong, one test or more for each: resuming, shares, averages, accumulation, stopping, penalties."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from torch import Tensor, nn
from training_harness import loop_of, samples, small_net, stop_after

from netdsl.diagnostics.diagnostic import Fault, UserError
from netdsl.planning.rates import depth_rates
from netdsl.recipe.regularizers import ClipAdaptive, Ema
from netdsl.training.checkpoints import format as files
from netdsl.training.checkpoints.resume import is_ordered
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import Split
from netdsl.training.data.targets import Targets
from netdsl.training.diagnose import Diverged
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.errors import CheckpointError
from netdsl.training.evaluate import Evaluator
from netdsl.training.optim.averages import Averages
from netdsl.training.optim.ema import Average, effective_decay
from netdsl.training.optim.gradients import clip
from netdsl.training.regularization import time_rate
from netdsl.training.report.progress import how_it_ended

EVERYTHING = """
steps = 20
batch = 16
optimizer = adamw(lr=1e-2, weight_decay=0.1)
schedule = warmup(3 steps) -> cosine
augment = crop(padding=1) -> hflip -> affine(10) -> random_erasing(0.5)
mix = mixup(0.4) | cutmix(1.0)
loss = cross_entropy(label_smoothing=0.1)
ema = ema(0.9, buffers=average)
dropout = linear(0.0, 0.3)
checkpoint = 1 steps
"""


def state(loop: Any) -> dict[str, Tensor]:
    return {n: t.clone() for n, t in loop.module.state_dict().items()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


# An exact resume in the middle of an epoch, with its average and its lr.


@pytest.mark.parametrize(
    "optimizer",
    [
        "adamw(lr=1e-2)",
        "sgd(lr=0.1, momentum=0.9, lr_in_buffer=true)",
        "muon(lr=1e-2)",
        "lamb(lr=1e-2)",
        "nadam(lr=1e-2)",
    ],
)
@pytest.mark.parametrize("at", [1, 7, 13])
def test_a_resumed_run_is_bit_identical(tmp_path: Path, optimizer: str, at: int) -> None:
    fields = EVERYTHING.replace("adamw(lr=1e-2, weight_decay=0.1)", optimizer)
    whole = loop_of(fields)
    whole.run()
    broken = loop_of(fields, tmp_path)
    stop_after(broken, at)
    resumed = loop_of(fields, tmp_path)
    resumed.restore()
    assert resumed.state.step == at
    resumed.run()
    assert_same(state(whole), state(resumed))
    assert_same(whole.averages.state(), resumed.averages.state())
    assert whole.state == resumed.state


@pytest.mark.parametrize("optimizer", ["sgd(lr=0.1, momentum=0.9)", "adamw(lr=1e-2)"])
def test_a_resumed_run_is_bit_identical_in_another_layout(tmp_path: Path, optimizer: str) -> None:
    """Fused kernels walk through memory: what is restored must lie there as the weights do."""
    fields = f"steps = 6\nbatch = 16\nlayout = channels_last\ncheckpoint = 1 steps\noptimizer = {optimizer}"

    def net() -> nn.Module:
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 3))

    whole = loop_of(fields, module=net())
    whole.run()
    broken = loop_of(fields, tmp_path, module=net())
    stop_after(broken, 3)
    resumed = loop_of(fields, tmp_path, module=net())
    resumed.restore()
    resumed.run()
    assert_same(state(whole), state(resumed))


@pytest.mark.parametrize("change", ["optimizer = adamw(lr=5e-3)\n", "layer_decay = layer_decay(0.5)\n"])
def test_a_resumed_run_whose_groups_are_others_keeps_the_state_of_each_weight(tmp_path: Path, change: str) -> None:
    fields = "steps = 6\nbatch = 16\ngroup norm {\n lr = 5e-3\n}\n"
    before = loop_of(f"{fields}optimizer = adamw(lr=1e-2)\n", tmp_path)
    before.run()
    change += "" if "optimizer" in change else "optimizer = adamw(lr=1e-2)\n"
    layers = {n: int(n[0]) for n, _ in before.module.named_parameters()} if "layer" in change else None
    after = loop_of(fields + change, tmp_path, layers=layers)
    assert len(after.groups) != len(before.groups)
    assert after.restore()
    kept = files.optimizer_tensors(after.module, after.updater.optimizers)
    for key, tensor in files.optimizer_tensors(before.module, before.updater.optimizers).items():
        assert torch.equal(kept[key], tensor), key


def test_the_state_of_other_weights_is_refused(tmp_path: Path) -> None:
    loop = loop_of("steps = 2\noptimizer = adam(lr=1e-2)")
    loop.run()
    tensors = files.optimizer_tensors(loop.module, loop.updater.optimizers)
    by_place = {f"0.{place}.{key.rpartition('/')[2]}": t for place, (key, t) in enumerate(reversed(tensors.items()))}
    for wrong in ({"0.bias/exp_avg": torch.ones(3)}, {"7.weight/exp_avg": torch.ones(3)}, by_place):
        with pytest.raises(CheckpointError, match="of no parameter"):
            files.restore_optimizers(loop.module, loop.updater.optimizers, wrong, by_place=True)


@pytest.mark.parametrize(
    ("before", "more", "taken"),
    [
        ("optimizer = sgd(lr=0.1, momentum=0.9)\n", "", True),
        ("optimizer = muon(lr=0.1)\n", "", False),
        ("optimizer = sgd(lr=0.1, momentum=0.9)\n", "group norm {\n lr = 0.2\n}\n", False),
        ("optimizer = sgd(lr=0.1, momentum=0.9)\nlayer_decay = layer_decay(0.5)\n", "", False),
    ],
)
def test_state_by_place_is_of_one_group(before: str, more: str, taken: bool) -> None:
    """Checkpoints of 0.2: weights of equal sizes that stand in another order would take the state of each other."""
    layers = {n: 0 for n, _ in small_net().named_parameters()} if "layer_decay" in before else None
    loop = loop_of(f"steps = 2\n{before}{more}", layers=layers)
    loop.run()
    state = files.optimizer_tensors(loop.module, loop.updater.optimizers)
    place = {n: i for i, (n, _) in enumerate(loop.module.named_parameters())}
    former = {f"0.{place[k.rpartition('/')[0]]}.{k.rpartition('/')[2]}": t.clone() for k, t in state.items()}
    assert is_ordered(loop, recipe(before)) is taken
    if taken:
        files.restore_optimizers(loop.module, loop.updater.optimizers, former, by_place=True)
        assert_same(files.optimizer_tensors(loop.module, loop.updater.optimizers), state)
    else:
        with pytest.raises(CheckpointError, match="by place"):
            files.restore_optimizers(loop.module, loop.updater.optimizers, former)


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    files.save_tensors(path, {"w": torch.ones(3)}, {"step": 1})
    monkeypatch.setattr("os.replace", lambda a, b: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(files.CheckpointError, match=r"full; the file that was there is unharmed"):
        files.save_tensors(path, {"w": torch.zeros(3)}, {"step": 2})
    assert files.load_tensors(path)[1] == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_broken_checkpoint_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"\x80\x04not a checkpoint")
    with pytest.raises(files.CheckpointError, match="is damaged"):
        files.load_tensors(path)
    files.save_tensors(path, {"model/other": torch.ones(1)}, {"state": {}, "lr": 0.1, "scaler": {}})
    with pytest.raises(UserError, match="are not this net's"):
        loop_of("steps = 1", tmp_path).restore()


# Augmentation does not depend on how a batch is cut up.


def test_batches_are_the_same_however_they_are_shared() -> None:
    found = recipe(EVERYTHING)
    feed = BatchLoader(samples(), found, Targets(found, "classes", 3))
    for step in range(8):
        whole = feed.batch(step)
        count = feed.count(step)
        parts = [feed.batch(step, i, min(i + 3, count)) for i in range(0, count, 3)]
        assert torch.equal(whole.inputs[0], torch.cat([p.inputs[0] for p in parts]))
        assert torch.equal(whole.target, torch.cat([p.target for p in parts]))


def test_every_epoch_sees_every_sample_once_in_another_order() -> None:
    found = recipe("batch = 16")
    feed = BatchLoader(samples(), found, Targets(found, "classes", 3))
    assert feed.per_epoch == 4
    assert [feed.count(s) for s in range(4)] == [16, 16, 16, 2]
    orders = [feed.order(e).tolist() for e in range(3)]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert orders[0] != orders[1]
    dropped = recipe("batch = 16\ndrop_last = true")
    assert BatchLoader(samples(), dropped, Targets(dropped, "classes", 3)).per_epoch == 3


def test_repeated_augmentation_shows_copies_that_differ() -> None:
    """Each epoch has as many slots as samples; neighbours are copies of one sample, augmented on their own."""
    found = recipe("batch = 12\nrepeat = 3\naugment = gaussian_noise(0.1)")
    feed = BatchLoader(samples(48), found, Targets(found, "classes", 3))
    order = feed.order(0)
    assert len(order) == 48
    assert torch.equal(order[0::3], order[1::3])
    x = feed.batch(0).inputs[0]
    assert not torch.equal(x[0], x[1])


def test_copies_of_a_sample_are_mixed_with_other_samples() -> None:
    """A mixed target of two classes, although neighbours are copies; and the same however the batch is cut up."""
    found = recipe("batch = 12\nrepeat = 3\nmix = mixup(1.0)")
    feed = BatchLoader(samples(48), found, Targets(found, "classes", 48))
    feed.split = Split(feed.split.inputs, torch.arange(48))
    whole = feed.batch(0)
    assert (whole.target > 0).sum(1).tolist() == [2] * 12
    parts = [feed.batch(0, i, i + 4) for i in range(0, 12, 4)]
    assert torch.equal(whole.inputs[0], torch.cat([p.inputs[0] for p in parts]))
    assert torch.equal(whole.target, torch.cat([p.target for p in parts]))


# EMA and BatchNorm.


def test_average_is_its_formula_and_counters_are_copied() -> None:
    module = small_net()
    average = Average(module, Ema(0.9, buffers="average"), 0.9)
    expected = {n: t.clone() for n, t in module.state_dict().items()}
    for step in range(1, 6):
        with torch.no_grad():
            for p in module.parameters():
                p.add_(0.1 * step)
        module.train()
        module(torch.rand(4, 1, 8, 8))
        average.update(module, step)
        for n, t in module.state_dict().items():
            expected[n] = 0.9 * expected[n] + 0.1 * t if t.is_floating_point() else t.clone()
    for n, t in average.state.items():
        torch.testing.assert_close(t, expected[n])
    assert int(average.state["1.num_batches_tracked"]) == 5
    copied = Average(module, Ema(0.9), 0.9)
    module(torch.rand(4, 1, 8, 8))
    copied.update(module, 1)
    assert torch.equal(copied.state["1.running_mean"], module.state_dict()["1.running_mean"])


def test_average_warmup_restart_and_every() -> None:
    policy = Ema(0.999, every=2, warmup=True)
    average = Average(small_net(), policy, 0.999)
    assert [average.weight(s) for s in (2, 4, 20)] == [2 / 11, 3 / 12, 11 / 20]
    assert average.weight(10**6) == 0.999
    restart = Average(small_net(), Ema(0.9), 0.9, restart=5)
    assert [restart.weight(s) for s in (5, 6)] == [0.0, 0.9]


def test_torchvisions_scaled_decay() -> None:
    """ConvNeXt in torchvision: (1 - 0.99998) * 8 * 128 * 32 / 600 = 1.0923e-3, once every 32 steps."""
    policy = recipe("ema = ema(0.99998, every=32, scaled=true)").ema
    assert policy is not None
    assert 1 - effective_decay(policy, 1024, 600) == pytest.approx(1.0923e-3, rel=1e-3)


def test_evaluating_the_average_leaves_the_weights_alone(tmp_path: Path) -> None:
    loop = loop_of(EVERYTHING, tmp_path)
    for step in range(3):
        loop.update(step)
    before = state(loop)
    numbers = loop.evaluate()
    assert_same(before, state(loop))
    assert numbers["raw"]["loss"] != numbers["loss"]
    loop.save()
    tensors, _ = files.load_tensors(tmp_path / "checkpoint.safetensors")
    assert files.part("model", tensors).keys() == files.part("average", tensors).keys()


@pytest.mark.parametrize(("start", "total", "first"), [(0.55, 100, 55), (0.07, 100, 7), (0, 4, 0), (1, 8, 8)])
def test_swa_begins_at_the_step_it_says(start: float, total: int, first: int) -> None:
    found = Averages(small_net(), recipe(f"swa = swa({start})"), total, 1)
    assert found.start == first
    assert found.doubts(total) == []


def test_an_average_of_nothing_is_said() -> None:
    assert "none ends after its start" in Averages(small_net(), recipe("swa = swa(0)"), 3, 4).doubts(3)[0]
    assert "none ends after its start" in Averages(small_net(), recipe("swa = swa(0.9)"), 5, 4).doubts(5)[0]


def test_swa_is_the_plain_mean() -> None:
    module = small_net(norm=False)
    averages = Averages(module, recipe("steps = 8\nswa = swa(0.5)"), 8, 2)
    kept = []
    for step in range(1, 9):
        with torch.no_grad():
            module[0].weight.add_(1.0)
        averages.update(module, step)
        if step >= 4 and step % 2 == 0:
            kept.append(module[0].weight.detach().clone())
    found = averages.state()
    assert found is not None
    torch.testing.assert_close(found["0.weight"], torch.stack(kept).mean(0))


# Accumulation changes nothing: neither the gradient, nor the lr, nor the number of steps.


def gradient(fields: str, step: int = 0) -> list[Tensor]:
    loop = loop_of(fields, module=small_net(norm=False, dropout=0.0))
    loop.update(step)
    return [p.grad.clone() for p in loop.module.parameters()]


@pytest.mark.parametrize("micro", [1, 3, 4, 7])
@pytest.mark.parametrize("step", [0, 3])
def test_accumulation_gives_the_gradient_of_the_whole_batch(micro: int, step: int) -> None:
    """Also in the short last window (step 3 has 2 of 16 samples), with mixing, smoothing and augmentation on."""
    for extra in (
        "mix = mixup(0.8)\naugment = hflip\nloss = cross_entropy(label_smoothing=0.1)",
        "loss = cross_entropy(weight=[1, 5, 0.2])",
    ):
        whole = gradient(f"steps = 5\nbatch = 16\n{extra}", step)
        parts = gradient(f"steps = 5\nbatch = 16\nmicro_batch = {micro}\n{extra}", step)
        for a, b in zip(whole, parts, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("micro", [0, 1, 3])
@pytest.mark.parametrize("augment", ["", "augment = crop(padding=2) -> rotate(30, interpolation=nearest)\n"])
def test_masks_have_one_mean_over_all_valid_positions_of_an_update(micro: int, augment: str) -> None:
    """Also where an augmentation brings in unknown pixels, and where micro-batches hold other numbers of them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 1, 8, 8, generator=generator)
    masks = torch.randint(0, 3, (8, 8, 8), generator=generator)
    masks[torch.arange(8) < 5, 2:] = -1
    masks[3] = -1
    fields = f"steps = 1\nbatch = 7\nmicro_batch = {micro}\n{augment}loss = cross_entropy(weight=[1, 5, 0.2])"
    found = recipe(fields)
    feed = BatchLoader(Split((images,), masks), found, Targets(found, "mask", 3), mask=True)
    module = nn.Conv2d(1, 3, 3, padding=1)
    loop = loop_of(found, module=module, feed=feed, task="mask")
    batch = feed.batch(0)
    torchs = nn.CrossEntropyLoss(torch.tensor([1, 5, 0.2]), ignore_index=-1)(module(*batch.inputs), batch.target)
    expected = torch.autograd.grad(torchs, list(module.parameters()))
    said: list[Any] = []
    loop.watch = lambda what, numbers: said.append(numbers)
    loop.update(0)
    assert float(said[0]["loss"]) == pytest.approx(float(torchs.detach()))
    for p, wanted in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=2e-5, atol=1e-6)


def test_the_loop_equals_a_plain_torch_loop() -> None:
    """Ten steps of AdamW with a warm-up and a cosine, against the loop anybody would write."""
    loop = loop_of(
        "epochs = 3\nbatch = 16\noptimizer = adamw(lr=0.01)\nschedule = warmup(1 epochs) -> cosine",
        module=small_net(norm=False, dropout=0.0),
    )
    module = copy.deepcopy(loop.module)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    feed = loop.feed
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * step / 4 if step < 4 else 0.005 * (1 + math.cos(math.pi * (step - 4) / 8))
        picked = feed.order(step // 4)[step % 4 * 16 : step % 4 * 16 + 16]
        loss = nn.functional.cross_entropy(module(feed.split.inputs[0][picked]), feed.split.target[picked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    loop.run()
    for a, b in zip(loop.module.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_sum_reduction_sums() -> None:
    mean = gradient("steps = 5\nbatch = 16")
    total = gradient("steps = 5\nbatch = 16\nloss = cross_entropy(reduction=sum)")
    for a, b in zip(mean, total, strict=True):
        torch.testing.assert_close(a * 16, b, rtol=1e-4, atol=1e-6)


# Evaluation counts every sample once.


class OneOf(ProcessGroup):
    """One of several ranks whose sums are added up by the test."""

    def sum(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_shares_of_an_evaluation_cover_every_sample_once(world: int) -> None:
    split, module = samples(257), small_net().eval()
    found = recipe("")
    whole = Evaluator(found, ("output",), ("output",), "classes", 3, ProcessGroup())(module, split)
    parts = [
        Evaluator(found, ("output",), ("output",), "classes", 3, OneOf(r, world))(module, split) for r in range(world)
    ]
    assert sum(p["n"] for p in parts) == whole["n"] == 257
    assert sum(p["loss"] * p["n"] for p in parts) / 257 == pytest.approx(whole["loss"], rel=1e-6)
    assert sum(round(p["top1"] * p["n"]) for p in parts) == round(whole["top1"] * 257)


def test_shares_of_an_update_cover_it() -> None:
    for count in (1, 2, 5, 16, 17):
        for world in (1, 2, 3, 8):
            shares = [ProcessGroup(r, world).share(count) for r in range(world)]
            assert shares[0][0] == 0
            assert shares[-1][1] == count
            assert all(a[1] == b[0] for a, b in pairwise(shares))


# Compiling keeps the checkpoint's keys.


def test_compiling_a_module_keeps_its_keys() -> None:
    module = small_net()
    keys = list(module.state_dict())
    module.compile(backend="eager")
    assert list(module.state_dict()) == keys


# Early stopping, and the best weights always there.


def test_early_stopping_keeps_the_best(tmp_path: Path) -> None:
    fields = "epochs = 50\nbatch = 16\noptimizer = sgd(lr=1e-9)\nschedule = constant\nvalidation = 0.2\n"
    fields += "stop = early_stopping(3, least=0.1)"
    loop = loop_of(fields, tmp_path)
    loop.run()
    assert loop.state.stopped
    assert loop.state.step == 4 * loop.per_epoch
    first, second = how_it_ended(loop)
    assert first.startswith(
        f"stopped early at step {loop.state.step} of {loop.total:,}: loss has not improved for 3 ev"
    )
    assert second == f"the weights are those of step {loop.per_epoch}, the best evaluation"
    assert files.load_tensors(tmp_path / "best.safetensors")[1] == {"step": loop.per_epoch}
    again = loop_of(fields, tmp_path)
    again.restore()
    assert again.state.stopped
    assert again.run().step == loop.state.step


def test_the_best_weights_are_there_without_a_stop(tmp_path: Path) -> None:
    loop = loop_of("epochs = 2\nbatch = 16", tmp_path)
    loop.run()
    assert files.load_tensors(tmp_path / "best.safetensors")[1]["step"] == loop.state.best_step


# Ragged batches.


def test_a_last_batch_of_one_mixes_and_trains() -> None:
    loop = loop_of("epochs = 1\nbatch = 16\nmix = mixup(0.4) | cutmix", module=small_net(norm=False), split=samples(33))
    assert loop.feed.count(2) == 1
    loop.run()


# Two identical runs.


def test_two_runs_with_one_seed_are_identical_and_another_seed_differs() -> None:
    runs = [loop_of(EVERYTHING + f"seed = {seed}") for seed in (3, 3, 4)]
    for run in runs:
        run.run()
    assert_same(state(runs[0]), state(runs[1]))
    assert not torch.equal(state(runs[0])["0.weight"], state(runs[2])["0.weight"])


# NaN, and the layer where it begins.


class Poison(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 0.0 - x / 0.0


def test_a_loss_that_is_not_finite_stops_with_a_diagnosis(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Poison(), nn.Linear(8, 3))
    loop = loop_of("steps = 5\nbatch = 16", tmp_path, module=module)
    with pytest.raises(Diverged, match=r"step 1 .*layer `2` is the first"):
        loop.run()
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_an_exploding_run_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    loop = loop_of(
        "steps = 60\nbatch = 16\noptimizer = sgd(lr=1e30)\nschedule = constant\nloss = mse\ncheckpoint = 1 steps",
        tmp_path,
        module=module,
    )
    with pytest.raises(Diverged, match="not finite"):
        loop.run()
    tensors, about = files.load_tensors(tmp_path / "checkpoint.safetensors")
    assert (
        all(bool(torch.isfinite(t).all()) for t in files.part("model", tensors).values()) or about["state"]["step"] <= 2
    )


# Regularisers.


def test_clipping_equals_torch() -> None:
    base = gradient("steps = 5\nbatch = 16")
    norm = torch.stack([g.norm() for g in base]).norm()
    for a, b in zip(base, gradient("steps = 5\nbatch = 16\nclip = 0.01"), strict=True):
        torch.testing.assert_close(a * 0.01 / norm, b, rtol=1e-4, atol=1e-8)
    for a, b in zip(base, gradient("steps = 5\nbatch = 16\nclip = value(1e-3)"), strict=True):
        torch.testing.assert_close(a.clamp(-1e-3, 1e-3), b, rtol=1e-4, atol=1e-8)


def test_adaptive_clipping_takes_tensors_of_any_rank() -> None:
    """A weight that is one number, such as a learned scale `param(())`, has no unit of its own either."""
    shapes = ((), (3,), (2, 3), (2, 3, 1, 1))
    weights = [nn.Parameter(torch.full(shape, 2.0)) for shape in shapes]
    for w in weights:
        w.grad = torch.full_like(w, 5.0)
    clip(ClipAdaptive(0.1), weights)
    for w in weights:
        torch.testing.assert_close(w.grad, torch.full_like(w, 0.2))


def test_adaptive_clipping_is_equation_3() -> None:
    limit = 1e-3
    base = gradient("steps = 5\nbatch = 16")
    weights = list(small_net(norm=False, dropout=0.0).parameters())
    for w, g, got in zip(weights, base, gradient(f"steps = 5\nbatch = 16\nclip = adaptive({limit})"), strict=True):
        rows = [(w.detach()[i], g[i]) for i in range(len(w))] if w.ndim > 1 else [(w.detach(), g)]
        expected = []
        for weight, grad in rows:
            most = limit * max(float(weight.norm()), 1e-3)
            expected.append(grad * most / grad.norm() if grad.norm() > most else grad)
        torch.testing.assert_close(got, torch.stack(expected) if w.ndim > 1 else expected[0], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("l1(0.1)", lambda w: 0.1 * w.abs().sum()),
        ("l2(0.1)", lambda w: 0.05 * w.square().sum()),
        ("group_lasso(0.1)", lambda w: 0.1 * sum(r.norm() * r.numel() ** 0.5 for r in w)),
    ],
)
def test_penalties_add_their_gradient_to_weights_only(text: str, value: Any) -> None:
    base, got = gradient("steps = 5\nbatch = 16"), gradient(f"steps = 5\nbatch = 16\npenalty = {text}")
    weights = list(small_net(norm=False, dropout=0.0).parameters())
    for w, a, b in zip(weights, base, got, strict=True):
        expected = torch.autograd.grad(value(w), w)[0] if w.ndim > 1 else torch.zeros_like(w)
        torch.testing.assert_close(b - a, expected, rtol=1e-4, atol=1e-6)


def test_rates_over_depth_and_time() -> None:
    """Huang et al. 2016: the rate of link l of L; Liu et al. 2023: early and late dropout."""
    links = recipe("drop_path = linear(0, 0.1)").drop_path
    assert depth_rates(links, 18) == pytest.approx([0.1 * i / 17 for i in range(18)])
    blocks = recipe("drop_path = drop_path(linear(0, 0.1), links=2)").drop_path  # a transformer's two links
    assert depth_rates(blocks, 24) == pytest.approx([0.1 * (i // 2) / 11 for i in range(24)])
    written = recipe("drop_path = rates([0.2 * i / 16 for i in [2, 4, 6]])").drop_path
    assert depth_rates(written, 3) == pytest.approx([0.025, 0.05, 0.075])
    with pytest.raises(Fault, match="3 values, the net has 4"):
        depth_rates(written, 4)
    early = recipe("dropout = early(0.1, 50 steps)").dropout
    assert [time_rate(early, s, 300, 10) for s in (0, 25, 50, 100)] == pytest.approx([0.1, 0.05, 0, 0])
    late = recipe("dropout = late(0.1, 5 epochs)").dropout
    assert [time_rate(late, s, 300, 10) for s in (0, 49, 50, 299)] == [0, 0, 0.1, 0.1]


def test_frozen_parameters_and_their_statistics_stay() -> None:
    loop = loop_of("steps = 4\nbatch = 16\noptimizer = adamw(lr=0.1, weight_decay=0.5)\nfreeze norm, conv")
    before = state(loop)
    loop.run()
    after = state(loop)
    same = {n for n in before if torch.equal(before[n], after[n])}
    assert same == {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
