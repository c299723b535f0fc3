"""Test-time augmentation: what a trained net is shown of each image, whose outputs are averaged."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from netdsl.recipe.component import Component
from netdsl.recipe.registry import component


class TestTime(Component, frozen=True):
    """The mean over several views of each image, in evaluations and in `predict`. Masks are mirrored back. It is no
    part of the ONNX file."""

    __test__ = False  # no class of tests

    average: Annotated[
        Literal["probabilities", "logits"],
        Meta(description="what of classes and labels is averaged: probabilities, or what stands before the softmax"),
    ] = "probabilities"


@component("tta")
class Mirrored(TestTime, frozen=True, tag="hflip"):
    """Each image and its mirror image."""


@component("tta")
class Flipped(TestTime, frozen=True, tag="flips"):
    """Each image, mirrored, upside down, and both."""
