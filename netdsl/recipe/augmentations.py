"""Augmentations of training images, applied in the order written. Random parameters are drawn per sample."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Count, Index, NonNegative, Positive, Probability
from netdsl.recipe.paths import A_PATH
from netdsl.recipe.registry import component

Prob = Annotated[float, Meta(ge=0, le=1, description="probability that a sample is changed")]
Strength = Annotated[
    float, Meta(ge=0, le=30, description="strength, 0 to 10; beyond, as far as an operation continues")
]
Interpolation = Annotated[
    Literal["bilinear", "nearest", "bicubic"], Meta(description="how pixels are read between pixels")
]
Outside = Annotated[
    Literal["zero", "mean"],
    Meta(description="what comes in from outside a moved image: black, or the mean colour that `standardize` names"),
]
Fill = Annotated[float, Meta(ge=0, le=1, description="value outside the image, from 0 to 1")]


class Augment(Component, frozen=True):
    """`masks`: what it does to a segmentation mask: `moves` it alike, `ignores` it (only colours change), or is
    `refused`. Images keep their size."""

    masks: ClassVar[Literal["moves", "ignores", "refused"]] = "ignores"


class Resizing(Augment, frozen=True):
    """An augmentation that gives images of `size` by `size`; where that is 0, of their own."""

    size: Index = 0


def size_of(augment: Augment) -> int:
    """The side of the images that an augmentation gives; 0 where they keep their own."""
    return augment.size if isinstance(augment, Resizing) else 0


@component("augment")
class Hflip(Augment, frozen=True, tag="hflip"):
    """Mirrors left and right. `alternating`: every other epoch, from a random start per sample (airbench)."""

    masks = "moves"
    p: Prob = 0.5
    alternating: bool = False


@component("augment")
class Vflip(Augment, frozen=True, tag="vflip"):
    """Mirrors top and bottom."""

    masks = "moves"
    p: Prob = 0.5


@component("augment")
class Crop(Resizing, frozen=True, tag="crop"):
    """A random window of `size` after `padding` on every side; without `size`, of the image's own size."""

    masks = "moves"
    size: Annotated[Index, Meta(description="side of the window; 0: the image's own")] = 0
    padding: Annotated[Index, Meta(description="pixels added on every side first")] = 0
    mode: Literal["zeros", "reflect", "replicate"] = "zeros"

    @property
    def idle(self) -> bool:
        return not self.size and not self.padding


@component("augment")
class RandomResizedCrop(Resizing, frozen=True, tag="random_resized_crop"):
    """A random part of the image (`scale`: its area, `ratio`: width over height), resized to `size`."""

    source: ClassVar[str] = "Szegedy et al. 2015"
    masks = "moves"
    size: Count
    scale: tuple[Probability, Probability] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"


@component("augment")
class ScaleJitter(Resizing, frozen=True, tag="scale_jitter"):
    """Resizes an image to `scale` times what fits into `size` by `size`, keeping its form, then cuts a window of that
    size from what is larger and fills up what is smaller, on the right and below, with `fill`."""

    source: ClassVar[str] = "Ghiasi et al. 2021 (large-scale jitter)"
    masks = "moves"
    size: Count
    scale: tuple[Positive, Positive] = (0.1, 2.0)
    interpolation: Interpolation = "bilinear"
    fill: Fill = 0.0


@component("augment")
class Resize(Resizing, frozen=True, tag="resize"):
    """Resizes images to `size` by `size`, antialiased."""

    masks = "moves"
    size: Count


@component("augment")
class Rotate(Augment, frozen=True, tag="rotate"):
    """Turns by up to `degrees` either way around the centre."""

    masks = "moves"
    degrees: Annotated[NonNegative, Meta(description="largest angle, in degrees")]
    interpolation: Interpolation = "bilinear"
    fill: Fill = 0.0

    @property
    def idle(self) -> bool:
        return not self.degrees


@component("augment")
class Affine(Augment, frozen=True, tag="affine"):
    """Turns, moves (a fraction of the size), scales and shears (degrees) at once."""

    masks = "moves"
    degrees: NonNegative = 0.0
    translate: tuple[Probability, Probability] = (0.0, 0.0)
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    shear: NonNegative = 0.0
    interpolation: Interpolation = "bilinear"
    fill: Fill = 0.0

    @property
    def idle(self) -> bool:
        return not (self.degrees or self.shear or any(self.translate)) and self.scale == (1, 1)


@component("augment")
class Elastic(Augment, frozen=True, tag="elastic"):
    """Bends the image smoothly: the points of a coarse `grid` move by normal amounts of `std` pixels, what lies
    between them bicubically. Mirrored at the border."""

    source: ClassVar[str] = "Simard et al. 2003; Ronneberger et al. 2015"
    masks = "moves"
    std: Annotated[NonNegative, Meta(description="deviation of the grid's points, in pixels")] = 10.0
    grid: Annotated[int, Meta(ge=2, description="points along each side")] = 3
    interpolation: Interpolation = "bilinear"

    @property
    def idle(self) -> bool:
        return not self.std


@component("augment")
class Translate(Augment, frozen=True, tag="translate"):
    """Moves by up to `pixels` either way on both axes."""

    masks = "moves"
    pixels: Index
    mode: Literal["zeros", "reflect", "replicate"] = "zeros"

    @property
    def idle(self) -> bool:
        return not self.pixels


@component("augment")
class ColorJitter(Augment, frozen=True, tag="color_jitter"):
    """Brightness, contrast, saturation and hue in random order, each factor drawn from [1 - a, 1 + a] (hue: [-a, a]
    of a turn)."""

    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    p: Prob = 1.0

    @property
    def idle(self) -> bool:
        return not (self.brightness or self.contrast or self.saturation or self.hue)


@component("augment")
class Grayscale(Augment, frozen=True, tag="grayscale"):
    """Takes the colour away (0.299 R + 0.587 G + 0.114 B)."""

    p: Prob = 0.1


@component("augment")
class Autocontrast(Augment, frozen=True, tag="autocontrast"):
    """Stretches every channel to its full range."""

    p: Prob = 0.5


@component("augment")
class Equalize(Augment, frozen=True, tag="equalize"):
    """Makes every channel's histogram flat."""

    p: Prob = 0.5


@component("augment")
class Posterize(Augment, frozen=True, tag="posterize"):
    """Keeps `bits` bits of every pixel."""

    bits: Annotated[int, Meta(ge=0, le=8)] = 4
    p: Prob = 0.5

    @property
    def idle(self) -> bool:
        return self.bits == 8


@component("augment")
class Solarize(Augment, frozen=True, tag="solarize"):
    """Inverts pixels at or above `threshold`."""

    threshold: Probability = 0.5
    p: Prob = 0.5


@component("augment")
class Invert(Augment, frozen=True, tag="invert"):
    """Inverts every pixel."""

    p: Prob = 0.5


@component("augment")
class Noise(Augment, frozen=True, tag="gaussian_noise"):
    """Adds normal noise of the given deviation; `multiplicative` multiplies by 1 + noise instead."""

    std: NonNegative
    multiplicative: bool = False

    @property
    def idle(self) -> bool:
        return not self.std


@component("augment")
class RandAugment(Augment, frozen=True, tag="randaugment"):
    """`count` operations per sample at one strength, in the space of the paper and torchvision. `std`: the strength is
    drawn around it (timm's mstd). `increasing`: timm's space, where more strength always means a larger change (inc1).
    """

    source: ClassVar[str] = "Cubuk et al. 2020"
    masks = "refused"
    count: Count = 2
    strength: Strength = 9.0
    std: NonNegative = 0.0
    increasing: bool = False
    p: Annotated[Probability, Meta(description="probability of each operation")] = 1.0
    interpolation: Interpolation = "nearest"
    fill: Outside = "zero"


@component("augment")
class TrivialAugment(Augment, frozen=True, tag="trivialaugment"):
    """One operation per sample at a uniform strength, in the wide space."""

    source: ClassVar[str] = "Mueller & Hutter 2021"
    masks = "refused"
    interpolation: Interpolation = "nearest"
    fill: Outside = "zero"


@component("augment")
class AutoAugment(Augment, frozen=True, tag="autoaugment"):
    """A learned policy: one of 25 pairs of operations per sample."""

    source: ClassVar[str] = "Cubuk et al. 2019"
    masks = "refused"
    policy: Literal["imagenet", "cifar10"] = "imagenet"
    interpolation: Interpolation = "nearest"
    fill: Outside = "zero"


@component("augment")
class RandomErasing(Augment, frozen=True, tag="random_erasing"):
    """Overwrites a random rectangle with `value` as the net sees it once pixels are standardised: `zero` (the mean
    colour of the data), `pixel` (standard normal noise), or the image's own `mean`."""

    source: ClassVar[str] = "Zhong et al. 2020"
    masks = "ignores"
    p: Prob = 0.5
    scale: tuple[Probability, Probability] = (0.02, 1 / 3)
    ratio: tuple[Positive, Positive] = (0.3, 3.3)
    value: Annotated[Literal["zero", "pixel", "mean"], Meta(description="what is written")] = "zero"


@component("augment")
class Cutout(Augment, frozen=True, tag="cutout"):
    """Zeroes (after standardising) a square of side `size` centred anywhere in the image, cut at the border; with
    `inside`, one that lies within the image."""

    source: ClassVar[str] = "DeVries & Taylor 2017"
    size: Count
    inside: bool = False


@component("augment")
class PixMix(Augment, frozen=True, tag="pixmix"):
    """Mixes an image with augmented copies of itself and with images of fractals, in up to `rounds` rounds of adding
    or multiplying. Without a `folder` of mixing images, with some that are made by formulas."""

    source: ClassVar[str] = "Hendrycks et al. 2022"
    masks = "refused"
    folder: Annotated[
        str, Meta(description="mixing images, relative to the spec; empty: built-in ones", extra=A_PATH)
    ] = ""
    rounds: Annotated[Count, Meta(description="largest number of rounds")] = 4
    beta: Annotated[Positive, Meta(description="the larger, the less is mixed in")] = 3.0
    severity: Annotated[float, Meta(ge=0.1, le=10, description="largest strength of the augmentations")] = 3.0
    all_operations: Annotated[bool, Meta(description="colour, contrast, brightness and sharpness too")] = False


Per = Annotated[
    Literal["batch", "sample", "pair"],
    Meta(description="one draw for the batch, for each sample, or for each pair of samples that are mixed both ways"),
]
Share = Annotated[Positive, Meta(description="chance to be the one for a batch, relative to the others")]


class Mix(Component, frozen=True, kw_only=True):
    """The base of mixing two samples of a batch: its probability, and the distribution of the mixing weight."""

    p: Annotated[Probability, Meta(description="probability that a batch is mixed")] = 1.0
    per: Per = "batch"
    weight: Share = 1.0


@component("mix")
class Mixup(Mix, frozen=True, tag="mixup"):
    """x = l * x_i + (1 - l) * x_j and the targets alike, l drawn from Beta(alpha, alpha).

    `mixup(0.8, weight=1) | cutmix(1.0, weight=3)`: cutmix for three batches in four (timm's switch_prob 0.75); `p`
    leaves batches unmixed (timm's prob).
    """

    source: ClassVar[str] = "Zhang et al. 2018"
    alpha: Annotated[Positive, Meta(description="parameter of the Beta distribution")] = 0.2


@component("mix")
class Cutmix(Mix, frozen=True, tag="cutmix"):
    """A rectangle of another sample is pasted in; targets are mixed by the area that is left."""

    source: ClassVar[str] = "Yun et al. 2019"
    alpha: Annotated[Positive, Meta(description="parameter of the Beta distribution")] = 1.0


@component("progressive")
class Progressive(Component, frozen=True, tag="progressive"):
    """Training in `stages` of the same length, each with larger images and more regularisation, from the first number
    to the second in equal steps: `size` of `random_resized_crop`, `scale_jitter` or `resize`, `strength` of
    `randaugment`, rate of `dropout`, alpha of `mixup` and `cutmix` (0: not mixed)."""

    source: ClassVar[str] = "Tan & Le 2021 (EfficientNetV2)"
    stages: Count = 4
    size: Annotated[tuple[Count, Count] | None, Meta(description="side of training images, in pixels")] = None
    strength: tuple[Strength, Strength] | None = None
    dropout: tuple[Probability, Probability] | None = None
    mixup: tuple[NonNegative, NonNegative] | None = None
    cutmix: tuple[NonNegative, NonNegative] | None = None

    @property
    def idle(self) -> bool:
        ends = [e for e in (self.size, self.strength, self.dropout, self.mixup, self.cutmix) if e is not None]
        return bool(ends) and (self.stages == 1 or all(first == last for first, last in ends))
