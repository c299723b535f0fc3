"""PixMix against the formulas of its reference implementation, rewritten in numpy and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from recipe_harness import recipe, resolved
from torch import Tensor

from netdsl.cli.main import main
from netdsl.training.augment.fractals import fractals
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.augment.pixmix import COLOURS, PLAIN, add, mixing_images, multiply, operate, weights
from netdsl.training.rng import KeyedRng

SIDE = 32


def images(count: int = 6, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, channels, 8, 8, generator=generator)
    large = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
    return (large * 255).round() / 255


def test_both_ways_of_mixing_are_those_of_the_formulas() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 50, 3, 4, 4))
    x[0], y[1] = 0, 0  # black: multiplying by a negative power of it must not give a number that is none
    a, b = rng.uniform(0, 2, 50), rng.uniform(-1, 1, 50)
    p, q = a[:, None, None, None], b[:, None, None, None]
    given = [torch.from_numpy(v).float() for v in (x, y, a, b)]
    wanted = np.clip((p * (x * 2 - 1) + q * (y * 2 - 1) + 1) / 2, 0, 1)
    np.testing.assert_allclose(add(*given).clamp(0, 1).numpy(), wanted, atol=1e-5)
    wanted = np.clip((x * 2) ** p * np.clip(y * 2, 1e-37, None) ** q / 2, 0, 1)
    np.testing.assert_allclose(multiply(*given).clamp(0, 1).numpy(), wanted, atol=1e-5)


def test_weights_have_the_distribution_of_the_reference() -> None:
    """In one half of the cases Beta(beta, 1) and Beta(1, beta), in the other 1 + Beta(1, beta) and -Beta(1, beta)."""
    rng, draws = np.random.default_rng(0), KeyedRng(5, torch.arange(40_000))
    a, b = (t.numpy() for t in weights(draws.uniform("side"), draws.uniform("weights", 2), 3.0))
    inside = a < 1
    assert inside.mean() == pytest.approx(0.5, abs=0.01)
    quantiles = np.linspace(0.02, 0.98, 25)
    for ours, theirs in (
        (a[inside], rng.beta(3, 1, 40_000)),
        (b[inside], rng.beta(1, 3, 40_000)),
        (a[~inside], 1 + rng.beta(1, 3, 40_000)),
        (b[~inside], -rng.beta(1, 3, 40_000)),
    ):
        np.testing.assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.02)


def pillow(name: str, image: Image.Image, level: float, sign: int) -> Image.Image:
    """An operation as the reference implementation calls Pillow; `level` from 0 to 10."""
    size, whole = image.size, lambda most: int(level * most / 10)
    slope, shift = sign * level * 0.3 / 10, sign * whole(SIDE / 3)
    maps = {
        "shear_x": (1, slope, 0, 0, 1, 0), "shear_y": (1, 0, 0, slope, 1, 0),
        "translate_x": (1, 0, shift, 0, 1, 0), "translate_y": (1, 0, 0, 0, 1, shift),
    }  # fmt: skip
    if name in maps:
        return image.transform(size, Image.Transform.AFFINE, maps[name], resample=Image.Resampling.BILINEAR)
    factor = level * 1.8 / 10 + 0.1
    return {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "posterize": lambda: ImageOps.posterize(image, 4 - whole(4)),
        "solarize": lambda: ImageOps.solarize(image, 256 - whole(256)),
        "rotate": lambda: image.rotate(-sign * whole(30), resample=Image.Resampling.BILINEAR),
        "color": lambda: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
    }[name]()


@pytest.mark.parametrize("name", [*PLAIN, *COLOURS])
def test_operations_are_those_of_pillow(name: str) -> None:
    """Within two levels on pixels that are not read across the border."""
    x = images()
    level = torch.tensor([0.3, 1.0, 1.7, 2.6, 2.9, 2.99])
    sign = torch.tensor([1, -1, 1, -1, 1, -1])
    ours = (operate(name, x, level / 10, sign.float()) * 255).round()
    for i in range(len(x)):
        image = Image.fromarray((x[i] * 255).byte().permute(1, 2, 0).numpy())
        found = np.asarray(pillow(name, image, float(level[i]), int(sign[i]))).transpose(2, 0, 1).astype(int)
        edge = 5 if name[:5] in ("shear", "trans", "rotat") else 0
        middle = slice(edge, SIDE - edge)
        difference = np.abs(ours[i].numpy() - found)[:, middle, middle]
        assert difference.max() <= 2, (name, float(level[i]), difference.max())


def run(text: str, x: Tensor, mixing: Tensor | None = None, epoch: int = 0) -> Tensor:
    pipeline = Pipeline(recipe(f"augment = {text}").augment, mixing=mixing)
    return pipeline((x,), torch.zeros(len(x)), KeyedRng(epoch + 3, torch.arange(len(x))), epoch)[0][0]


def test_rounds_and_starts_are_drawn_per_sample() -> None:
    """Without strength only mixing changes an image: 1 of 5 has no round, half of them start as they are."""
    x = torch.full((4000, 1, 4, 4), 0.25)
    out = run("pixmix(severity=0.1)", x, mixing=torch.full((1, 1, 8, 8), 255, dtype=torch.uint8))
    same = float(((out - x).abs().amax((1, 2, 3)) < 1e-6).float().mean())
    assert 0.15 < same < 0.45
    assert len(out[:, 0, 0, 0].unique()) > 1000
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1


def test_each_sample_gets_a_image_and_a_window_of_it() -> None:
    """Row, column and number of a pixel are its colours: the set is used evenly, windows lie everywhere."""
    side = 36
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    known = torch.stack([torch.stack([rows, columns, torch.full_like(rows, i)]) for i in range(5)]).byte()
    pipeline = Pipeline(recipe("augment = pixmix").augment, mixing=known)
    frame = pipeline.frame(0, KeyedRng(1, torch.arange(500)), 0)
    found = (mixing_images(torch.zeros(500, 3, 32, 32), frame) * 255).round().long()
    assert torch.bincount(found[:, 2, 0, 0]).min() > 60
    assert sorted(set(found[:, 0, 0, 0].tolist())) == [0, 1, 2, 3, 4]
    assert sorted(set(found[:, 1, 0, 0].tolist())) == [0, 1, 2, 3, 4]
    assert torch.equal(found[7, 0, :, 0] - found[7, 0, 0, 0], torch.arange(32))
    assert mixing_images(torch.zeros(500, 3, 20, 24), frame).shape == (500, 3, 20, 24)


def test_the_built_in_set_is_complex_and_always_the_same() -> None:
    """Power falls with frequency like f^-a over a decade (Hendrycks et al. 2022: fractals, as natural images)."""
    known = fractals(3)
    assert known.shape == (96, 3, 128, 128)
    assert known.dtype == torch.uint8
    assert torch.equal(known, fractals.__wrapped__(3))
    assert len({hash(p.numpy().tobytes()) for p in known}) == 96
    assert float((known.float() / 255).std((2, 3)).amax(1).min()) > 0.1
    grey = known.float().mean(1) / 255
    power = torch.fft.fftshift(torch.fft.fft2(grey - grey.mean((1, 2), keepdim=True)).abs() ** 2, dim=(1, 2)).mean(0)
    axis = torch.arange(128) - 64
    radius = (axis[:, None] ** 2 + axis**2).sqrt().round().long()
    rings = torch.stack([power[radius == r].mean() for r in range(4, 41)])
    slope = np.polyfit(np.log(np.arange(4, 41)), np.log(rings.numpy()), 1)[0]
    assert -3.6 < slope < -1
    assert fractals(1).shape == (96, 1, 128, 128)


NET = """
net Small(classes=10) {
  input image [3, 8, 8]
  conv(4, 3) -> bn -> relu -> gap -> linear(classes)
}
recipe Mixed for Small {
  epochs  = 1
  augment = pixmix
}
"""


def test_a_net_is_trained_with_built_in_images_or_a_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "small.net"
    spec.write_text(NET)
    (tmp_path / "mix" / "below").mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.full((20, 30), 60 * i, np.uint8)).save(tmp_path / "mix" / "below" / f"{i}.png")

    def train(name: str, *settings: str) -> int:
        words = [w for s in settings for w in ("--set", s)]
        return main(["train", str(spec), "-o", str(tmp_path / name), "-q", "--no-onnx", *words])

    assert train("a") == 0
    assert train("b", 'augment=pixmix("mix", all_operations=true)') == 0
    capfd.readouterr()
    assert train("c", 'augment=pixmix("nothing")') == 1
    assert "folder of mixing images" in capfd.readouterr().err
    (tmp_path / "mix" / "x.png").write_bytes(b"no")
    assert train("d", 'augment=pixmix("mix")') == 1
    assert "x.png is not an image that can be read" in capfd.readouterr().err


def test_masks_are_refused() -> None:
    found, mistakes = resolved("recipe Test {\ndata = clutter\naugment = pixmix\nloss = dice_ce\n}")
    assert found is None
    assert mistakes[0].code == "not-supported"
