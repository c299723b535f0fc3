"""The mistakes that a report shows, found chunk by chunk, against all outputs at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn
from torch.nn import functional

from netdsl.training.report.mistakes import confusions, masks, predictions


def chunked(x: Tensor, target: Tensor, size: int) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    for a, b in zip(x.split(size), target.split(size), strict=True):
        yield (a,), b


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_confusions_are_those_of_all_outputs_at_once(size: int) -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(200, 5), torch.arange(200) % 5
    found = confusions(nn.Identity(), chunked(logits, truth, size), 5, 16)
    guess = logits.argmax(1)
    expected = [[int(((truth == i) & (guess == j)).sum()) for j in range(5)] for i in range(5)]
    assert found.matrix(5) == expected
    assert [found.samples[i] for i in range(5)] == [40] * 5
    loss = functional.cross_entropy(logits, truth, reduction="none")
    wrong = (guess != truth).nonzero()[:, 0]
    order = wrong[loss[wrong].argsort(descending=True)][:16]
    assert [m.index for m in found.worst] == order.tolist()
    chances = logits.softmax(1)
    for m in found.worst:
        assert (m.truth, m.guess) == (int(truth[m.index]), int(guess[m.index]))
        assert m.of_truth == pytest.approx(float(chances[m.index, m.truth]))
        assert m.of_guess == pytest.approx(float(chances[m.index, m.guess]))
    pairs = sorted((-expected[i][j], i, j) for i in range(5) for j in range(5) if i != j and expected[i][j])
    assert found.most_frequent(3) == [(i, j, -n) for n, i, j in pairs[:3]]


def test_what_is_kept_grows_with_the_samples_and_not_with_the_classes() -> None:
    """10,000 classes: no outputs, and no table of all pairs of classes, are kept."""
    truth = torch.arange(2_000) * 5

    def forward(x: Tensor) -> Tensor:
        return functional.one_hot((x + x % 2) % 10_000, 10_000).float()

    found = confusions(forward, chunked(truth, truth, 100), 10_000, 16)
    assert len(found.pairs) == 2_000
    assert len(found.worst) == 16
    assert found.most_frequent(1) == [(5, 6, 1)]


def test_the_worst_masks_are_those_with_the_fewest_right_positions() -> None:
    torch.manual_seed(0)
    output, truth = torch.randn(9, 3, 4, 4), torch.randint(-1, 3, (9, 4, 4))
    found = masks(nn.Identity(), chunked(output, truth, 2), 3, 4)
    guess = output.argmax(1)
    right = ((guess == truth) | (truth < 0)).flatten(1).double().mean(1)
    assert [share for _, share in found.worst] == sorted(right.tolist())[:4]
    assert all(share == float(right[i]) for i, share in found.worst)
    expected = confusion_matrix(truth[truth >= 0], guess[truth >= 0])
    assert found.right.tolist() == expected.diagonal().tolist()
    assert found.truth.tolist() == expected.sum(1).tolist()
    assert found.guess.tolist() == expected.sum(0).tolist()


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_predictions_are_spread_over_the_split(size: int) -> None:
    output, truth = torch.randn(200, 2, 4), torch.randn(200, 8)
    rows = torch.arange(60) * 200 // 60
    found = predictions(((x, y) for (x,), y in chunked(output, truth, size)), rows, 8, 6)
    assert torch.equal(found[0], output.flatten(1)[rows, :6])
    assert torch.equal(found[1], truth[rows, :6])
    whole = predictions(((x, y) for (x,), y in chunked(output, truth.long(), size)), rows, 8, 6)
    assert torch.equal(whole[0], found[0]), "fractions of guesses stay where the truth has none"


def tensors() -> int:
    return sum(type(thing) is Tensor for thing in gc.get_objects())


@pytest.mark.parametrize("task", ["classes", "masks", "numbers"])
def test_no_tensor_is_kept_from_a_chunk_to_the_next(task: str) -> None:
    """A small one between large ones that are free again keeps glibc from using their place: 16,000 classes on 32,000
    samples took 1.9 GB, as much as all outputs."""
    size = (60, 4, 4) if task == "masks" else (60, 3) if task == "numbers" else (60,)
    output, truth = torch.randn(60, 3, *size[1:3] * (task == "masks")), torch.randint(0, 3, size)
    alive = []

    def counted() -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        for chunk in chunked(output, truth, 10):
            alive.append(tensors())
            yield chunk

    if task == "classes":
        confusions(nn.Identity(), counted(), 3, 16)
    elif task == "masks":
        masks(nn.Identity(), counted(), 3, 8)
    else:
        predictions(((x, y) for (x,), y in counted()), torch.arange(60), 3, 3)
    assert len(set(alive[1:])) == 1
