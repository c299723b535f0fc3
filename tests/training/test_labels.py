"""Labels that hold or do not, each on its own, and nets with several inputs: trained from arrays, as a user would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from paths import SPECS
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score, roc_auc_score
from torch.nn import functional

import netdsl
from netdsl.cli.main import main

TEXT = """
net Labels(count=3) {
  input image [1, 8, 8]
  conv(16, 3) -> bn -> relu -> conv(32, 3, stride=2) -> bn -> relu -> flatten -> linear(count)
}
net Twins {
  input left [1, 8, 8]
  input right [1, 8, 8]
  share encode = conv(16, 3, stride=2) -> bn -> relu -> flatten -> linear(16)
  (left -> encode) - (right -> encode) -> absolute -> linear(1)
}
recipe Several for Labels {
  data = npz("several.npz")
  epochs = 4
  loss = bce(label_smoothing=0.1)
  augment = crop(padding=1)
}
recipe Same for Twins {
  data = npz("pairs.npz", inputs=["left", "right"])
  epochs = 4
  optimizer = adamw(lr=1e-2)
  loss = bce
}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("labels")
    digits = load_digits()
    x, y = (digits.images * 15.9).astype(np.uint8), digits.target
    several = np.stack([y % 2 == 1, y >= 5, np.isin(y, (0, 6, 8, 9))], 1).astype(np.float32)
    np.savez(base / "several.npz", x=x, y=several)
    np.savez(base / "odd.npz", x=x, y=y % 2)
    np.savez(base / "numbers.npz", x=x, y=3 * several)
    rng = np.random.default_rng(0)
    i = rng.integers(0, len(x), 2000)
    j = np.array([rng.choice(np.flatnonzero((y == y[k]) == (n % 2 == 0))) for n, k in enumerate(i)])
    np.savez(base / "pairs.npz", left=x[i], right=x[j], y=(y[i] == y[j]).astype(np.int64))
    (base / "labels.net").write_text(TEXT)
    return base


def train(base: Path, capsys: Any, *arguments: str) -> tuple[int, str]:
    code = main(["train", str(base / "labels.net") + arguments[0], *arguments[1:]])
    said = capsys.readouterr()
    return code, said.out + said.err


def in_onnxruntime(folder: Path, **inputs: Any) -> Any:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return session.run(None, {n: (x / 255).astype(np.float32)[:, None] for n, x in inputs.items()})[0]


def test_several_labels_for_a_image(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = train(base, capsys, ":Labels", "--output", str(base / "several"))
    assert code == 0, said
    reported = json.loads((base / "several" / "run.json").read_text())["result"]["top1"]
    arrays = np.load(base / "several.npz")
    right = (in_onnxruntime(base / "several", image=arrays["x"]) > 0) == (arrays["y"] > 0.5)
    assert reported > 0.85  # the most frequent answer is right for 0.55 of the labels
    assert abs(right.mean() - reported) < 0.03  # of all images, not of those held out


def test_two_classes_by_one_number(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f'npz("{base / "odd.npz"}")'
    code, said = train(base, capsys, ":Labels", "--data", data, "-p", "count=1", "--output", str(base / "odd"))
    assert code == 0, said
    assert json.loads((base / "odd" / "run.json").read_text())["result"]["top1"] > 0.85
    assert main(["eval", str(base / "odd")]) == 0


def test_a_net_with_two_images(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are standardised with the same numbers, so that a pair of the same image is at distance 0."""
    code, said = train(base, capsys, ":Twins", "--output", str(base / "twins"))
    assert code == 0, said
    assert json.loads((base / "twins" / "run.json").read_text())["result"]["top1"] > 0.7
    arrays = np.load(base / "pairs.npz")
    left, right = arrays["left"], arrays["right"]
    given = in_onnxruntime(base / "twins", left=left, right=right)
    np.testing.assert_allclose(in_onnxruntime(base / "twins", left=right, right=left), given, rtol=1e-4, atol=1e-4)
    same = in_onnxruntime(base / "twins", left=left, right=left)
    assert np.ptp(same) < 1e-5 < np.ptp(given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((":Labels", "--data", "numbers"), "`bce` takes labels from 0 to 1, and those of .* go from 0 to 3"),
        ((":Labels", "-p", "count=2"), r"the net gives \[2\] for a sample, .* asks for the labels \[3\]"),
        ((":Twins", "--data", "several"), "the net has 2 inputs, .* gives 1"),
        ((":Twins", "--set", "mix=mixup(0.2)"), "`mix` mixes samples of one input"),
        ((":Twins", "--set", "augment=hflip"), "is for nets with one input"),
        ((":Labels", "--set", "label_noise=0.5"), "`label_noise` replaces classes"),
    ],
)
def test_what_has_no_meaning_is_refused(
    base: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    given = [f'npz("{base / a}.npz")' if a in ("numbers", "several") else a for a in arguments]
    code, said = train(base, capsys, *given)
    assert code != 0
    assert "Traceback" not in said
    assert re.search(message, said), said


def test_a_graph_keeps_its_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nodes are no channels, and their number is open: nothing is standardised."""
    rows, labels = np.eye(6, dtype=np.float32), np.array([0, 0, 0, 1, 1, 1])
    edges = np.array([[0, 1, 2, 3, 4, 2], [1, 2, 0, 4, 5, 3]])
    np.savez(tmp_path / "graph.npz", features=rows, edges=edges, labels=labels, train=np.array([1, 0, 0, 0, 0, 1]) == 1)
    spec = SPECS / "gcn.net"
    data = ["--data", f'graph("{tmp_path / "graph.npz"}")', "-p", "features=6", "-p", "classes=2"]
    run = ["--set", "epochs=60", "--set", "batch=1", "--set", "optimizer.lr=0.03", "--output", str(tmp_path / "run")]
    assert main(["train", str(spec), *data, *run]) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["result"]["top1"] == 1


def test_labels_that_are_not_known_do_not_count(tmp_path: Path) -> None:
    """-1 for a label of a sample: weights after a step, the loss and metrics are those of torch and scikit-learn over
    what is known, whatever a step is cut into."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 4)).astype(np.float32)
    y = np.where(random.random((60, 3)) < 0.3, -1, x[:, :3] > 0).astype(np.float32)
    np.savez(tmp_path / "y.npz", x=x[:40], y=y[:40], x_test=x[40:], y_test=y[40:])
    net = netdsl.load(netdsl.Source("net L { input x [4]\n  linear(3) }", str(tmp_path / "l.net")))
    sgd = {
        "optimizer": "sgd(lr=1, momentum=0)",
        "schedule": "constant",
        "batch": 40,
        "loss": "bce(pos_weight=balanced)",
    }
    settings = {**sgd, "micro_batch": 7, "metrics": "[micro_f1, auroc]", "standardize": "none"}
    states = []
    for epochs in (1, 2):
        data, folder = f'npz("{tmp_path / "y.npz"}")', tmp_path / f"r{epochs}"
        run = net.train(data=data, settings=settings | {"epochs": epochs}, folder=folder, quiet=True, device="cpu")
        states.append(load_file(folder / "model.safetensors"))
    weight, bias = (states[0][n].requires_grad_() for n in ("linear.weight", "linear.bias"))
    truth, known = torch.from_numpy(y), torch.from_numpy(y >= 0)
    noes = ((truth == 0) & known)[:40].sum(0) / (truth == 1)[:40].sum(0)

    def loss(rows: slice, pos_weight: torch.Tensor) -> torch.Tensor:
        scores, some = torch.from_numpy(x)[rows] @ weight.T + bias, known[rows]
        each = pos_weight.expand(scores.shape)[some]
        return functional.binary_cross_entropy_with_logits(scores[some], truth[rows][some], pos_weight=each)

    for name, tensor, gradient in zip(
        ("linear.weight", "linear.bias"), (weight, bias), torch.autograd.grad(loss(slice(40), noes), (weight, bias)),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(states[1][name], (tensor - gradient).detach(), rtol=1e-4, atol=1e-6)
    scores = (torch.from_numpy(x) @ states[1]["linear.weight"].T + states[1]["linear.bias"]).numpy()[40:]
    tested = y[40:] >= 0
    assert run.result["micro_f1"] == pytest.approx(f1_score(y[40:][tested], scores[tested] > 0))
    each = [roc_auc_score(y[40:][k, c], scores[k, c]) for c, k in enumerate(tested.T)]
    assert run.result["auroc"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("y", "settings", "said"),
    [
        ([[-1, 1]] * 10, {}, r"no label of .* is 0"),
        ([[0, 1], [-1, 1]] * 5, {"mix": "mixup(0.2)"}, "`mix` mixes labels, and some of .* are not known"),
        (np.eye(8).reshape(8, 2, 2, 2)[[0, 1] * 5], {"loss": "bce(pos_weight=balanced)"}, "are maps"),
    ],
)
def test_labels_that_cannot_be(tmp_path: Path, y: Any, settings: dict[str, str], said: str) -> None:
    shape = np.shape(y)[1:]
    np.savez(tmp_path / "y.npz", x=np.ones((10, 4), np.float32), y=np.array(y, np.float32))
    body = f"linear({np.prod(shape)}) -> reshape({shape})"
    net = netdsl.load(netdsl.Source(f"net L {{ input x [4]\n  {body} }}", str(tmp_path / "l.net")))
    data = f'npz("{tmp_path / "y.npz"}")'
    with pytest.raises(netdsl.TrainingError, match=said):
        net.train(data=data, settings={"epochs": 1, "loss": "bce", **settings}, folder=tmp_path / "r", quiet=True)
