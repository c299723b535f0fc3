"""A stride larger than the kernel: some positions are never read."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, Link, key, kind_of, op_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Step

SLIDING = ("conv", "dwconv", "scaled_conv", "maxpool", "avgpool", "lppool")
PASSING = ("bn", "groupnorm", "layernorm", "instancenorm", "scale", "drop_path", "scalar")


PATCH = 4
"""The smallest kernel that cuts patches; smaller ones halve an image, and an odd one has a rest."""


def check(file: File) -> Iterator[Diagnostic]:
    """The strided 1x1 projection on the shortcut of a residual link is usual, and stays silent."""
    after = {id(link.producer): link for link in file.flow.links}
    done: set[At] = set()
    for step in file.flow.steps:
        if kind_of(step) not in SLIDING or not file.owns(step.place) or key(step.place) in done:
            continue
        window = op_of(step).window(*(v.type for v in step.inputs))
        sizes = zip(window.size, window.stride, step.inputs[0].type.spatial, strict=True)
        if any(stride > size and given != 1 for size, stride, given in sizes) and not _joins(step, after):
            done.add(key(step.place))
            size, stride = max(window.size), max(window.stride)
            message = f"a kernel of {size} with stride {stride} never reads some positions of its input"
            yield warning("skipped-pixels", message, step.place, f"a kernel of {stride + 1}, or pool before it")
    yield from _remainders(file)


def _remainders(file: File) -> Iterator[Diagnostic]:
    """Patches that do not tile the image: its last rows or columns are in none."""
    done: set[At] = set()
    for step in file.flow.steps:
        if kind_of(step) == "conv" and file.owns(step.place) and key(step.place) not in done:
            rests = [(side, size) for side, size in _patches(step) if side % size]
            if rests:
                done.add(key(step.place))
                side, size = rests[0]
                message = f"patches of {size} leave {side % size} of {side} pixels out"
                yield warning("skipped-pixels", message, step.place, _tiling(side, size))


def _patches(step: Step) -> list[tuple[int, int]]:
    """The sides of an image that is cut into patches, and of those; none where windows overlap or reach beyond it."""
    window = op_of(step).window(*(v.type for v in step.inputs))
    if window.size != window.stride or any(window.padding) or min(window.size) < PATCH:
        return []
    sides = zip(step.inputs[0].type.spatial, window.size, strict=True)
    return [(side, size) for side, size in sides if isinstance(side, int)]


def _tiling(side: int, size: int) -> str | None:
    """A hint with the nearest size of patches that tile a side."""
    tiles = [n for n in range(2, side) if side % n == 0]
    nearest = min(tiles, key=lambda n: abs(n - size), default=None)
    return None if nearest is None or abs(nearest - size) > size // 2 else f"patches of {nearest} tile {side}"


def _joins(step: Step, after: dict[int, Link]) -> bool:
    """Whether the value continues into a sum, perhaps through a norm."""
    for _ in range(4):
        link = after.get(id(step))
        if link is None or not link.uses:
            return True  # it leaves the block: who reads it is not known here
        step = link.uses[0].step
        if kind_of(step) in ("add", "concat"):
            return True
        if kind_of(step) not in PASSING:
            return False
    return False
