"""Labels that hold or do not, each on its own, and nets with several inputs: trained from arrays, as a user would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from paths import SPECS
from sklearn.datasets import load_digits

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
