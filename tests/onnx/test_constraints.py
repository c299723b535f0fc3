"""A model says which sizes it is for: in its metadata, in the doc strings of its inputs; `predict` holds it to that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from netdsl.backends.onnx.file import load, metadata
from netdsl.cli.main import main
from netdsl.inference.predictions import predict
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.training.data.dataset import DataError
from netdsl.training.opened import open_trained
from netdsl.verify.export import export_onnx


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model whose image must be a multiple of 17."""
    text = "net Net { input image [3, H, W]\n y = maxpool(17) -> upsample(17)\n it + y -> gap -> linear(4) }"
    file = tmp_path / "model.onnx"
    net = Spec(Source(text, "net.net"), read_import).net("Net")
    export_onnx(net, file, verified=False, metadata=net.metadata)
    return file


def test_the_file_says_what_its_sizes_must_be(path: Path) -> None:
    model = load(path)
    assert json.loads(metadata(model)["constraints"]) == ["H % 17 == 0", "W % 17 == 0"]
    assert [i.doc_string for i in model.graph.input] == ["H % 17 == 0, W % 17 == 0"]


def test_predict_refuses_other_sizes(path: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (40, 40)).save(image)
    with pytest.raises(DataError, match=r"H % 17 == 0 and W % 17 == 0, found H = 224, W = 224"):
        next(predict(open_trained(path), [image]))
    assert main(["predict", str(path), str(image)]) == 1
