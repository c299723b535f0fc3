"""Losses, targets, mixing, metrics: against torch, scikit-learn and the papers' formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recipe_harness import recipe
from sklearn import metrics as sk
from torch import Tensor, nn
from torch.nn import functional

from netdsl.recipe.augmentations import Cutmix, Mixup
from netdsl.training.data.mix import Mix, Mixer
from netdsl.training.data.targets import Targets, smooth
from netdsl.training.losses.criterion import Criterion
from netdsl.training.losses.losses import loss_of
from netdsl.training.metrics import Metrics
from netdsl.training.rng import beta

torch.manual_seed(0)
LOGITS = torch.randn(6, 5)
LABELS = torch.tensor([0, 3, 2, 4, 1, 1])
SOFT = torch.softmax(torch.randn(6, 5), 1)


def loss(text: str, output: Tensor, target: Tensor) -> Tensor:
    """The mean over the samples, as the trainer divides."""
    return loss_of(recipe(f"loss = {text}").loss)(output, target).mean()


@pytest.mark.parametrize(
    ("text", "target", "torch_loss"),
    [
        ("cross_entropy", LABELS, nn.CrossEntropyLoss()),
        ("cross_entropy", SOFT, nn.CrossEntropyLoss()),
        ("bce", SOFT, nn.BCEWithLogitsLoss()),
        ("mse", SOFT, nn.MSELoss()),
        ("l1", SOFT, nn.L1Loss()),
        ("huber(0.3)", SOFT, nn.HuberLoss(delta=0.3)),
    ],
)
def test_losses_equal_torch(text: str, target: Tensor, torch_loss: Any) -> None:
    torch.testing.assert_close(loss(text, LOGITS, target), torch_loss(LOGITS, target))


def test_class_weights_divide_as_torch_does() -> None:
    word = recipe("loss = cross_entropy(weight=[1, 2, 0.5, 1, 3])").loss
    expected = nn.CrossEntropyLoss(torch.tensor([1, 2, 0.5, 1, 3]))(LOGITS, LABELS)
    torch.testing.assert_close(loss_of(word)(LOGITS, LABELS).mean(), expected)


WEIGHTS = [3, 1, 1, 0.5, 2]


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHTS])
@pytest.mark.parametrize("shape", [(6,), (6, 7), (4, 5, 3)])
def test_cross_entropy_is_torchs(smoothing: float, weight: list[float] | None, shape: tuple[int, ...]) -> None:
    """Labels, sequences and masks, with class weights, label smoothing and ignored positions: one mean over all that
    counts, also where one sample is ignored as a whole."""
    generator = torch.Generator().manual_seed(3)
    target = torch.randint(0, 5, shape, generator=generator)
    logits = torch.randn(len(target), 5, *shape[1:], generator=generator)
    if len(shape) > 1:
        target[torch.rand(shape, generator=generator) < 0.3] = -1
        target[2] = -1
    text = f"loss = cross_entropy(label_smoothing={smoothing}" + (f", weight={weight})" if weight else ")")
    ours = logits.movedim(1, -1) if len(shape) == 2 else logits
    found = recipe(text)
    hard = Targets(found, "classes" if len(shape) == 1 else "mask", 5)(target)
    torchs = nn.CrossEntropyLoss(weight and torch.tensor(weight), ignore_index=-1, label_smoothing=smoothing)
    torch.testing.assert_close(loss_of(found.loss)(ours, hard).mean(), torchs(logits, target))
    summed = nn.CrossEntropyLoss(
        weight and torch.tensor(weight), ignore_index=-1, label_smoothing=smoothing, reduction="sum"
    )
    torch.testing.assert_close(loss_of(found.loss)(ours, hard).loss.sum(), summed(logits, target))


def test_class_weights_on_mixed_targets_are_torchs_on_probabilities() -> None:
    torchs = nn.CrossEntropyLoss(torch.tensor(WEIGHTS))
    torch.testing.assert_close(loss(f"cross_entropy(weight={WEIGHTS})", LOGITS, SOFT), torchs(LOGITS, SOFT))


def test_a_batch_without_a_valid_position_has_no_loss() -> None:
    logits = torch.randn(2, 5, 3, 3, requires_grad=True)
    found = loss("cross_entropy", logits, torch.full((2, 3, 3), -1))
    found.backward()  # type: ignore[no-untyped-call]
    assert float(found.detach()) == 0
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) == 0


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("focal", -torch.ones(2, 3, 3, dtype=torch.int64)),
        ("dice_ce\ndata = clutter", -torch.ones(2, 3, 3, dtype=torch.int64)),
        ("cross_entropy(weight=[0, 1, 1, 1, 1], label_smoothing=0.1)", torch.zeros(2, 3, 3, dtype=torch.int64)),
        ("cross_entropy(weight=[0, 1, 1, 1, 1])", torch.zeros(2, dtype=torch.int64)),
        ("focal(weight=[0, 1, 1, 1, 1])", torch.zeros(2, dtype=torch.int64)),
    ],
)
def test_a_batch_in_which_nothing_counts_moves_nothing(text: str, target: Tensor) -> None:
    """torch divides 0 by 0: positions without a class, classes of weight 0."""
    logits = torch.randn(2, 5, *target.shape[1:], requires_grad=True)
    found = loss(text, logits, target)
    found.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(found)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    if not text.startswith("dice"):  # its other term is about overlaps, which are of every image
        assert float(found.detach()) == 0
        assert float(logits.grad.abs().max()) == 0


def test_smoothing_has_one_owner() -> None:
    """Smoothed targets, where they are to be mixed, give torch's label_smoothing; the loss never smooths again."""
    found = recipe("loss = cross_entropy(label_smoothing=0.1)\nmix = mixup")
    target = Targets(found, "classes", 5)(LABELS)
    torch.testing.assert_close(target.sum(1), torch.ones(6))
    got = loss_of(found.loss)(LOGITS, target).mean()
    torch.testing.assert_close(got, nn.CrossEntropyLoss(label_smoothing=0.1)(LOGITS, LABELS))


def test_smoothing_and_mixing_commute_and_equal_the_two_term_form() -> None:
    hot = functional.one_hot(LABELS, 5).float()
    share = 0.3
    mixed = share * smooth(hot, 0.1) + (1 - share) * smooth(hot.roll(-1, 0), 0.1)
    other = smooth(share * hot + (1 - share) * hot.roll(-1, 0), 0.1)
    torch.testing.assert_close(mixed, other)
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    two_terms = share * smoothed(LOGITS, LABELS) + (1 - share) * smoothed(LOGITS, LABELS.roll(-1, 0))
    torch.testing.assert_close(nn.CrossEntropyLoss()(LOGITS, mixed), two_terms)


def test_bce_thresholds_mixed_targets() -> None:
    """timm's bce_target_thresh: targets above it become 1."""
    got = loss("bce(threshold=0.2, sum_classes=true)", LOGITS, SOFT)
    hard = (SOFT > 0.2).float()
    expected = functional.binary_cross_entropy_with_logits(LOGITS, hard, reduction="none").sum(1)
    torch.testing.assert_close(got, expected.mean())


def test_dice_by_its_formula() -> None:
    logits, mask = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    mask[0, :2, 1:] = -1
    got = loss("dice_ce(dice=2, ce=0.5, smooth=1)\ndata = clutter", logits, mask)
    chance = logits.softmax(1) * (mask >= 0)[:, None]
    dice = []
    for i in range(2):
        terms = []
        for c in range(3):
            truth = (mask[i] == c).float()
            terms.append((2 * (chance[i, c] * truth).sum() + 1) / (chance[i, c].sum() + truth.sum() + 1))
        dice.append(1 - sum(terms) / 3)
    expected = 2 * sum(dice) / 2 + 0.5 * nn.CrossEntropyLoss(ignore_index=-1)(logits, mask)
    torch.testing.assert_close(got, expected)


def test_dice_of_an_image_without_truth_is_nothing() -> None:
    output = torch.randn(2, 3, 4, 4, requires_grad=True)
    mask = torch.stack([torch.full((4, 4), -1), torch.arange(16).view(4, 4) % 3])
    terms = loss_of(recipe("loss = dice_ce(smooth=0)\ndata = clutter").loss)
    terms(output, mask).mean().backward()
    assert torch.equal(terms(output, mask).loss[:, 0], torch.zeros(2))
    assert torch.equal(output.grad[0], torch.zeros(3, 4, 4))
    torch.testing.assert_close(terms(output, mask).loss[:, 1], terms(output[1:], mask[1:]).loss[:, 0])


def test_several_outputs_with_weights() -> None:
    found = recipe("outputs = weights(aux1=0.3)")
    criterion = Criterion(found, ("aux1", "aux2", "logits"), ("logits",))
    outputs = [torch.randn(6, 5) for _ in range(3)]
    entropy = functional.cross_entropy
    expected = entropy(outputs[2], LABELS) + 0.3 * entropy(outputs[0], LABELS)
    torch.testing.assert_close(criterion(tuple(outputs), LABELS).mean(), expected)
    torch.testing.assert_close(criterion(outputs[2], LABELS).mean(), entropy(outputs[2], LABELS))
    assert criterion.main(tuple(outputs)) is outputs[2]


def apply(word: Any, x: Tensor, target: Tensor, base: int = 5) -> tuple[Tensor, Tensor]:
    places = torch.arange(len(x))
    again = torch.cat([x, x[:1]]), torch.cat([target, target[:1]])
    (mixed,), out = Mix(word, base).apply((again[0],), again[1], places)
    return mixed, out


def test_mixup_is_its_formula() -> None:
    x, hot = torch.rand(6, 3, 8, 8), functional.one_hot(LABELS, 5).float()
    share = float(beta(5, 0.8)[0])
    mixed, target = apply(Mixup(alpha=0.8), x, hot)
    torch.testing.assert_close(mixed, share * x + (1 - share) * x.roll(-1, 0))
    torch.testing.assert_close(target, share * hot + (1 - share) * hot.roll(-1, 0))


@pytest.mark.parametrize("per", ["batch", "sample"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_cutmix_targets_follow_the_area_for_any_batch(per: str, count: int) -> None:
    """Every pixel comes from one of the two; targets are weighted by the area that is really left."""
    x = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 3, 12, 12)
    hot = torch.eye(count)
    mixed, target = apply(Cutmix(per=per), x, hot)  # type: ignore[arg-type]
    for i in range(count):
        own = (mixed[i, 0] == i).float().mean()
        assert bool(((mixed[i] == i) | (mixed[i] == (i + 1) % count)).all())
        torch.testing.assert_close(target[i, i], own if count > 1 else torch.tensor(1.0))
        assert float(target[i].sum()) == pytest.approx(1)


def test_one_share_per_batch_or_per_sample() -> None:
    shares = Mix(Mixup(alpha=1.0, per="sample"), 5).share(torch.arange(6))
    assert len(set(shares.tolist())) == 6
    assert len(set(Mix(Mixup(alpha=1.0), 5).share(torch.arange(6)).tolist())) == 1


def test_one_of_the_mixings_per_batch_with_its_probability() -> None:
    mixer = Mixer((Mixup(p=0.5), Cutmix()), 0)
    drawn = [mixer.draw(step) for step in range(2000)]
    counts = [sum(isinstance(d.component, kind) for d in drawn if d) for kind in (Mixup, Cutmix)]
    assert abs(counts[0] - 500) < 80
    assert abs(counts[1] - 1000) < 80


def test_metrics_equal_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, truth = torch.randn(257, 7, generator=generator), torch.randint(0, 7, (257,), generator=generator)
    metrics = Metrics("classes", 7, ("top5", "per_class", "confusion", "mean_iou"))
    for part in torch.arange(257).split(100):
        metrics.add(logits[part], truth[part], torch.ones(len(part)))
    got, guess = metrics.results(), logits.argmax(1)
    assert got["n"] == 257
    assert got["top1"] == pytest.approx(sk.accuracy_score(truth, guess))
    assert got["top5"] == pytest.approx(sk.top_k_accuracy_score(truth, logits, k=5))
    assert got["confusion"] == sk.confusion_matrix(truth, guess).tolist()
    assert got["per_class"] == pytest.approx(sk.recall_score(truth, guess, average=None).tolist())
    assert got["mean_iou"] == pytest.approx(sk.jaccard_score(truth, guess, average="macro"))


def test_metrics_of_numbers_and_tokens() -> None:
    metrics = Metrics("numbers", 1)
    output, truth = torch.randn(9, 1), torch.randn(9, 1)
    for part in torch.arange(9).split(4):
        metrics.add(output[part], truth[part], (output[part] - truth[part]).square()[:, 0])
    assert metrics.results()["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, output), rel=1e-6)
    metrics = Metrics("tokens", 5)
    logits, tokens = torch.randn(3, 4, 5), torch.randint(0, 5, (3, 4))
    metrics.add(logits, tokens, loss("cross_entropy", logits, tokens))
    expected = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).exp()
    assert metrics.results()["perplexity"] == pytest.approx(float(expected), rel=1e-5)


def test_masks_lose_the_border_that_unpadded_convolutions_cost() -> None:
    """U-Net's tiles (Ronneberger et al. 2015): a prediction of 4 x 6 stands for the middle of a mask of 8 x 8."""
    found = recipe("data = clutter\nloss = cross_entropy")
    logits, mask = torch.randn(3, 2, 4, 6), torch.randint(0, 2, (3, 8, 8))
    got = Criterion(found, ("output",))(logits, mask).mean()
    torch.testing.assert_close(got, functional.cross_entropy(logits, mask[:, 2:6, 1:7]))
