"""The page of a run about single samples: where a net looks, masks by class, predictions, training samples."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from probing import subject
from torch import nn

import netdsl
from netdsl.cli.main import main
from netdsl.training.report.gradcam import grad_cam, last_maps, overlay
from netdsl.training.report.mistakes import masks
from netdsl.training.report.samples import samples
from netdsl.training.report.svg import scatter

SPEC = """net C(classes=10) {
  input image [1, 8, 8]
  conv(4, 3) -> relu -> conv(6, 3) -> relu -> gap -> linear(classes)
}
recipe Rc for C {
  epochs = 1
  ema    = 0.9
  stop   = early_stopping(3)
}
net M(classes=2) {
  input image [1, 16, 16]
  conv(classes, 3)
}
recipe Rm for M {
  data    = clutter(train=40, test=20, size=16)
  steps   = 2
  metrics = [per_class, f1]
}
net R {
  input x [3]
  linear(2)
}
recipe Rr for R {
  data   = npz("r.npz")
  epochs = 1
  loss   = mse
}
net G {
  input nodes [N, 3]
  input edges [2, E] int64
  nodes -> linear(2)
}
recipe Rg for G {
  data   = graphs("g.npz")
  epochs = 1
  loss   = mse
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a classifier, of masks and of a regression."""
    here = tmp_path_factory.mktemp("samples")
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.savez(here / "r.npz", x=x, y=x[:, :2])
    numbers = 1000 * x[:, :2]
    numbers[3:, 0], numbers[1] = np.nan, np.nan
    edges, divided = np.zeros((2, 1), np.int64), np.arange(50) % 2 == 1
    np.savez(here / "g.npz", features=x, edges=edges, sizes=[7, 3, 40], labels=numbers, train=divided)
    (here / "n.net").write_text(SPEC)
    for name in ("Rc", "Rm", "Rr", "Rg"):
        assert main(["train", f"{here}/n.net:{name}", "-q", "--no-onnx", "-o", str(here / name)]) == 0
    return here


def page(folder: Path, name: str) -> str:
    return (folder / name / "report.html").read_text()


def test_each_node_with_a_number_is_a_dot(folder: Path) -> None:
    """Of graphs of unlike sizes: the nodes of the test split are every other one, and two of them have both numbers."""
    shown = page(folder, "Rg")
    assert [chart.count("<circle") for chart in shown.split("<svg") if ">truth<" in chart] == [2, 25]
    assert "25 test nodes" in shown
    assert "on 24 training nodes" in shown


def test_grad_cam_is_that_of_the_paper() -> None:
    """With average pooling and a linear layer behind the maps, the gradient is known: w_k / positions, where the ReLU
    lets it through."""
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5, 4)
    module = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    image = torch.randn(1, 3, 6, 7)
    assert last_maps(module, lambda: module(image)) is conv
    found = grad_cam(module, conv, image, [2])[0]
    with torch.no_grad():
        maps = conv(image)[0]
        heat = torch.zeros(6, 7)
        for k in range(5):
            alpha = sum(float(linear.weight[2, k]) / 42 for v in maps[k].flatten() if v > 0) / 42
            heat += alpha * maps[k]
        heat = heat.clamp(min=0)
    torch.testing.assert_close(found, heat / heat.max(), atol=1e-6, rtol=1e-5)
    conv.requires_grad_(False)
    assert torch.equal(grad_cam(module, conv, image, [2])[0], found)
    shown = overlay(image[0].clamp(0, 1), found)
    assert shown.shape == (3, 6, 7)
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1
    peak = divmod(int(found.argmax()), 7)
    assert shown[0][peak] > shown[2][peak]  # red where it looks


def test_a_net_without_maps_has_none() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    assert last_maps(module, lambda: module(torch.zeros(1, 3, 2, 2))) is None


def test_a_mistake_is_shown_with_where_the_net_looks(folder: Path) -> None:
    text = page(folder, "Rc")
    figures = re.findall(r"<figure class=pair>(.*?)</figure>", text)
    assert figures
    assert all(f.count("data:image/png") == 2 for f in figures)
    assert "Grad-CAM" in text


def test_the_page_says_which_weights_and_how_training_samples_fare(folder: Path) -> None:
    text = page(folder, "Rc")
    assert "<b>EMA of the best evaluation</b>" in text
    assert "<b>the last step</b>" in page(folder, "Rm")
    module = netdsl.open_run(folder / "Rc").module()
    from netdsl.recipe.sources import Digits
    from netdsl.training.readers import read

    train = read(Digits(), Path(), (1, 8, 8), 10).train
    rows = torch.arange(359) * len(train) // 359
    images, target = train.take(rows)
    with torch.no_grad():
        right = float((module(images[0]).argmax(1) == target).double().mean())
    assert f"{right:.2%} on 359 training samples" in text


def test_masks_have_a_legend_with_the_iou_of_each_class(folder: Path) -> None:
    text = page(folder, "Rm")
    table = re.search(r"<table class=legend>(.*?)</table>", text)
    assert table is not None
    rows = re.findall(r"background:(#\w+)'></i>(\w+)</th><td>([\d.]+)%</td>", table[1])
    assert [(color, name) for color, name, _ in rows] == [("#000000", "clutter"), ("#800000", "digit")]
    assert "IoU</th></tr>" not in text, "what stands in the legend is not shown again"
    assert "<th>class</th><th>F1</th></tr>" in text
    result = json.loads((folder / "Rm" / "run.json").read_text())["result"]
    assert np.mean([float(v) for _, _, v in rows]) == pytest.approx(100 * result["mean_iou"], abs=0.01)


def test_masks_without_names_of_classes_have_no_legend() -> None:
    made = subject(SPEC[SPEC.index("net M") : SPEC.index("net R")]).prepared()
    text = "".join(samples(replace(made, data=replace(made.data, classes=())), {}))
    assert "<h2>Worst masks</h2>" in text
    assert "<h2>Each class</h2>" not in text


def test_confusions_of_masks_leave_out_what_has_no_class() -> None:
    output = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])
    chunks = [((torch.zeros(1, 1, 1, 2),), torch.tensor([[target]])) for target in ([0, -1], [1, 1])]
    found = masks(lambda x: output, chunks, 2, 8)
    assert [found.right.tolist(), found.truth.tolist(), found.guess.tolist()] == [[1, 1], [1, 2], [2, 1]]
    assert found.worst == [(1, 0.5), (0, 1.0)]


def test_predictions_lie_over_the_truth(folder: Path) -> None:
    text = page(folder, "Rr")
    assert text.count('class="dot"') == 2 * 10  # two outputs of ten test samples
    assert text.count('class="equal"') == 2
    assert "value_0" in text, "as `predict` calls it"
    assert scatter("x", [float("nan")], [1.0]) == ""


def test_the_net_is_drawn_as_an_image_of_its_own(folder: Path) -> None:
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page(folder, "Rc"))
    assert found is not None
    assert "conv 3x3" in base64.b64decode(found[1]).decode()
