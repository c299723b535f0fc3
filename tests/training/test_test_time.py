"""Test-time augmentation, compared with means taken by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from recipe_harness import recipe
from torch import Tensor, nn

import netdsl
from netdsl.cli.main import main
from netdsl.recipe.sources import Digits
from netdsl.training.readers import read
from netdsl.training.splits import measure_splits
from netdsl.training.test_time import averaged

IMAGES = torch.rand(6, 3, 8, 5, generator=torch.Generator().manual_seed(0))
FLIPS: dict[str, list[list[int]]] = {"hflip": [[], [3]], "flips": [[], [3], [2], [2, 3]]}


def net(outputs: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), outputs).eval()


HEAD = nn.Sequential(nn.Flatten(), nn.Linear(160, 3))


def test_places_of_an_image_are_not_mirrored_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A net that reads a text off an image gives `[length, classes]`: its mean over views would mix places."""
    spec = tmp_path / "reads.net"
    spec.write_text(
        "net Reads(classes=3) {\n  input image [1, 6, 6]\n  flatten -> linear(6) -> reshape([2, classes])\n}\n"
        'recipe R for Reads {\n  data = npz("d.npz")\n  epochs = 1\n  tta = hflip\n}\n'
    )
    x, y = np.zeros((8, 1, 6, 6), np.uint8), np.arange(16).reshape(8, 2) % 3
    np.savez(tmp_path / "d.npz", x=x, y=y)
    assert main(["train", str(spec), "-o", str(tmp_path / "run")]) != 0
    assert "`tta` mirrors images, and the targets of `d.npz` are classes of places" in capsys.readouterr().err


@pytest.mark.parametrize("tta", FLIPS)
@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize(
    ("loss", "chances"), [("cross_entropy", lambda x: x.softmax(1)), ("bce", torch.sigmoid), ("mse", lambda x: x)]
)
@torch.no_grad()
def test_means_are_those_taken_by_hand(tta: str, average: str, loss: str, chances: Any) -> None:
    module = net(HEAD)
    found = averaged(module, recipe(f"loss = {loss}\ntta = {tta}(average={average})"))(IMAGES)
    each = [module(IMAGES.flip(axes) if axes else IMAGES) for axes in FLIPS[tta]]
    if average == "logits":
        torch.testing.assert_close(found, torch.stack(each).mean(0))
    else:
        torch.testing.assert_close(chances(found), torch.stack(list(map(chances, each))).mean(0))


@torch.no_grad()
def test_masks_are_mirrored_back() -> None:
    module = net(nn.Conv2d(4, 2, (1, 3), padding=(0, 1)))
    found = averaged(module, recipe("data = clutter\ntta = flips"))(IMAGES)
    each = [module(IMAGES.flip(axes) if axes else IMAGES) for axes in FLIPS["flips"]]
    back = [(x.flip(axes) if axes else x).softmax(1) for x, axes in zip(each, FLIPS["flips"], strict=True)]
    torch.testing.assert_close(found.softmax(1), torch.stack(back).mean(0))


@torch.no_grad()
def test_several_outputs_are_averaged_each() -> None:
    first, second = net(HEAD), net(nn.Conv2d(4, 2, 1))

    def both(x: Tensor) -> dict[str, Tensor]:
        return {"a": first(x), "b": second(x)}

    word = recipe("tta = hflip")
    found = averaged(both, word)(IMAGES)
    torch.testing.assert_close(found["a"], averaged(first, word)(IMAGES))
    torch.testing.assert_close(found["b"], averaged(second, word)(IMAGES))


SPEC = """net Small {
  input image [1, 8, 8]
  conv(4, 3) -> relu -> flatten -> linear(10)
}
recipe Twice for Small {
  epochs = 1
  tta    = hflip
}
"""


def test_what_is_measured_and_predicted_is_the_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.net").write_text(SPEC)
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "n.net"), "-o", str(run), "-q"]) == 0
    assert "`tta` is no part of the file" in capsys.readouterr().err
    notes = {p.key: p.value for p in onnx.load(run / "model.onnx").metadata_props}
    assert json.loads(notes["not_contained"]) == ["tta"]
    module, data = netdsl.open_run(run).module(), read(Digits(), Path(), (1, 8, 8), 10)
    images, target = data.test.take(torch.arange(len(data.test)))
    with torch.no_grad():
        chances = (module(images[0]).softmax(1) + module(images[0].flip(3)).softmax(1)) / 2
    result = json.loads((run / "run.json").read_text())["result"]
    assert result["top1"] == pytest.approx(float((chances.argmax(1) == target).double().mean()))
    assert result["loss"] == pytest.approx(float(nn.functional.nll_loss(chances.log(), target)), rel=1e-5)
    assert result["onnx"]["loss"] == pytest.approx(result["loss"], rel=1e-5)
    images, target = data.train.take(torch.arange(len(data.train)))
    with torch.no_grad():
        both = (module(images[0]).softmax(1) + module(images[0].flip(3)).softmax(1)) / 2
    loss = measure_splits(run, ["train"])["train"]["loss"]
    assert loss == pytest.approx(float(nn.functional.nll_loss(both.log(), target)), rel=1e-5)
    images, target = data.test.take(torch.arange(len(data.test)))
    assert main(["eval", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(result["loss"], rel=1e-6)
    import numpy as np

    np.save(tmp_path / "x.npy", images[0][:3].numpy())
    assert main(["predict", str(run), str(tmp_path / "x.npy"), "--probabilities", "--json"]) == 0
    found = [list(p["probabilities"].values()) for p in json.loads(capsys.readouterr().out)]
    torch.testing.assert_close(torch.tensor(found), chances[:3])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('net N { input x [4]\n linear(2) }\nrecipe R for N { data = npz("a.npz")\n tta = hflip }', "is for images"),
        (
            'net N { input x [L] int64\n embed(4, 4) }\nrecipe R for N { data = text("a")\n tta = hflip }',
            "mirrors images",
        ),
    ],
)
def test_what_cannot_be_mirrored_is_said_by_check(
    tmp_path: Path, source: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.net").write_text(source)
    assert main(["check", str(tmp_path / "a.net")]) == 1
    assert said in "".join(capsys.readouterr())
