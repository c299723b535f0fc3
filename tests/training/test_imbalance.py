"""Classes that are not equally frequent: weights from the data, balanced epochs, losses that look at what is hard."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import kornia
import numpy as np
import pytest
import torch
from recipe_harness import recipe, resolved
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from training_harness import loop_of, samples, small_net, stop_after

from netdsl.cli.main import main
from netdsl.training.data.balance import Balance, balanced_epoch
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.imbalance import balanced
from netdsl.training.data.targets import Targets
from netdsl.training.losses.losses import loss_of

torch.manual_seed(0)
LOGITS, LABELS = torch.randn(40, 5) * 2, torch.multinomial(torch.tensor([0.5, 0.2, 0.2, 0.1, 0.0]), 40, True)


def loss(text: str, output: Tensor, target: Tensor) -> Tensor:
    return loss_of(recipe(f"loss = {text}").loss)(output, target).mean()


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("weight", ["", ", weight=[3, 1, 1, 0.5, 2]"])
@pytest.mark.parametrize("shape", [(6,), (6, 7), (4, 5, 3)])
def test_focal_without_gamma_is_cross_entropy(smoothing: float, weight: str, shape: tuple[int, ...]) -> None:
    target = torch.randint(-1 if len(shape) > 1 else 0, 5, shape)
    logits = torch.randn(*shape, 5).movedim(-1, 1 if len(shape) != 2 else -1)
    arguments = f"label_smoothing={smoothing}{weight}"
    expected = loss(f"cross_entropy({arguments})", logits, target)
    torch.testing.assert_close(loss(f"focal(gamma=0, {arguments})", logits, target), expected)
    if len(shape) == 1:
        soft = torch.softmax(torch.randn(6, 5), 1)
        expected = loss(f"cross_entropy({arguments})", logits, soft)
        torch.testing.assert_close(loss(f"focal(gamma=0, {arguments})", logits, soft), expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_is_kornias(gamma: float) -> None:
    expected = kornia.losses.focal_loss(LOGITS, LABELS, alpha=None, gamma=gamma, reduction="mean")
    torch.testing.assert_close(loss(f"focal(gamma={gamma})", LOGITS, LABELS), 5 * expected)  # its mean counts classes
    target = (torch.rand(40, 5) < 0.3).float()
    each = kornia.losses.binary_focal_loss_with_logits(LOGITS, target, alpha=None, gamma=gamma, reduction="none")
    torch.testing.assert_close(loss(f"bce(gamma={gamma})", LOGITS, target), each.mean())
    alpha = kornia.losses.binary_focal_loss_with_logits(LOGITS, target, alpha=0.25, gamma=gamma, reduction="none")
    ours = loss(f"bce(gamma={gamma}, pos_weight=[{', '.join(['0.25 / 0.75'] * 5)}])", LOGITS, target)
    torch.testing.assert_close(0.75 * ours, alpha.mean())


@pytest.mark.parametrize("gamma", [0, 0.5, 2])
def test_focal_has_a_gradient_where_a_net_is_sure(gamma: float) -> None:
    sure = (torch.eye(5) * 1e4).requires_grad_()
    (loss(f"focal(gamma={gamma})", sure, torch.arange(5)) + loss(f"bce(gamma={gamma})", sure, torch.eye(5))).backward()
    assert sure.grad is not None
    assert bool(torch.isfinite(sure.grad).all())


def test_pos_weight_is_torchs() -> None:
    target, weight = (torch.rand(40, 5) < 0.3).float(), [1.0, 2.0, 0.5, 3.0, 9.0]
    expected = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))(LOGITS, target)
    torch.testing.assert_close(loss(f"bce(pos_weight={weight})", LOGITS, target), expected)


def data_of(target: Tensor, task: str, classes: int) -> DataSet:
    split = Split((torch.zeros(len(target), 1),), target)
    return DataSet("made", split, split, task, tuple(map(str, range(classes))))


def test_balanced_weights_are_scikit_learns() -> None:
    found = balanced(recipe("loss = cross_entropy(weight=balanced)"), (d := data_of(LABELS, "classes", 5)).train, d)
    there = sorted(set(LABELS.tolist()))
    expected = dict(
        zip(there, compute_class_weight("balanced", classes=np.array(there), y=LABELS.numpy()), strict=True)
    )
    assert found.loss.class_weights == pytest.approx([expected.get(c, 0) for c in range(5)], rel=1e-5)


def test_balanced_weights_of_masks_count_places() -> None:
    mask = torch.randint(-1, 3, (6, 4, 4), dtype=torch.int8)
    found = balanced(recipe("loss = focal(weight=balanced)"), (d := data_of(mask, "mask", 3)).train, d)
    counts = torch.tensor([(mask == c).sum() for c in range(3)])
    torch.testing.assert_close(torch.tensor(found.loss.class_weights), counts.sum() / (3 * counts), rtol=1e-5, atol=0)


def test_balanced_weights_of_yes_are_noes_per_yes() -> None:
    target = torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1.0]])
    text = recipe("loss = bce(pos_weight=balanced)")
    assert balanced(text, (d := data_of(target, "labels", 0)).train, d).loss.class_weights == (3, 3, 3, 1)
    found = balanced(text, (d := data_of(LABELS, "classes", 5)).train, d)
    counts = torch.bincount(LABELS, minlength=5)
    expected = [(40 - n) / n if n else 1 for n in counts.tolist()]
    assert found.loss.class_weights == pytest.approx(expected, rel=1e-5)


# Balanced epochs.

RARE = torch.tensor([0] * 83 + [1] * 7 + [2] * 31)


@pytest.mark.parametrize("count", [121, 122, 123])
def test_an_epoch_has_all_classes_equally_often(count: int) -> None:
    balance = Balance.of(RARE, 1.0)
    epochs = [balanced_epoch(balance, key, count) for key in range(30)]
    shown = Counter[int]()
    for epoch in epochs:
        counts = torch.bincount(RARE[epoch.samples], minlength=3)
        assert int(counts.max() - counts.min()) <= 1
        assert len(epoch.samples) == count
        of_each = torch.bincount(epoch.samples, minlength=121)
        for c in range(3):
            assert int(of_each[c == RARE].max() - of_each[c == RARE].min()) <= 1
        pairs = set(zip(epoch.samples.tolist(), epoch.copies.tolist(), strict=True))
        assert len(pairs) == count  # every copy of a sample has a number of its own
        shown.update(epoch.samples.tolist())
    assert len(shown) == 121  # over the epochs, every sample is shown


def test_power_lies_between_the_data_and_balance() -> None:
    assert Balance.of(RARE, 0.0).quotas(0, 121) == [83, 7, 31]
    roots = torch.tensor([83.0, 7, 31]).sqrt()
    expected = roots / roots.sum() * 121
    found = torch.tensor(Balance.of(RARE, 0.5).quotas(0, 121))
    assert float((found - expected).abs().max()) < 1


def test_copies_are_augmented_each_in_its_own_way() -> None:
    found = recipe("data = digits\nsampling = balanced\nbatch = 30\naugment = rotate(30)")
    split = samples(30)
    labels = torch.tensor([0] * 28 + [1, 2])
    feed = BatchLoader(Split(split.inputs, labels), found, Targets(found, "classes", 3))
    batch, order = feed.batch(0), feed.order(0)
    same = batch.inputs[0][order == 29]
    assert len(same) == 10
    assert all(not torch.equal(a, b) for i, a in enumerate(same) for b in same[:i])
    parts = [feed.batch(0, a, b).inputs[0] for a, b in ((0, 7), (7, 30))]
    assert torch.equal(torch.cat(parts), batch.inputs[0])  # whatever is computed at once


def test_a_balanced_run_that_is_resumed_has_the_same_bits(tmp_path: Path) -> None:
    text = "epochs = 3\nbatch = 16\nsampling = balanced\naugment = crop(padding=1)\ncheckpoint = 3 steps"
    labels = torch.tensor([0] * 40 + [1] * 8 + [2] * 2)
    split = Split(samples(50).inputs, labels)
    whole = loop_of(text, tmp_path / "whole", split=split)
    whole.run()
    half = loop_of(text, tmp_path / "half", small_net(), split=split)
    stop_after(half, 6)
    again = loop_of(text, tmp_path / "half", small_net(), split=split)
    assert again.restore()
    again.run()
    ours, theirs = whole.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# What is said before anything is read.


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("data = clutter\nsampling = balanced", "not-supported"),
        ('data = text("a.txt")\nsampling = balanced', "not-supported"),
        ('data = shards("a.tar", test="b.tar")\nsampling = balanced', "not-supported"),
        ("sampling = balanced\nrepeat = 2\naugment = crop(padding=1)", "conflicting-fields"),
        ("sampling = balanced\nloss = cross_entropy(weight=balanced)", "balanced-twice"),
        ("loss = cross_entropy(weight=even)", "unknown-word"),
        ("loss = focal(gamma=-1)", "bad-value"),
        ("sampling = balanced(2)", "bad-value"),
    ],
)
def test_recipes_that_mean_nothing(fields: str, code: str) -> None:
    _, found = resolved("recipe Test {\n" + fields + "\n}")
    assert code in [d.code for d in found]


def run(folder: Path, net: str, *settings: str) -> tuple[int, dict[str, Any]]:
    given = [part for s in settings for part in ("--set", s)]
    code = main(["train", net, *given, "--no-onnx", "-q", "-o", str(folder)])
    read = (folder / "run.json").read_text() if (folder / "run.json").exists() else "{}"
    return code, json.loads(read).get("result", {})


SPEC = """
net Small { input x [2]\n linear(16) -> relu -> linear(3) }
"""


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Three clouds of points, of which two are rare and lie close to the first."""
    rng = np.random.default_rng(0)
    centres, counts = np.array([[0, 0], [1.5, 0], [0, 1.5]]), (400, 20, 20)
    x = np.concatenate([c + 0.6 * rng.normal(size=(n, 2)) for c, n in zip(centres, counts, strict=True)])
    y = np.repeat(np.arange(3), counts)
    np.savez(tmp_path / "uneven.npz", x=x.astype(np.float32), y=y)
    (tmp_path / "small.net").write_text(SPEC)
    return tmp_path


def test_rare_classes_are_found(uneven: Path) -> None:
    """Weights and sampling both raise the recall of what is rare; the run records the weights in numbers."""
    common = [f'data=npz("{uneven}/uneven.npz")', "epochs=15", "optimizer.lr=0.02", "metrics=[balanced_accuracy]"]
    found = {}
    for name, more in (
        ("plain", ()),
        ("weight", ("loss=cross_entropy(weight=balanced)",)),
        ("sampling", ("sampling=balanced",)),
    ):
        code, result = run(uneven / name, str(uneven / "small.net"), *common, *more)
        assert code == 0
        found[name] = result["balanced_accuracy"]
    assert found["weight"] > found["plain"] + 0.1
    assert found["sampling"] > found["plain"] + 0.1
    written = json.loads((uneven / "weight" / "recipe.json").read_text())["loss"]["weight"]
    assert len(written) == 3
    assert written[1] > 5 * written[0]
    assert main(["train", "--resume", str(uneven / "weight"), "-q", "--no-onnx"]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("loss=cross_entropy(weight=[1, 2])",), "2 values"),
        (("loss=mse", "sampling=balanced"), "chooses samples by their class"),
        (("loss=bce", "metrics=[r2]"), "r2"),
    ],
)
def test_what_only_the_data_tell(
    uneven: Path, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], message: str
) -> None:
    data = np.load(uneven / "uneven.npz")
    np.savez(uneven / "numbers.npz", x=data["x"], y=data["x"][:, :1].repeat(3, 1))
    name = "numbers" if "loss=mse" in settings else "uneven"
    code, _ = run(uneven / "run", str(uneven / "small.net"), f'data=npz("{uneven}/{name}.npz")', *settings)
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert message in said, said
    assert "Traceback" not in said
