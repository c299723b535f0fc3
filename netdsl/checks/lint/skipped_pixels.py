"""A stride larger than the kernel: some positions are never read."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, Link, key, kind_of, op_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Step

SLIDING = ("conv", "dwconv", "scaled_conv", "maxpool", "avgpool", "lppool")
PASSING = ("bn", "groupnorm", "layernorm", "instancenorm", "scale", "drop_path", "scalar")


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
