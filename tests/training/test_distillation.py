"""Learning from a teacher: the loss by its formula, the same for any micro-batch, and teachers that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe, resolved
from torch import Tensor, nn
from torch.nn import functional
from training_harness import loop_of, samples, small_net

from netdsl.cli.main import main
from netdsl.recipe.distillation import Teacher
from netdsl.training.checkpoints.format import load_tensors
from netdsl.training.losses.criterion import Criterion
from netdsl.training.losses.distillation import Distillation, divergence


def test_the_divergence_is_hintons() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(7, 5, generator=generator), torch.randn(7, 5, generator=generator)
    found = divergence(ours, theirs, torch.zeros(7, dtype=torch.long), 3.0)
    p, q = (theirs / 3).softmax(1), (ours / 3).softmax(1)
    torch.testing.assert_close(found, 9 * (p * (p.log() - q.log())).sum(1))
    kl = nn.KLDivLoss(reduction="batchmean")(functional.log_softmax(ours / 3, 1), p)
    torch.testing.assert_close(found.mean(), 9 * kl)


@pytest.mark.parametrize("shape", [(4, 5, 3, 2), (4, 6, 5)])
def test_places_of_masks_and_texts_are_averaged(shape: tuple[int, ...]) -> None:
    ours, theirs = torch.randn(*shape), torch.randn(*shape)
    target = torch.zeros(4, *(shape[2:] if len(shape) == 4 else shape[1:2]), dtype=torch.long)
    found = divergence(ours, theirs, target, 1.0)
    axis = 1 if len(shape) == 4 else 2
    rows, others = (x.movedim(axis, -1).flatten(0, -2) for x in (ours, theirs))
    expected = divergence(rows, others, torch.zeros(len(rows), dtype=torch.long), 1.0).view(4, -1).mean(1)
    torch.testing.assert_close(found, expected)


TEACHER = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).requires_grad_(False)


def distillation(alpha: float, temperature: float = 2.0) -> Distillation:
    return Distillation(Teacher(path="x", temperature=temperature, alpha=alpha), TEACHER)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("weight", ["", ", weight=[1, 2, 3]"])
def test_the_whole_loss(alpha: float, weight: str) -> None:
    found = recipe(f"loss = cross_entropy(label_smoothing=0.1{weight})")
    split = samples(12)
    inputs, labels = split.take(torch.arange(12))
    output = torch.randn(12, 3)
    criterion = Criterion(found, ("output",), teacher=distillation(alpha))
    weights = torch.tensor([1.0, 2, 3]) if weight else None
    hard = functional.cross_entropy(output, labels, weights, label_smoothing=0.1)
    soft = divergence(output, TEACHER(*inputs), labels, 2.0).mean()
    torch.testing.assert_close(criterion(output, labels, inputs).mean(), (1 - alpha) * hard + alpha * soft)


@pytest.mark.parametrize("fields", ["", "loss = cross_entropy(weight=[1, 2, 5])", "mix = mixup(0.4)"])
def test_micro_batches_have_the_gradient_of_the_batch(fields: str) -> None:
    gradients = []
    for micro in (0, 5):
        text = f"steps = 1\nbatch = 16\nmicro_batch = {micro}\n{fields}"
        loop = loop_of(text, module=small_net(norm=False, dropout=0), teacher=distillation(0.7))
        seen: list[Tensor] = []
        loop.watch = lambda what, numbers, loop=loop, seen=seen: (  # type: ignore[misc]
            seen.extend(p.grad.clone() for p in loop.trained) if what == "step" else None
        )
        loop.run()
        gradients.append(torch.cat([g.flatten() for g in seen]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


SPEC = """
net Large(classes=10) { input image [1, 8, 8]\n conv(16, 3) -> relu -> flatten -> linear(classes) }
net Small(classes=10) { input image [1, 8, 8]\n flatten -> linear(12) -> relu -> linear(classes) }
net Wide { input image [1, 16, 16]\n conv(8, 3, stride=4) -> relu -> flatten -> linear(10) }
recipe Taught for Small { data = digits\n epochs = 2\n distill = teacher("large", temperature=4, alpha=0.9) }
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("distill")
    (base / "nets.net").write_text(SPEC)
    for net, folder in (("Large", "large"), ("Wide", "wide")):
        given = ["--set", "epochs=2", "-q", "-o", str(base / folder)]
        assert main(["train", f"{base}/nets.net:{net}", "--recipe", "none", *given]) == 0
    return base


def train(base: Path, folder: str, *more: str) -> int:
    return main(["train", f"{base}/nets.net:Taught", *more, "-q", "--no-onnx", "-o", str(base / folder)])


def test_a_net_learns_from_a_run_and_from_an_onnx_file(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(base, "a") == 0
    path = str(base / "large" / "model.onnx")
    assert train(base, "b", "--set", f'distill.path="{path}"') == 0
    ours, theirs = (load_tensors(base / f / "model.safetensors")[0] for f in "ab")
    assert ours.keys() == theirs.keys()
    for name in ours:  # the teacher leaves nothing behind
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-3)


def test_a_run_with_a_teacher_is_resumed(base: Path) -> None:
    assert train(base, "whole") == 0
    assert train(base, "half", "--set", "epochs=1", "--set", "schedule=constant") == 0
    assert train(base, "both", "--set", "schedule=constant") == 0
    assert main(["train", "--resume", str(base / "half"), "--set", "epochs=2", "-q", "--no-onnx"]) == 0
    ours, theirs = (load_tensors(base / f / "model.safetensors")[0] for f in ("both", "half"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", 'distill.path="nowhere"'], "there is no teacher"),
        (["-p", "classes=2", "--data", "synthetic(classes=2)"], "large has 10 classes, `synthetic` has 2"),
        (["--set", 'distill.path="{base}/wide"'], "wide takes [1, 16, 16], and a sample of `digits` is [1, 8, 8]"),
    ],
)
def test_teachers_that_do_not_fit(base: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str) -> None:
    assert train(base, "no", *(m.replace("{base}", str(base)) for m in more)) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ('distill = teacher("a")\nloss = bce', "conflicting-fields"),
        ('distill = teacher("a", alpha=0)', "idle-option"),
        ('distill = teacher("a", alpha=2)', "bad-value"),
        ('distill = teacher("a", temperature=0)', "bad-value"),
        ("distill = teacher", "missing-argument"),
        ('teacher = "a"', "unknown-field"),
    ],
)
def test_recipes_that_mean_nothing(fields: str, code: str) -> None:
    found: Any = resolved("recipe Test {\n" + fields + "\n}")[1]
    assert code in [d.code for d in found]
