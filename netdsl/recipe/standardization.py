"""Standardisation of pixels: `standardize = channel`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from netdsl.recipe.component import Component
from netdsl.recipe.registry import component


class Standardization(Component, frozen=True):
    """How pixels are standardised, inside the net."""


@component("standardize")
class Channel(Standardization, frozen=True, tag="channel"):
    """(x - mean) / std per channel, computed on the training split."""


@component("standardize")
class Pixel(Standardization, frozen=True, tag="pixel"):
    """(x - mean) / std per pixel and channel, computed on the training split; `scale=false` only subtracts the mean
    (He 2016)."""

    scale: bool = True


@component("standardize")
class Image(Standardization, frozen=True, tag="image"):
    """Every image by its own mean and deviation over all pixels and channels; the deviation is at least
    1 / sqrt(values in an image). Refused for the columns of a table."""

    source: ClassVar[str] = "TensorFlow's per_image_standardization"


@component("standardize")
class Fixed(Standardization, frozen=True, tag="fixed"):
    """(x - mean) / std with the given numbers per channel, of pixels from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Meta(gt=0)], ...]


@component("standardize")
class Nothing(Standardization, frozen=True, tag="none"):
    """Pixels from 0 to 1 as they are."""
