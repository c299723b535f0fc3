"""Standardisation per pixel and per image: against numpy, in a trained run, its checkpoint and its ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from legal_ir import violations
from recipe_harness import recipe
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from netdsl.cli.main import main
from netdsl.elaborate.builder import Options
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.training.data.dataset import DataError, Split
from netdsl.training.data.fit import statistics
from netdsl.training.data.preprocessing import pixel_statistics
from netdsl.training.opened import open_trained

NET = """
net Small {
  input image [1, 8, 8]
  conv(4, 3) -> relu -> gap -> linear(10)
}
"""


@pytest.mark.parametrize("scale", [True, False])
def test_statistics_per_pixel_are_scikit_learns(scale: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 2, 3, 4), dtype=np.uint8)
    word = recipe(f"standardize = pixel(scale={str(scale).lower()})").standardize
    mean, std = pixel_statistics(Split((torch.from_numpy(pixels),), torch.zeros(5000)), word)  # type: ignore[arg-type]
    reference = StandardScaler().fit(pixels.reshape(5000, -1) / 255)
    assert np.allclose(mean.numpy().ravel(), reference.mean_, atol=1e-6)
    assert np.allclose(std.numpy().ravel(), reference.scale_ if scale else 1, atol=1e-6)


def test_statistics_per_channel_are_scikit_learns_in_any_unit() -> None:
    """Also of numbers about 1e-9, and of those that differ in their seventh digit; a constant keeps its scale."""
    scale, middle = [1e-9, 3, 1, 1e30, 0, 0.1], [0, 2451545, 0, 0, 0.1, 4e4]
    rows = (np.random.default_rng(0).standard_normal((300, 6)) * scale + middle).astype(np.float32)
    split = Split((torch.from_numpy(rows),), torch.zeros(300))
    found = statistics(split, recipe("standardize = channel").standardize)
    assert found is not None
    reference = StandardScaler().fit(rows.astype(np.float64))
    np.testing.assert_allclose(found[1], reference.scale_, rtol=1e-3)
    assert (np.abs(found[0] - reference.mean_) <= 1e-3 * reference.scale_).all()


def test_a_standardised_net_is_the_same_net_behind_standardised_pixels() -> None:
    """Also where a layer of the net has the name of the one that standardises; its state-dict keys stay."""
    text = "net A {\n  input x [2, 6, 6]\n  standardize: conv(4, 3)\n  relu\n}"
    spec = Spec(Source(text, "a.net"), read_import)
    plain, whole = spec.net("A"), spec.net("A", options=Options(standard=((0.5, -2.0), (0.2, 3.0))))
    assert not violations(whole.checked)
    a, b = plain.module(1).eval(), whole.module(1).eval()
    b.load_state_dict(a.state_dict(), strict=False)
    assert set(a.state_dict()) <= set(b.state_dict())
    x = torch.randn(3, 2, 6, 6)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.5, -2.0), (0.2, 3.0)))
    torch.testing.assert_close(b(x), a((x - mean) / std))


@pytest.mark.parametrize("word", ["pixel(scale=false)", "image"])
def test_a_trained_net_takes_raw_pixels(tmp_path: Path, word: str) -> None:
    """The run directory, opened again, and its ONNX file give what the bare layers give on standardised pixels."""
    spec, folder = tmp_path / "small.net", tmp_path / "run"
    spec.write_text(NET + f"recipe R for Small {{ epochs = 1 standardize = {word} }}".replace("1 s", "1\n s"))
    assert main(["train", str(spec), "-o", str(folder), "-q"]) == 0
    weights = load_file(folder / "model.safetensors")
    x = torch.from_numpy(load_digits().images[:50, None]).float() / 16
    if word == "image":
        centred = x - x.mean((1, 2, 3), keepdim=True)
        y = centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1 / 8)
    else:
        kept = next(t for n, t in weights.items() if n.endswith("mean"))
        assert kept.shape == (1, 8, 8)
        assert (kept[0] - x.mean(0)[0]).abs().max() < 0.2
        assert float(kept.std()) > 0.2
        y = x - kept
    kernel, bias = (next(t for n, t in weights.items() if t.ndim == d and t.shape[0] == 4) for d in (4, 1))
    matrix, shift = (next(t for t in weights.values() if t.ndim == d and t.shape[0] == 10) for d in (2, 1))
    want = torch.nn.functional.conv2d(y, kernel, bias, padding=1).relu().mean((2, 3)) @ matrix.T + shift
    assert torch.allclose(open_trained(folder).forward(x), want, atol=1e-5)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert np.allclose(got, want.detach().numpy(), atol=1e-5)


def test_what_cannot_be_standardised_is_refused(tmp_path: Path) -> None:
    from netdsl.loader import load_source, read_import
    from netdsl.pipeline import Spec
    from netdsl.training.data.preprocessing import preprocessing

    spec = tmp_path / "any.net"
    spec.write_text(NET.replace("8, 8", "H, W"))
    program = Spec(load_source(spec), read_import).net("Small", {}, {}).checked
    split = Split((torch.zeros(3, 1, 8, 8),), torch.zeros(3))
    with pytest.raises(DataError, match="one size"):
        preprocessing(recipe("standardize = pixel"), split, program)
    spec.write_text(NET)
    program = Spec(load_source(spec), read_import).net("Small", {}, {}).checked
    with pytest.raises(DataError, match="cutout"):
        preprocessing(recipe("standardize = image\n augment = cutout(4)"), split, program)
