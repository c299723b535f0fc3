"""Every augmentation on photographs, pixel by pixel, against Pillow and the formulas of torchvision and timm."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from recipe_harness import recipe
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional

from netdsl.recipe import augmentations as words
from netdsl.recipe.registry import registered
from netdsl.training.augment import pixels
from netdsl.training.augment.geometry import inverse_matrix, warp
from netdsl.training.augment.learned import POLICIES
from netdsl.training.augment.operations import RAND, TIMM, WIDE, Range, Reading, amount_of, operate
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.augment.registry import Frame
from netdsl.training.data.fit import resize
from netdsl.training.data.mix import Mix
from netdsl.training.readers.images import View
from netdsl.training.rng import KeyedRng

Bilinear, Bicubic, Nearest = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST
Affine = Image.Transform.AFFINE


@lru_cache
def photograph(name: str = "china.jpg", box: tuple[int, int, int, int] = (200, 120, 330, 221)) -> Image.Image:
    """A part of a photograph of scikit-learn, 130 x 101 pixels unless told otherwise."""
    return Image.fromarray(load_sample_image(name)).crop(box)


def tensor(image: Image.Image) -> Tensor:
    """[1, C, H, W] from 0 to 1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def levels(x: Tensor, image: Image.Image) -> Tensor:
    """How far an image [1, C, H, W] is from Pillow's, in levels of 255."""
    return ((x - tensor(image)) * 255).abs()


def torchvision_level(space: str, name: str, bin_: int, size: tuple[int, int]) -> float:
    """The amount of an operation at one of 31 bins (10 for AutoAugment), as torchvision's `_augmentation_space`."""
    bins = 10 if space == "auto" else 31
    wide = space == "wide"
    whole, shift = (6, 32.0) if wide else (4, 0.0)
    factor, shear, turn = (0.99, 0.99, 135.0) if wide else (0.9, 0.3, 30.0)
    ends = {
        "shear_x": shear, "shear_y": shear, "rotate": turn,
        "translate_x": shift or 150 / 331 * size[0], "translate_y": shift or 150 / 331 * size[1],
        **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), factor),
    }  # fmt: skip
    if name in ends:
        return float(np.linspace(0.0, ends[name], bins)[bin_])
    if name == "posterize":
        return float(8 - np.round(np.arange(bins) / ((bins - 1) / whole))[bin_])
    return float(np.linspace(255.0, 0.0, bins)[bin_]) if name == "solarize" else 0.0


ENHANCE = {
    "brightness": ImageEnhance.Brightness,
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}
FREE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "autocontrast": ImageOps.autocontrast, "equalize": ImageOps.equalize, "invert": ImageOps.invert,
}  # fmt: skip


def torchvision_op(image: Image.Image, name: str, amount: float) -> Image.Image:
    """torchvision's `_apply_op` with nearest interpolation; sheared about [0, 0], shifted by `int(amount)`."""
    if name in ENHANCE:
        return ENHANCE[name](image).enhance(1.0 + amount)
    maps = {
        "shear_x": (1, amount, 0, 0, 1, 0), "shear_y": (1, 0, 0, amount, 1, 0),
        "translate_x": (1, 0, -int(amount), 0, 1, 0), "translate_y": (1, 0, 0, 0, 1, -int(amount)),
    }  # fmt: skip
    if name in maps:
        return image.transform(image.size, Affine, maps[name], Nearest)
    if name == "rotate":
        return image.rotate(amount, Nearest)
    if name == "posterize":
        return ImageOps.posterize(image, int(amount))
    return ImageOps.solarize(image, amount) if name == "solarize" else FREE[name](image)  # type: ignore[arg-type]


MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def hold(found: Tensor, theirs: Callable[[float], Image.Image], amount: float, name: str) -> None:
    """Colours to one level, which Pillow cuts off; moves exactly, but for ties between two pixels, which a little more
    or less decides."""
    off = levels(found, theirs(amount))
    if name in MOVES:
        for little in (1 - 1e-4, 1 + 1e-4):
            off = torch.minimum(off, levels(found, theirs(amount * little)))
        assert float((off > 0.5).any(1).float().mean()) < 0.002, name
    else:
        assert float(off.max()) <= (0.01 if name in ("posterize", "solarize", "equalize", "invert") else 1.6), name


def ours(space: dict[str, Range], name: str, level: float, sign: float, image: Image.Image) -> Tensor:
    x = tensor(image)
    amount = amount_of(space[name], torch.tensor([level]), torch.tensor([sign]), x.shape)
    return operate(name, x, amount, Reading())


@pytest.mark.parametrize("space", ["rand", "wide", "auto"])
@pytest.mark.parametrize("name", [n for n in (*RAND, "invert") if n != "identity"])
def test_operations_of_policies_are_torchvisions(space: str, name: str) -> None:
    table = {"rand": RAND, "wide": WIDE, "auto": {**RAND, "invert": TIMM["invert"]}}[space]
    bins = 10 if space == "auto" else 31
    if name not in table:
        pytest.skip("not in this space")
    for photo in (photograph(), photograph("flower.jpg")):
        for bin_ in (0, 2, 5, bins // 2, bins - 1):
            for sign in (1.0, -1.0) if table[name].signed else (1.0,):
                amount = torchvision_level(space, name, bin_, photo.size)
                found = ours(table, name, bin_ / (bins - 1), sign, photo)
                hold(found, partial(torchvision_op, photo, name), sign * amount, name)


def timm_op(image: Image.Image, name: str, sign: float, level: float) -> Image.Image:
    """timm's increasing operations at a level from 0 to 10 (`_RAND_INCREASING_TRANSFORMS`)."""
    if name in ENHANCE:
        return ENHANCE[name](image).enhance(max(0.1, 1.0 + sign * level / 10 * 0.9))
    slope, width, height = sign * level / 10 * 0.3, *(sign * level / 10 * 0.45 * s for s in image.size)
    maps = {
        "shear_x": (1, slope, 0, 0, 1, 0), "shear_y": (1, 0, 0, slope, 1, 0),
        "translate_x": (1, 0, -width, 0, 1, 0), "translate_y": (1, 0, 0, 0, 1, -height),
    }  # fmt: skip
    if name in maps:
        return image.transform(image.size, Affine, maps[name], Nearest)
    if name == "rotate":
        return image.rotate(sign * level / 10 * 30, Nearest)
    if name == "posterize":
        bits = 4 - int(level / 10 * 4)
        return ImageOps.posterize(image, bits) if bits else image.point([0] * 768)
    if name == "solarize":
        return ImageOps.solarize(image, 256 - min(256, int(level / 10 * 256)))
    if name == "solarize_add":
        add = int(level / 10 * 110)
        table = [min(255, i + add) if i < 128 else i for i in range(256)]
        return image.point(table * 3)
    return FREE[name](image)


@pytest.mark.parametrize("name", list(TIMM))
def test_operations_of_the_increasing_space_are_timms(name: str) -> None:
    for level in (0, 2.5, 4.9, 7, 9, 9.5, 10):
        for sign in (1.0, -1.0) if TIMM[name].signed else (1.0,):
            hold(
                ours(TIMM, name, level / 10, sign, photograph()),
                partial(timm_op, photograph(), name, sign),
                level,
                name,
            )


def test_policies_apply_their_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words' results are those operations in their order: every sample of a batch is one of Pillow's."""
    photo = photograph("china.jpg", (200, 120, 232, 152))
    x = tensor(photo).expand(24, -1, -1, -1).contiguous()
    known = []
    for name, kind in WIDE.items():
        signs = (1, -1) if kind.signed else (1,)
        amounts = {s * torchvision_level("wide", name, b, photo.size) for b in range(31) for s in signs}
        known += [photo if name == "identity" else torchvision_op(photo, name, a) for a in amounts]
    table = torch.cat([tensor(k) for k in known])
    pipeline = Pipeline(recipe("augment = trivialaugment").augment)
    (found,), _ = pipeline((x,), torch.zeros(24), KeyedRng(3, torch.arange(24)), 0)
    for image in found:
        off = ((table - image).abs() * 255 > 1.6).float().mean((1, 2, 3))
        assert float(off.min()) < 0.02


def test_learned_policies_have_operations_of_the_space() -> None:
    names = {choice[0] for policy in POLICIES.values() for pair in policy for choice in pair}
    assert names <= {*RAND, "invert"}


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "rotate", "translate_x"])
@pytest.mark.parametrize("fill", [0.0, 0.4])
def test_bilinear_moves_are_torchvisions(name: str, fill: float) -> None:
    """torchvision's `_apply_grid_transform` blends the border with the fill by a mask that is moved alike."""
    photo = photograph()
    x, (width, height) = tensor(photo), photo.size
    slope, centre = 0.21, (width / 2, height / 2)
    turn = math.radians(17.0)  # Pillow turns what is read the other way
    cos, sin = math.cos(turn), math.sin(turn)
    # Inverse maps in pixels whose corner is the origin.
    matrix = {
        "shear_x": ((1, slope, 0), (0, 1, 0)),
        "shear_y": ((1, 0, 0), (slope, 1, 0)),
        "translate_x": ((1, 0, -9.5), (0, 1, 0)),
        "rotate": (
            (cos, sin, centre[0] - cos * centre[0] - sin * centre[1]),
            (-sin, cos, centre[1] + sin * centre[0] - cos * centre[1]),
        ),
    }[name]
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    grid = np.stack([r[0] * columns + r[1] * rows + r[2] for r in matrix], -1) * 2 / np.array(photo.size) - 1
    both = functional.grid_sample(
        torch.cat([x, torch.ones(1, 1, height, width)], 1), torch.from_numpy(grid).float()[None], align_corners=False
    )
    expected = both[:, :3] + (1 - both[:, 3:]) * fill  # the image is weighed by the mask already
    amount = {"rotate": -17.0, "translate_x": 9.5}.get(name, slope)
    found = operate(name, x, torch.tensor([amount]), Reading("bilinear", fill))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


def test_affine_is_torchvisions() -> None:
    """`_get_inverse_affine_matrix` and Pillow's reading of it."""
    photo = photograph()
    angle, (tx, ty), scale, (sx, sy) = 25.0, (7, -4), 1.2, (10.0, 5.0)
    rot, sx_, sy_ = math.radians(angle), math.radians(sx), math.radians(sy)
    a = math.cos(rot - sy_) / math.cos(sy_)
    b = -math.cos(rot - sy_) * math.tan(sx_) / math.cos(sy_) - math.sin(rot)
    c = math.sin(rot - sy_) / math.cos(sy_)
    d = -math.sin(rot - sy_) * math.tan(sx_) / math.cos(sy_) + math.cos(rot)
    cx, cy = photo.width / 2, photo.height / 2
    m = [d / scale, -b / scale, 0.0, -c / scale, a / scale, 0.0]
    m[2] = m[0] * (-cx - tx) + m[1] * (-cy - ty) + cx
    m[5] = m[3] * (-cx - tx) + m[4] * (-cy - ty) + cy
    expected = photo.transform(photo.size, Affine, m, Nearest)
    matrix = inverse_matrix(
        torch.tensor([angle]), torch.tensor([[tx, ty]]).float(), torch.tensor([scale]), torch.tensor([[sx, sy]])
    )
    hold(warp(tensor(photo), None, matrix, "nearest")[0], lambda amount: expected, 1.0, "rotate")


def applied(text: str, x: Tensor, seed: int = 0, mask: Tensor | None = None) -> tuple[Tensor, Any]:
    """A component applied to images, and the frame it drew from."""
    pipeline = Pipeline(recipe(f"augment = {text}").augment, mask is not None)
    draws = KeyedRng(seed, torch.arange(len(x)))
    target = torch.zeros(len(x)) if mask is None else mask
    (found,), moved = pipeline((x,), target, draws, 0)
    frame = pipeline.frame(0, draws, 0)
    return found, (frame, moved)


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ("autocontrast(1.0)", ImageOps.autocontrast),
        ("equalize(1.0)", ImageOps.equalize),
        ("invert(1.0)", ImageOps.invert),
        ("grayscale(1.0)", lambda i: i.convert("L").convert("RGB")),
        *[(f"posterize({b}, 1.0)", lambda i, b=b: ImageOps.posterize(i, b)) for b in range(1, 9)],
        *[(f"solarize({t / 255}, 1.0)", lambda i, t=t: ImageOps.solarize(i, t)) for t in (0, 1, 100, 127, 254, 255)],
        ("resize(57)", lambda i: i.resize((57, 57), Bilinear)),
        ("hflip(1.0)", ImageOps.mirror),
        ("vflip(1.0)", ImageOps.flip),
    ],
)
@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_components_are_pillows(text: str, theirs: Callable[[Image.Image], Image.Image], name: str) -> None:
    found, _ = applied(text, tensor(photograph(name)))
    exact = text.startswith(("equ", "inv", "post", "sol", "hf", "vf"))
    assert float(levels(found, theirs(photograph(name))).max()) <= (0.01 if exact else 1.01)


def test_operations_leave_a_channel_without_contrast() -> None:
    x = tensor(photograph()).clone()
    x[:, 1] = 80 / 255
    image = Image.fromarray((x[0].permute(1, 2, 0) * 255).round().byte().numpy())
    assert float(levels(pixels.autocontrast(x), ImageOps.autocontrast(image)).max()) <= 1
    assert float(levels(pixels.equalize(x), ImageOps.equalize(image)).max()) < 0.01


@pytest.mark.parametrize("reach", [(0.4, 0.4, 0.4, 0.0), (1.5, 2.0, 1.2, 0.0), (0.3, 0.3, 0.3, 0.3)])
def test_color_jitter_is_torchvisions(reach: tuple[float, float, float, float]) -> None:
    """Factors uniform from max(0, 1 - a) to 1 + a, applied in the order that was drawn, each result cut to [0, 1]."""
    x = tensor(photograph()).expand(6, -1, -1, -1).contiguous()
    found, (frame, _) = applied(f"color_jitter{reach}", x)
    order, drawn = frame.uniform("order", 4).argsort(1), frame.uniform("factor", 4)
    for i in range(6):
        image = x[i].permute(1, 2, 0).double().numpy()
        for turn in range(4):
            which = int(order[i, turn])
            low = -reach[3] if which == 3 else max(0.0, 1 - reach[which])
            high = reach[3] if which == 3 else 1 + reach[which]
            image = jittered(image, which, low + (high - low) * float(drawn[i, which]))
        assert float(np.abs(found[i].permute(1, 2, 0).numpy() - image).max()) * 255 < 0.05


def jittered(image: np.ndarray, which: int, amount: float) -> np.ndarray:
    """brightness, contrast, saturation or hue of torchvision's `functional` on floats [H, W, 3]."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    if which == 0:
        return np.clip(image * amount, 0, 1)
    if which == 1:
        return np.clip(amount * image + (1 - amount) * grey.mean(), 0, 1)
    if which == 2:
        return np.clip(amount * image + (1 - amount) * grey[..., None], 0, 1)
    import colorsys

    flat = [colorsys.rgb_to_hsv(*p) for p in image.reshape(-1, 3)]
    return np.array([colorsys.hsv_to_rgb((h + amount) % 1.0, s, v) for h, s, v in flat]).reshape(image.shape)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [23, 61, 199])
def test_random_resized_crop_of_arrays_is_pillows(interpolation: str, size: int) -> None:
    """As from files: the box is cut, and resized with antialiasing."""
    photo = photograph("flower.jpg", (0, 0, 500, 400))
    x = tensor(photo).expand(3, -1, -1, -1).contiguous()
    word = words.RandomResizedCrop(size=size, interpolation=interpolation)  # type: ignore[arg-type]
    mask = (x[:, 0] * 255).long()
    found, (frame, moved) = applied(f"random_resized_crop({size}, interpolation={interpolation})", x, 1, mask)
    from netdsl.training.augment.geometry import crop_boxes

    for i, (top, left, height, width) in enumerate(zip(*crop_boxes(word, 400, 500, frame), strict=True)):
        part = photo.crop(tuple(map(int, (left, top, left + width, top + height))))  # type: ignore[arg-type]
        expected = part.resize((size, size), Image.Resampling[interpolation.upper()])
        off = levels(found[i : i + 1], expected)
        if interpolation == "nearest":  # ties between two rows or columns
            assert float((off > 0.5).float().mean()) < 0.02
        else:
            assert float(off.max()) <= 1.3
        near = np.asarray(part.resize((size, size), Nearest))[..., 0]
        assert np.mean(moved[i].numpy() != near) < 0.02


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_scale_jitter_of_arrays_is_pillows(interpolation: str) -> None:
    """As from files: the image is resized as a whole, cut, and filled up. Between odd sides there are no ties."""
    photo, count = photograph("flower.jpg", (0, 0, 121, 97)), 6
    x = tensor(photo).expand(count, -1, -1, -1).contiguous()
    word = f"scale_jitter(64, scale=[0.2, 2], interpolation={interpolation}, fill=0.4)"
    found, (frame, moved) = applied(word, x, 1, (x[:, 0] * 255).long())
    for i, (expected, shown) in enumerate(by_pillow(photo, 64, frame, interpolation)):
        off = levels(found[i : i + 1], expected)
        assert float(off.max()) <= (0.01 if interpolation == "nearest" else 1.3)
        near = by_pillow(photo, 64, frame, "nearest")[i][0]
        truth = np.full((64, 64), -1)
        truth[shown] = np.asarray(near)[shown][..., 0]
        np.testing.assert_array_equal(moved[i].numpy(), truth)


def by_pillow(
    photo: Image.Image, size: int, frame: Frame, interpolation: str
) -> list[tuple[Image.Image, tuple[slice, slice]]]:
    """torchvision's ScaleJitter and FixedSizeCrop on Pillow, and which part of the square is shown, for each draw."""
    from netdsl.training.augment.geometry import jitter_draws

    draws, found = jitter_draws(words.ScaleJitter(size=size, scale=(0.2, 2.0)), frame), []
    for scale, corner in zip(draws.scale.tolist(), draws.corner.tolist(), strict=True):
        assert 0.2 <= scale <= 2
        ratio = min(size / photo.height, size / photo.width) * scale
        width, height = int(photo.width * ratio), int(photo.height * ratio)
        resized = photo.resize((width, height), Image.Resampling[interpolation.upper()])
        top, left = (int(c * (max(0, s - size) + 1)) for c, s in zip(corner, (height, width), strict=True))
        shown = slice(0, min(height, size)), slice(0, min(width, size))
        whole = Image.new("RGB", (size, size), (102, 102, 102))
        whole.paste(resized.crop((left, top, left + shown[1].stop, top + shown[0].stop)))
        found.append((whole, shown))
    return found


@pytest.mark.parametrize(("shape", "ratio"), [((90, 20), (0.75, 4 / 3)), ((21, 90), (0.75, 4 / 3))])
def test_random_resized_crop_falls_back_to_torchvisions_middle(
    shape: tuple[int, int], ratio: tuple[float, float]
) -> None:
    """No box of the whole area fits into a narrow image."""
    from netdsl.training.augment.geometry import crop_boxes

    height, width = shape
    word = words.RandomResizedCrop(size=8, scale=(1.0, 1.0), ratio=ratio)
    frame = Pipeline((word,)).frame(0, KeyedRng(0, torch.arange(2)), 0)
    if width / height < min(ratio):
        w, h = width, round(width / min(ratio))
    else:
        h, w = height, round(height * max(ratio))
    expected = (height - h) // 2, (width - w) // 2, h, w
    assert [tuple(map(int, box)) for box in zip(*crop_boxes(word, height, width, frame), strict=True)] == [expected] * 2


SIZES = [(640, 427), (427, 640), (500, 375), (333, 500), (300, 225), (257, 256), (1000, 333)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize_", "crop"), [(256, 224), (232, 224), (235, 224), (0, 224)])
def test_evaluation_is_torchvisions_resize_and_centre_crop(size: tuple[int, int], resize_: int, crop: int) -> None:
    photo = photograph("china.jpg", (0, 0, 640, 427)).resize(size, Bilinear)
    side = resize_ or crop
    short, long = min(size), max(size)
    other = int(side * long / short)
    scaled = photo.resize((side, other) if size[0] <= size[1] else (other, side), Bilinear)
    top, left = (round((s - crop) / 2.0) for s in (scaled.height, scaled.width))
    expected = np.asarray(scaled.crop((left, top, left + crop, top + crop)))
    found = View((3, 224, 224), resize_, crop)(photo).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, expected)


def test_arrays_are_resized_as_pillow_does() -> None:
    for shape in ((40, 60), (150, 140)):
        found = resize(tensor(photograph()).mul(255).round().byte(), shape)
        expected = np.asarray(photograph().resize(shape[::-1], Bilinear)).astype(int)
        assert np.abs(found[0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_crops_are_windows_of_the_padded_image(mode: str) -> None:
    photo = photograph()
    x = tensor(photo).expand(4, -1, -1, -1).contiguous()
    found, (frame, _) = applied(f"crop(64, padding=9, mode={mode})", x)
    how: Any = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}[mode]
    padded = np.pad(np.asarray(photo), ((9, 9), (9, 9), (0, 0)), mode=how)
    spare = frame.uniform("corner", 2)
    for i in range(4):
        top, left = (int(float(s) * (n - 64 + 1)) for s, n in zip(spare[i], padded.shape, strict=False))
        got = (found[i] * 255).round().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(got, padded[top : top + 64, left : left + 64])


def test_random_erasing_is_torchvisions_rectangle() -> None:
    """The first of ten tries with h < H and w < W: h = round(sqrt(area * ratio)), w = round(sqrt(area / ratio))."""
    x = tensor(photograph()).expand(16, -1, -1, -1).contiguous()
    found, (frame, _) = applied("random_erasing(1.0, (0.02, 0.9))", x)
    height, width = x.shape[2:]
    area = frame.between("area", 0.02, 0.9, 10) * height * width
    ratio = frame.between("ratio", math.log(0.3), math.log(3.3), 10).exp()
    corner = frame.uniform("corner", 2)
    for i in range(16):
        expected = x[i].clone()
        for a, r in zip(area[i].tolist(), ratio[i].tolist(), strict=True):
            h, w = round(math.sqrt(a * r)), round(math.sqrt(a / r))
            if h < height and w < width:
                top, left = int(float(corner[i, 0]) * (height - h + 1)), int(float(corner[i, 1]) * (width - w + 1))
                expected[:, top : top + h, left : left + w] = 0
                break
        assert torch.equal(found[i], expected)


@pytest.mark.parametrize("size", [(33, 47), (32, 32), (224, 171), (7, 5)])
@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
def test_cutmix_pastes_the_papers_box(size: tuple[int, int], per: str) -> None:
    """cut = int(side * sqrt(1 - l)), from centre - cut // 2 to centre + cut // 2, as the paper's code, torchvision
    and timm; targets by the area that is left."""
    count = 12
    own, other = torch.zeros(count, 1, *size), torch.ones(count, 1, *size)
    mix = Mix(words.Cutmix(per=per), 5)  # type: ignore[arg-type]
    places = torch.arange(count)
    share = mix.share(places).double().tolist()
    targets = torch.eye(2)[[0] * count + [1] * count]
    (mixed,), target = mix.apply((torch.cat([own, other]),), targets, places)
    centre = KeyedRng(5, mix._draws(places)).uniform("box", 2)
    for i in range(count):
        expected = torch.zeros(size)
        y, x = (int(float(c) * s) for c, s in zip(centre[i], size, strict=True))
        h, w = (int(s * math.sqrt(1 - share[i])) for s in size)
        expected[max(0, y - h // 2) : max(0, y + h // 2), max(0, x - w // 2) : max(0, x + w // 2)] = 1
        assert torch.equal(mixed[i, 0], expected)
        assert float(target[i, 1]) == pytest.approx(float(expected.mean()), abs=1e-6)


@pytest.mark.parametrize("word", ["random_resized_crop(48)", "scale_jitter(48, scale=[0.2, 2], fill=0.5)"])
def test_images_of_files_and_of_arrays_are_cut_alike(word: str) -> None:
    """The same draw gives the same pixels, whether the image lies in a file or in memory."""
    from netdsl.training.augment.cuts import first_cut

    photo = photograph("flower.jpg", (0, 0, 300, 200))
    pipeline = Pipeline(recipe(f"augment = {word}").augment)
    draws = KeyedRng(2, torch.arange(5))
    cut = first_cut(pipeline, draws, 0)
    assert cut is not None
    view = View((3, 48, 48))
    (found,), _ = pipeline((tensor(photo).expand(5, -1, -1, -1).contiguous(),), torch.zeros(5), draws, 0)
    for i in range(5):
        assert float((found[i] * 255 - cut.filled(view.cut(photo, i, cut), cut.fill)).abs().max()) <= 1.3


def void_or(mask: np.ndarray, inverse: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """A mask as Pillow moves it without blending; -1 for what comes in from outside."""
    moved = np.asarray(inverse(Image.fromarray(mask.astype(np.float32) + 1, "F")))
    return moved.astype(np.int64) - 1


def masks_of(x: Tensor) -> Tensor:
    """Classes that follow the picture: a fifth of its levels each."""
    return (x[:, 0] * 4.99).long()


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_rotate_is_pillows_with_its_mask(fill: float) -> None:
    photo = photograph()
    x = tensor(photo).expand(5, -1, -1, -1).contiguous()
    found, (frame, moved) = applied(f"rotate(40, interpolation=nearest, fill={fill})", x, 4, masks_of(x))
    angle = frame.between("angle", -40, 40)
    for i, a in enumerate(angle.tolist()):
        colour = (round(fill * 255),) * 3
        off = (found[i] - tensor(photo.rotate(-a, Nearest, fillcolor=colour))[0]).abs().amax(0) > 2 / 255
        assert float(off.float().mean()) < 0.003  # ties between two pixels
        mask = void_or(masks_of(x)[0].numpy(), lambda image, a=a: image.rotate(-a, Nearest))
        assert np.mean(moved[i].numpy() != mask) < 0.003


def test_affine_is_pillows_with_its_mask() -> None:
    """torchvision draws a shift in whole pixels up to a share of each side, a scale, a turn and a shear along x."""
    photo = photograph()
    x = tensor(photo).expand(5, -1, -1, -1).contiguous()
    text = "affine(30, (0.2, 0.1), (0.7, 1.4), 12, interpolation=nearest)"
    found, (frame, moved) = applied(text, x, 2, masks_of(x))
    size = torch.tensor(photo.size)
    shift = (frame.between("shift", -1, 1, 2) * size * torch.tensor([0.2, 0.1])).round()
    drawn = zip(
        *(
            frame.between(n, *r).tolist()
            for n, r in (("angle", (-30, 30)), ("scale", (0.7, 1.4)), ("shear", (-12, 12)))
        ),
        shift.tolist(),
        strict=True,
    )
    centre = np.array([*photo.size]) / 2
    for i, (angle, scale, shear, by) in enumerate(drawn):
        turn, lean = math.radians(angle), math.radians(shear)
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        forward = rotation @ np.array([[1, -math.tan(lean)], [0, 1]]) * scale
        inverse = np.linalg.inv(forward)
        offset = centre - inverse @ (centre + np.array(by))
        m = tuple(np.column_stack([inverse, offset]).ravel())
        expected = tensor(photo.transform(photo.size, Affine, m, Nearest))[0]
        assert float(((found[i] - expected).abs().amax(0) > 1e-3).float().mean()) < 0.003
        mask = void_or(masks_of(x)[0].numpy(), lambda image, m=m: image.transform(image.size, Affine, m, Nearest))
        assert np.mean(moved[i].numpy() != mask) < 0.003


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_translate_is_a_shift_by_whole_pixels(mode: str) -> None:
    photo = photograph()
    x = tensor(photo).expand(6, -1, -1, -1).contiguous()
    found, (_, moved) = applied(f"translate(7, mode={mode})", x, 3, masks_of(x))
    how: Any = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}[mode]
    height, width = x.shape[2:]
    padded = np.pad(x[0].numpy(), ((0, 0), (7, 7), (7, 7)), mode=how)
    outside = {"constant_values": -1} if mode == "zeros" else {}
    mask = np.pad(masks_of(x)[0].numpy(), 7, mode=how, **outside)
    places = set()
    for i in range(6):
        fits = [
            (t, left)
            for t in range(15)
            for left in range(15)
            if np.array_equal(found[i].numpy(), padded[:, t : t + height, left : left + width])
        ]
        assert len(fits) == 1
        t, left = fits[0]
        places.add(fits[0])
        np.testing.assert_array_equal(moved[i].numpy(), mask[t : t + height, left : left + width])
    assert len(places) > 3


def cubic_field(points: np.ndarray, size: int) -> np.ndarray:
    """A row of points [P, ...] read at `size` places from end to end by Keys' cubic, a = -0.75, ends repeated."""
    at = np.linspace(0, len(points) - 1, size)
    found = np.zeros((size, *points.shape[1:]))
    for i, place in enumerate(at):
        base = min(int(place), len(points) - 1)
        for k in range(base - 1, base + 3):
            d = abs(place - k)
            near = (1.25 * d - 2.25) * d * d + 1
            far = ((-0.75 * d + 3.75) * d - 6) * d + 3
            weight = near if d <= 1 else far if d < 2 else 0.0
            found[i] += weight * points[min(max(k, 0), len(points) - 1)]
    return found


@pytest.mark.parametrize("grid", [3, 5])
def test_elastic_is_scipys_reading_of_a_cubic_field(grid: int) -> None:
    """Ronneberger et al.: displacements on a coarse grid, those of pixels by bicubic interpolation; mirrored."""
    photo = photograph()
    x = tensor(photo).expand(2, -1, -1, -1).contiguous()
    found, (frame, moved) = applied(f"elastic(6, grid={grid})", x, 5, masks_of(x))
    points = 6 * frame.normal("moved", 2, grid, grid).double().numpy()
    height, width = x.shape[2:]
    rows, columns = np.mgrid[0:height, 0:width]
    for i in range(2):
        fields = [cubic_field(cubic_field(p, height).T, width).T for p in points[i]]
        at = np.stack([rows + fields[1], columns + fields[0]])
        expected = np.stack([map_coordinates(c.double().numpy(), at, order=1, mode="reflect") for c in x[i]])
        assert float(np.abs(found[i].numpy() - expected).max()) < 1e-3
        mask = map_coordinates(masks_of(x)[i].numpy(), at, order=0, mode="reflect")
        assert np.mean(moved[i].numpy() != mask) < 0.002


@pytest.mark.parametrize("times", [False, True])
def test_noise_is_added_or_multiplied(times: bool) -> None:
    x = tensor(photograph()).expand(40, -1, -1, -1).contiguous()
    found, _ = applied(f"gaussian_noise(0.2, multiplicative={str(times).lower()})", x, 1)
    drawn = (found / x.clamp(min=1e-3) - 1)[x > 0.1] if times else found - x
    assert float(drawn.mean()) == pytest.approx(0, abs=2e-3)
    assert float(drawn.std()) == pytest.approx(0.2, rel=0.01)
    assert float(((drawn / 0.2) ** 4).mean()) == pytest.approx(3, rel=0.05)  # of a normal distribution


@pytest.mark.parametrize("size", [16, 40, 7])
def test_cutout_is_the_papers_square(size: int) -> None:
    """Their code: from `centre - length // 2` to `centre + length // 2`, cut off at the border. (It makes a square of 6
    of an odd length of 7.)"""
    x = tensor(photograph()).expand(8, -1, -1, -1).contiguous()
    found, (frame, _) = applied(f"cutout({size})", x)
    height, width = x.shape[2:]
    for i, (down, right) in enumerate(frame.uniform("centre", 2).tolist()):
        y, left = int(down * height), int(right * width)
        expected = x[i].clone()
        rows, columns = (slice(max(0, at - size // 2), max(0, at - size // 2 + size)) for at in (y, left))
        expected[:, rows, columns] = 0
        assert torch.equal(found[i], expected)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10"])
def test_autoaugment_is_torchvisions_pair_of_operations(policy: str) -> None:
    """Of a drawn pair each operation with its chance, by torchvision's amounts and Pillow's pixels."""
    photo = photograph()
    x = tensor(photo).expand(24, -1, -1, -1).contiguous()
    found, (frame, _) = applied(f"autoaugment({policy})", x, 6)
    pairs = frame.integers("policy", len(POLICIES[policy])).tolist()
    used = [frame.uniform(f"used{turn}").tolist() for turn in range(2)]
    signs = [torch.where(frame.uniform(f"sign{turn}") < 0.5, -1.0, 1.0).tolist() for turn in range(2)]
    for i, pair in enumerate(pairs):
        image = photo
        for turn, (name, chance, level) in enumerate(POLICIES[policy][pair]):
            if used[turn][i] < chance:
                signed = {**RAND, **TIMM}[name].signed
                amount = torchvision_level("auto", name, level, photo.size) * (signs[turn][i] if signed else 1)
                image = torchvision_op(image, name, amount)
        off = (found[i] - tensor(image)[0]).abs().amax(0) * 255
        assert float((off > 6).float().mean()) < 0.02, POLICIES[policy][pair]


@pytest.mark.parametrize("increasing", [False, True])
def test_randaugment_is_its_operations_in_turn(increasing: bool) -> None:
    photo = photograph()
    x = tensor(photo).expand(24, -1, -1, -1).contiguous()
    space = TIMM if increasing else RAND
    found, (frame, _) = applied(f"randaugment(2, 6, increasing={str(increasing).lower()}, p=0.7)", x, 8)
    which = [frame.integers(f"which{turn}", len(space)).tolist() for turn in range(2)]
    used = [(frame.uniform(f"used{turn}") < 0.7).tolist() for turn in range(2)]
    signs = [torch.where(frame.uniform(f"sign{turn}") < 0.5, -1.0, 1.0).tolist() for turn in range(2)]
    for i in range(24):
        image = photo
        for turn in range(2):
            name = tuple(space)[which[turn][i]]
            if not used[turn][i] or name == "identity":
                continue
            if increasing:
                image = timm_op(image, name, signs[turn][i], 6)
            else:
                sign = signs[turn][i] if space[name].signed else 1
                image = torchvision_op(image, name, sign * torchvision_level("rand", name, 18, photo.size))
        off = (found[i] - tensor(image)[0]).abs().amax(0) * 255
        assert float((off > 6).float().mean()) < 0.02, (i, [tuple(space)[w[i]] for w in which])


def test_every_augmentation_is_held_by_its_pixels() -> None:
    """A new one is to be held here against Pillow, or a reference written by hand (`pixmix`: test_pixmix.py)."""
    text = Path(__file__).read_text()
    elsewhere = {"pixmix"}
    assert not {n for n in registered("augment") if not re.search(rf'["= ]{n}[("{{]', text)} - elsewhere
