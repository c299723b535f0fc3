"""`shifts`: what a net says of images that are moved by whole pixels (Zhang 2019)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from netdsl.diagnostics.diagnostic import fault
from netdsl.probe.dead import share
from netdsl.probe.machine import Machine
from netdsl.probe.model import Finding, Plot
from netdsl.probe.subject import Subject, no_such
from netdsl.training.data.dataset import spread

FARTHEST = 8
"""Pixels that images are moved by, at most; a quarter of their smaller side at most, too."""

WAYS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
"""The eight directions: down and right are positive."""

MOVES = len(WAYS) * FARTHEST
"""About so often are all samples looked at."""


def shifts(subject: Subject) -> Finding:
    """How many guesses stay when an image is moved, and how many are right, on test samples.

    What leaves an image is lost, and what comes in is the pixel at its border again. Raises Fault for a net that does
    not tell classes of images apart.
    """
    made = subject.prepared()
    program = made.net.checked
    shape = program.main.inputs[0].type.shape
    if len(shape) != 3 or len(program.main.inputs) > 1:
        raise no_such(subject, "image as its only input", "only an image can be moved by pixels")
    if made.data.task != "classes":
        message = f"`{subject.net.name}` does not tell classes apart: no guess can stay the same"
        raise fault("not-supported", message, None)
    machine = Machine(program, subject.filled(made.module).eval())
    split = made.data.test
    (images,), target = split.take(spread(subject.fitting(min(subject.samples, len(split)), MOVES), split))
    with torch.no_grad():

        def guesses(x: Tensor) -> Tensor:
            return machine.outputs(machine.run((x,)))[0].argmax(1)

        still = guesses(images)
        rows = [(0, 1.0, share(still == target))]
        for pixels in range(1, max(1, min(FARTHEST, min(images.shape[2:]) // 4)) + 1):
            found = [guesses(x) for x in moved(images, pixels)]
            stays, right = (share(torch.stack([g == other for g in found])) for other in (still, target))
            rows.append((pixels, stays, right))
    plots = (
        Plot("guesses that stay", "pixels moved", "share", {"stays": [(r[0], r[1]) for r in rows]}),
        Plot("accuracy by shift", "pixels moved", "accuracy", {"right": [(r[0], r[2]) for r in rows]}),
    )
    return Finding("shifts", tuple(_said(rows)), ("pixels", "stays", "accuracy"), tuple(rows), plots)


def moved(images: Tensor, pixels: int) -> Iterator[Tensor]:
    """Images [N, C, H, W] moved by so many pixels, in eight directions."""
    height, width = images.shape[2:]
    larger = pad(images, (pixels,) * 4, mode="replicate")
    for y, x in WAYS:
        top, left = pixels * (1 - y), pixels * (1 - x)
        yield larger[:, :, top : top + height, left : left + width]


def _said(rows: list[tuple[int, float, float]]) -> Iterator[str]:
    first, worst = rows[1], min(rows[1:], key=lambda r: r[1])
    fewest = f"; fewest, {worst[1]:.1%}, by {worst[0]}" if worst is not first else ""
    yield f"{first[1]:.1%} of the guesses stay when an image is moved by one pixel{fewest}"
    yield f"accuracy is {rows[0][2]:.1%} in place and {worst[2]:.1%} on images moved by {worst[0]}"
