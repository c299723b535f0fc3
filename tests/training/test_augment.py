"""Augmentation against Pillow and against torch's own operations; draws per sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from recipe_harness import recipe
from torch import Tensor

from netdsl.training.augment import pixels
from netdsl.training.augment.geometry import inverse_matrix, warp
from netdsl.training.augment.operations import COLOUR, MAPS, RAND, TIMM, WIDE, amount_of
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.rng import KeyedRng


def images(count: int = 4, channels: int = 3, size: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.rand(count, channels, 6, 6, generator=generator)
    large = torch.nn.functional.interpolate(smooth, size=(size, size + 4), mode="bilinear")
    return ((large * 0.8 + 0.1) * 255).round() / 255


def pillow(x: Tensor) -> Image.Image:
    return Image.fromarray((x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


def full(value: float, count: int = 4) -> Tensor:
    return torch.full((count,), value)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: pixels.autocontrast(x), ImageOps.autocontrast),
        (lambda x: pixels.equalize(x), ImageOps.equalize),
        (lambda x: pixels.posterize(x, full(3)), lambda i: ImageOps.posterize(i, 3)),
        (lambda x: pixels.solarize(x, full(100 / 255)), lambda i: ImageOps.solarize(i, 100)),
        (lambda x: 1 - x, ImageOps.invert),
        (lambda x: pixels.brightness(x, full(1.6)), lambda i: ImageEnhance.Brightness(i).enhance(1.6)),
        (lambda x: pixels.contrast(x, full(0.4)), lambda i: ImageEnhance.Contrast(i).enhance(0.4)),
        (lambda x: pixels.saturation(x, full(1.7)), lambda i: ImageEnhance.Color(i).enhance(1.7)),
        (lambda x: pixels.sharpness(x, full(1.8)), lambda i: ImageEnhance.Sharpness(i).enhance(1.8)),
    ],
)
def test_colours_equal_pillow(ours: object, theirs: object) -> None:
    """To two of 255 levels: Pillow rounds to whole numbers in between."""
    x = images()
    got = ours(x)  # type: ignore[operator]
    for i in range(len(x)):
        expected = tensor(theirs(pillow(x[i])))  # type: ignore[operator]
        assert float((got[i] - expected).abs().max()) <= 2.5 / 255


def test_hue_equals_colorsys() -> None:
    import colorsys

    x = images(1, size=6)
    got = pixels.hue(x, full(0.3, 1))[0].flatten(1).T
    for before, after in zip(x[0].flatten(1).T.tolist(), got.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before)
        assert after == pytest.approx(colorsys.hsv_to_rgb((h + 0.3) % 1, s, v), abs=1e-5)


def test_rotation_equals_pillow_and_right_angles_are_exact() -> None:
    x = images(2, size=20)[:, :, :, :20]
    none, one = torch.zeros(2, 2), torch.ones(2)
    turned, _ = warp(x, None, inverse_matrix(full(90, 2), none, one, none), "nearest")
    assert torch.allclose(turned, torch.rot90(x, 1, (2, 3)), atol=1e-6) or torch.allclose(
        turned, torch.rot90(x, -1, (2, 3)), atol=1e-6
    )
    turned, _ = warp(x, None, inverse_matrix(full(25, 2), none, one, none), "bilinear")
    for i in range(2):
        candidates = [tensor(pillow(x[i]).rotate(a, Image.Resampling.BILINEAR)) for a in (25, -25)]
        inner = (slice(None), slice(6, 14), slice(6, 14))
        assert min(float((turned[i][inner] - c[inner]).abs().max()) for c in candidates) < 2 / 255


def test_whole_pixel_shifts_are_exact() -> None:
    x = images(2)
    none, one = torch.zeros(2, 2), torch.ones(2)
    shift = torch.tensor([[3.0, -2.0], [0.0, 5.0]])
    moved, _ = warp(x, None, inverse_matrix(torch.zeros(2), shift, one, none), "nearest")
    assert torch.equal(moved[0, :, :-2, 3:], x[0, :, 2:, :-3])
    assert float(moved[0, :, :, :3].abs().max()) == 0
    assert torch.equal(moved[1, :, 5:], x[1, :, :-5])


def run(
    text: str, x: Tensor, epoch: int = 0, mask: Tensor | None = None, samples: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    pipeline = Pipeline(recipe(f"augment = {text}").augment, mask is not None)
    samples = torch.arange(len(x)) if samples is None else samples
    target = mask if mask is not None else torch.zeros(len(x), dtype=torch.int64)
    (out,), target = pipeline((x,), target, KeyedRng(epoch + 11, samples), epoch)
    return out, target


WORDS = [
    "hflip", "vflip", "crop(padding=2)", "crop(16)", "translate(3)", "random_resized_crop(18)", "rotate(20)",
    "affine(10, (0.1, 0.1), (0.8, 1.2), 5)", "elastic(2)", "color_jitter(0.4, 0.4, 0.4, 0.1)", "grayscale(0.5)",
    "autocontrast", "equalize", "posterize(3)", "solarize(0.4)", "invert", "gaussian_noise(0.1)", "randaugment(2, 9)",
    "randaugment(2, 9, std=0.5, increasing=true, p=0.5)", "trivialaugment", "autoaugment", "autoaugment(cifar10)",
    "random_erasing(0.5)", "random_erasing(1.0, value=pixel)", "cutout(8)", "pixmix",
]  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_draws_are_per_sample_and_keyed(text: str) -> None:
    """The same sample of the same epoch comes out alike in any batch; samples and epochs differ."""
    x = images(1).expand(32, -1, -1, -1).contiguous()
    whole, _ = run(text, x)
    parts = torch.cat([run(text, x[i : i + 5], samples=torch.arange(32)[i : i + 5])[0] for i in range(0, 32, 5)])
    assert torch.equal(whole, parts)
    assert len({hash(tuple(w.flatten().tolist())) for w in whole}) > 1
    assert not torch.equal(whole, run(text, x, epoch=1)[0])
    assert torch.isfinite(whole).all()


@pytest.mark.parametrize("text", [w for w in WORDS if "noise" not in w and "pixel" not in w])
def test_pixels_stay_between_0_and_1(text: str) -> None:
    out, _ = run(text, images(16))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1 + 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "hflip",
        "vflip",
        "crop(padding=3)",
        "rotate(30)",
        "random_resized_crop(20)",
        "affine(20, (0.2, 0.2))",
        "elastic(3)",
    ],
)
def test_masks_move_with_images(text: str) -> None:
    """An image that is its own mask still is after the augmentation, where it is read without blending."""
    generator = torch.Generator().manual_seed(1)
    coarse = (torch.rand(16, 1, 4, 4, generator=generator) > 0.5).float()
    mask = torch.nn.functional.interpolate(coarse, scale_factor=6, mode="nearest")
    nearest = text[:-1] + ", interpolation=nearest)" if text[0] in "rae" and text != "hflip" else text
    out, moved = run(nearest, mask, mask=mask[:, 0].long())
    assert moved.dtype == torch.int64
    known = moved != -1  # what comes in from outside has no class
    assert torch.equal(out[:, 0].round().long()[known], moved[known])
    assert float(known.float().mean()) > 0.5
    assert bool(known.all()) == (not nearest.startswith(("crop", "rotate", "affine")))


def test_flips_flip_half_and_alternate() -> None:
    x = images(1).expand(400, -1, -1, -1).contiguous()
    out, _ = run("hflip", x)
    flipped = torch.tensor([torch.equal(o, x[0].flip(2)) for o in out])
    assert 150 < int(flipped.sum()) < 250
    first, second = (run("hflip(alternating=true)", x, epoch=e)[0] for e in (0, 1))
    assert torch.equal(first, second.flip(3))


def test_random_resized_crop_covers_what_it_says() -> None:
    """On a ramp, the read values show which box was taken: its area lies in the range, its centre moves."""
    ramp = torch.stack(torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij"))
    x = ramp[None].expand(200, -1, -1, -1).contiguous()
    out, _ = run("random_resized_crop(32, (0.25, 0.5))", x)
    height = (out[:, 0, -1, 0] - out[:, 0, 0, 0]) * 64 * 32 / 31 * 63 / 64
    width = (out[:, 1, 0, -1] - out[:, 1, 0, 0]) * 64 * 32 / 31 * 63 / 64
    area = height * width / 64**2
    assert float(area.min()) > 0.22
    assert float(area.max()) < 0.54
    assert float((width / height).min()) > 0.7
    assert float(out[:, 0].mean((1, 2)).std()) > 0.05


def test_policies_pick_operations_per_sample_in_the_published_ranges() -> None:
    """The ends of the ranges of the papers and torchvision (RandAugment, TrivialAugmentWide) and timm (inc1)."""
    top, size = torch.ones(1), torch.Size((1, 3, 331, 331))

    def most(space: dict[str, object], name: str) -> float:
        return round(float(amount_of(space[name], top, torch.ones(1), size)), 4)  # type: ignore[arg-type]

    assert [most(RAND, n) for n in ("rotate", "shear_x", "translate_x", "brightness", "posterize", "solarize")] == [
        30, 0.3, 150, 1.9, 4, 0,
    ]  # fmt: skip
    assert [most(WIDE, n) for n in ("rotate", "shear_x", "translate_x", "color", "posterize")] == [
        135,
        0.99,
        32,
        1.99,
        2,
    ]
    assert [most(TIMM, n) for n in ("rotate", "translate_y", "posterize", "solarize")] == [
        30,
        round(0.45 * 331, 4),
        0,
        0,
    ]
    assert len(RAND) == 14
    assert len(TIMM) == 15
    assert set(RAND) | set(TIMM) | set(WIDE) == {*COLOUR, *MAPS, "identity"}


def test_bits_that_posterize_keeps_are_timms_and_torchvisions() -> None:
    """timm: 4 - int(level / 10 * 4); torchvision: 8 - round(bin / (30 / 4)) of 31 bins, to 2 bits in the wide space."""
    size, sign = torch.Size((1, 3, 8, 8)), torch.ones(1)
    for level in (0, 2, 2.4, 2.6, 5, 7.5, 9, 9.9, 10):
        found = amount_of(TIMM["posterize"], torch.tensor([level / 10]), sign, size)
        assert float(found) == 4 - int(level / 10 * 4), level
    bins = torch.arange(31)
    for space, range_ in ((RAND, 4), (WIDE, 6)):
        expected = 8 - (bins / (30 / range_)).round()
        assert torch.equal(amount_of(space["posterize"], bins / 30, torch.ones(31), size), expected)


@pytest.mark.parametrize("word", ["randaugment(1, 10", "trivialaugment(", "autoaugment("])
def test_policies_fill_with_the_mean_colour(word: str) -> None:
    """An image all of the mean colour stays wherever it is moved; else black comes in. AutoAugment moves more."""
    mean = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)
    x = mean.expand(256, 3, 16, 16).contiguous()
    changed = {}
    for fill in ("mean", "zero"):
        text = f"{word}, interpolation=bicubic, fill={fill})".replace("(, ", "(")
        pipeline = Pipeline(recipe(f"augment = {text}").augment, standard=(mean, torch.full_like(mean, 0.25)))
        (out,), _ = pipeline((x,), torch.zeros(256), KeyedRng(0, torch.arange(256)), 0)
        flat = (out - out.mean((2, 3), keepdim=True)).abs().amax((1, 2, 3)) < 1e-5
        changed[fill] = int((~flat).sum())
    assert changed["mean"] == 0 or (word == "autoaugment(" and changed["mean"] < changed["zero"] // 4), changed
    assert changed["zero"] > 40


def test_the_amount_is_nothing_at_strength_0() -> None:
    x = images(8)
    out, _ = run("randaugment(1, 0)", x)
    same = torch.tensor([float((a - b).abs().max()) < 3 / 255 for a, b in zip(out, x, strict=True)])
    assert same.sum() >= 4  # all but autocontrast and equalize, which have no strength


def test_erasing_takes_the_area_it_says() -> None:
    x = torch.ones(300, 1, 40, 40)
    out, _ = run("random_erasing(1.0, (0.1, 0.2))", x)
    share = (out == 0).float().mean((1, 2, 3))
    assert float(share.min()) > 0.07
    assert float(share.max()) < 0.24
    half, _ = run("random_erasing(0.25)", x)
    assert 45 < int((half.flatten(1).min(1).values == 0).sum()) < 105
    cut, _ = run("cutout(8)", x)
    assert float((cut == 0).float().sum((1, 2, 3)).max()) == 64


def test_erasing_writes_what_the_net_sees_as_zero_or_noise() -> None:
    """Published pipelines erase after standardising: zero is the data's mean colour, noise has the data's deviation."""
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in ((0.48, 0.45, 0.4), (0.2, 0.25, 0.3)))
    x = torch.full((64, 3, 32, 32), 5.0)
    draws = KeyedRng(1, torch.arange(64))

    def erased(text: str) -> Tensor:
        pipeline = Pipeline(recipe(f"augment = {text}").augment, standard=(mean, std))
        return (pipeline((x,), torch.zeros(64), draws, 0)[0][0] - mean) / std

    for text in ("random_erasing(1.0)", "cutout(8)"):
        out = erased(text)
        inside = ((out * std + mean) - 5).abs().amax(1, keepdim=True) > 1e-3
        assert float((out * inside).abs().max()) < 1e-5
        assert bool(inside.any())
    noise = erased("random_erasing(1.0, (0.9, 0.95), (0.99, 1.01), value=pixel)")
    seen = noise[(noise * std + mean - 5).abs() > 1e-3]
    assert (float(seen.mean()), float(seen.std())) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))


def test_cutout_may_lie_within_the_image() -> None:
    out, _ = run("cutout(8, inside=true)", torch.ones(200, 1, 32, 32))
    assert (out == 0).float().sum((1, 2, 3)).unique().tolist() == [64]
    assert bool((out[:, 0, 0] == 0).any())  # at the border too


def test_elastic_moves_the_grids_points_by_the_deviation_it_says() -> None:
    """An image of columns tells how far its corners (points of the grid) came from; none where `std` is 0."""
    columns = torch.arange(64.0).expand(1, 64, 64).contiguous()[None].expand(2000, -1, -1, -1) / 255
    out, _ = run("elastic(4)", columns)
    middle = (out[:, 0, 31:33, 31:33].mean((1, 2)) - columns[0, 0, 31:33, 31:33].mean()) * 255
    assert float(middle.std()) == pytest.approx(4, rel=0.06)
    assert float(middle.mean()) == pytest.approx(0, abs=0.3)
    assert torch.allclose(run("elastic(0)", columns[:2])[0], columns[:2], atol=1e-6)
