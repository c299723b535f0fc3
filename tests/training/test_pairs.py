"""Contrastive losses: their values and gradients compared with plain torch, and runs over two views of each sample."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import ROOT
from recipe_harness import recipe
from torch import Tensor, nn
from torch.nn import functional
from training_harness import samples

import netdsl
from netdsl.cli.main import main
from netdsl.recipe.losses import NtXent, Triplet
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.targets import Targets
from netdsl.training.losses.criterion import Criterion
from netdsl.training.losses.pairs import pair_terms

RANDOM = torch.Generator().manual_seed(0)
A, B = (torch.randn(7, 5, generator=RANDOM) for _ in range(2))


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> list[float]:
    """Equation 1 of SimCLR, sum by sum."""
    z, count = [*a, *b], len(a)
    found = []
    for i in range(count):
        both = []
        for k, partner in ((i, i + count), (i + count, i)):
            likeness = [math.exp(float(functional.cosine_similarity(z[k], other, 0)) / temperature) for other in z]
            both.append(-math.log(likeness[partner] / sum(s for j, s in enumerate(likeness) if j != k)))
        found.append(sum(both) / 2)
    return found


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_is_that_of_the_paper(temperature: float) -> None:
    found = pair_terms(NtXent(temperature=temperature), (A, B))
    assert found.tolist() == pytest.approx(nt_xent(A, B, temperature), rel=1e-4)


@pytest.mark.parametrize("margin", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_triplets_are_those_of_torch(margin: float, negatives: str) -> None:
    loss = nn.TripletMarginLoss(margin, reduction="none")
    expected = []
    for i in range(7):
        both = []
        for anchors, others in ((A, B), (B, A)):
            each = [float(loss(anchors[i], others[i], others[j])) for j in range(7) if j != i]
            both.append(max(each) if negatives == "hardest" else sum(each) / len(each))
        expected.append(sum(both) / 2)
    found = pair_terms(Triplet(margin=margin, negatives=negatives), (A, B))
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("component", [NtXent(), Triplet(), Triplet(negatives="all", margin=9.0)])
def test_gradients_are_those_of_differences(component: NtXent | Triplet) -> None:
    a, b = A.double().requires_grad_(), B.double().requires_grad_()
    pair_terms(component, (a, b)).sum().backward()
    assert a.grad is not None
    same = (A[:2].requires_grad_(), A[:2].detach())  # views that are the same
    pair_terms(component, same).sum().backward()
    assert bool(torch.isfinite(same[0].grad).all())  # type: ignore[arg-type]


def loader(fields: str, count: int = 20) -> BatchLoader:
    found = recipe(f"loss = nt_xent\n{fields}")
    return BatchLoader(samples(count), found, Targets(found, "pairs", 1))


def test_views_are_two_draws_of_each_sample() -> None:
    """Functions of the seed and the sample, whatever the step is cut into."""
    feed = loader("batch = 8\naugment = translate(3)")
    batch = feed.batch(0)
    first, second = batch.inputs[0].chunk(2)
    assert first.shape == (8, 1, 8, 8)
    plain = BatchLoader(samples(20), recipe("batch = 8\naugment = translate(3)"), Targets(recipe(""), "classes", 3))
    assert torch.equal(first, plain.batch(0).inputs[0])
    assert not torch.equal(first, second)
    part = feed.batch(0, 2, 5).inputs[0].chunk(2)
    assert torch.equal(part[0], first[2:5])
    assert torch.equal(part[1], second[2:5])


SPEC = """
block Features = conv(8, 3) -> relu -> conv(16, 3, stride=2) -> relu -> flatten

net Views {
  input image [1, 8, 8]
  features: Features
  head: linear(8)
}
net Probe {
  input image [1, 8, 8]
  features: Features
  head: linear(10)
}
net Two {
  input left [4]
  input right [4]
  share arm = linear(3)
  output a = left -> arm
  output b = right -> arm
}
recipe Contrast for Views {
  epochs  = 2
  batch   = 64
  augment = rotate(15) -> translate(1)
  loss    = nt_xent(temperature=0.2)
}
recipe Near for Views extends Contrast {
  loss = triplet
}
recipe Pairs for Two {
  data  = npz("pairs.npz", inputs=["left", "right"])
  steps = 4
  batch = 8
  loss  = nt_xent
}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "n.net").write_text(SPEC)
    left, right = np.random.default_rng(0).normal(size=(2, 40, 4)).astype(np.float32)
    np.savez(tmp_path / "pairs.npz", left=left, right=right, y=np.zeros(40, dtype=np.int64))
    return tmp_path


def train(base: Path, name: str, *more: str) -> dict[str, float]:
    run = base / f"run-{name}{len(list(base.iterdir()))}"
    assert main(["train", f"{base}/n.net:{name}", "-o", str(run), "-q", *more]) == 0
    found: dict[str, float] = json.loads((run / "run.json").read_text())["result"]
    return found


def test_views_are_learnt_to_be_alike(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = train(base, "Contrast")
    lines = [json.loads(line) for line in next(base.glob("run-*/metrics.jsonl")).read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "evaluation"]
    assert losses[-1] == pytest.approx(result["loss"], rel=1e-6)
    assert losses[-1] < losses[0] < math.log(2 * 64)
    assert result["onnx"]["loss"] == pytest.approx(result["loss"], rel=1e-4)  # type: ignore[index]
    run = next(base.glob("run-*"))
    assert main(["eval", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(result["loss"], rel=1e-6)
    np.save(base / "x.npy", np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))
    assert main(["predict", str(run), str(base / "x.npy"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    vector = netdsl.open_run(run).module()(torch.from_numpy(np.load(base / "x.npy")))[0]
    assert list(found[0]["values"].values()) == pytest.approx(vector.tolist(), rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_features_serve_a_linear_probe(base: Path) -> None:
    """Frozen features tell digits apart: better than those that were never trained."""
    train(base, "Near", "--no-onnx")
    train(base, "Contrast", "--set", "epochs=10", "--no-onnx")
    run = next(p.parent for p in base.glob("run-Contrast*/run.json"))
    fields = f'epochs = 10\n  init = weights("{run}", strict=false)\n  freeze features'
    (base / "n.net").write_text(f"{SPEC}\nrecipe Linear for Probe {{\n  {fields}\n}}\n")
    learnt = train(base, "Linear", "--no-onnx")["top1"]
    assert learnt > 0.9


def test_two_outputs_are_a_pair(base: Path) -> None:
    result = train(base, "Pairs")
    run = next(base.glob("run-*"))
    module = netdsl.open_run(run).module()
    assert result["n"] == 8
    assert result["onnx"]["loss"] == pytest.approx(result["loss"], rel=1e-4)  # type: ignore[index]
    assert len(list(module.parameters())) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("micro_batch = 8", "`micro_batch` does not go with `nt_xent`: it compares all samples of a batch"),
        ("mix = mixup(0.2)", "`mix` does not go with `nt_xent`"),
        ("shard = fsdp", "`shard` does not go with `nt_xent`"),
        ("batch = 1", "one is none"),
        ("metrics = [f1]", "`f1` cannot be measured"),
        ("outputs = weights(projection=0.5)", "they have no weights of their own"),
    ],
)
def test_what_takes_a_batch_apart_is_refused_by_check(
    base: Path, more: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "n.net").write_text(f"{SPEC}\nrecipe Other for Views extends Contrast {{ {more} }}\n")
    assert main(["check", str(base / "n.net")]) == 1
    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("net", "said"),
    [("Views", "two augmented views"), ("Map", "compares vectors"), ("Both", "the net has 1 input and 2 outputs")],
)
def test_nets_that_give_no_pairs_are_refused_by_check(
    base: Path, net: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "net Map { input x [1, 8, 8]\n conv(3, 3) }\n"
    more += "net Both { input x [1, 8, 8]\n y = x -> flatten\n output a = y -> linear(3)\n output b = y -> linear(3) }"
    (base / "n.net").write_text(f"{SPEC}\n{more}\nrecipe Other for {net} {{ loss = nt_xent }}\n")
    assert main(["check", str(base / "n.net")]) == 1
    assert said in "".join(capsys.readouterr())


def test_both_outputs_of_a_pair_count() -> None:
    """A second output of weight 0 would be frozen where several processes train."""
    criterion = Criterion(recipe("loss = nt_xent\naugment = hflip"), ("a", "b", "c"), ("a", "b"))
    assert criterion.weights == {"a": 1.0, "b": 1.0, "c": 0.0}


@pytest.mark.slow
def test_two_processes_compare_the_whole_batch(base: Path) -> None:
    found = []
    for number in ("1", "2"):
        run = base / number
        args = ["-o", str(run), "-q", "--no-onnx", "--devices", number, "--device", "cpu", "--set", "steps=8"]
        command = [sys.executable, "-m", "netdsl", "train", f"{base}/n.net:Contrast", *args]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        about = json.loads((run / "run.json").read_text())["result"]
        found.append([about["loss"], about["top1"], netdsl.open_run(run).module().state_dict()])
    assert found[0][:2] == pytest.approx(found[1][:2], rel=1e-4)
    for name, ours in found[0][2].items():
        torch.testing.assert_close(ours, found[1][2][name], rtol=1e-3, atol=1e-5)
