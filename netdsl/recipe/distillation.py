"""Learning from another net: `distill = teacher("runs/Large-1", temperature=4, alpha=0.9)`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from netdsl.recipe.component import Component, Positive, Probability
from netdsl.recipe.paths import A_PATH
from netdsl.recipe.registry import component


@component("distill")
class Teacher(Component, frozen=True, tag="teacher"):
    """(1 - alpha) * the loss + alpha * temperature^2 * the Kullback-Leibler divergence of the net's classes from those
    of a trained net, both as a softmax of outputs / temperature. The teacher sees the same augmented images, and is
    part of nothing that is saved. Divided by the samples (of a mask or a text, the mean over its places)."""

    source: ClassVar[str] = "Hinton et al. 2015"
    path: Annotated[str, Meta(min_length=1, description="a run directory, or an ONNX file", extra=A_PATH)]
    temperature: Annotated[Positive, Meta(description="above 1, classes that are unlikely count more")] = 4.0
    alpha: Annotated[Probability, Meta(description="how much of the loss the teacher makes up")] = 0.9
