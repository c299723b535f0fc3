"""A classifier that averages over positions, each of which sees a small part of the image."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.analysis.receptive_field import Field, receptive_field
from netdsl.checks.lint.flow import kind_of, op_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Definition, Program, Step
from netdsl.ops.base import Window
from netdsl.sizes.dims import Dim

SHARE = 33 / 224
"""ResNet-50's layers with fields of 33 of 224 pixels have 87.6% of ImageNet (top 5; the whole net 93%), of 17
what AlexNet has (Brendel & Bethge 2019, BagNet). The narrowest field of the zoo is SqueezeNet's, 155 of 224."""

FEWEST = 4
"""A net of fewer layers is a sketch: what it sees is plain."""

HEADS = ("gap", "gmp")


def check(file: File) -> Iterator[Diagnostic]:
    """Only nets of windows and of what acts on each position by itself: anything else may carry what is far away."""
    done = set()
    for program in file.programs:
        head = _head(program.main)
        if head is None or not file.owns(head.place) or head.place.span in done:
            continue
        seen = _seen(program, head)
        if seen is not None:
            done.add(head.place.span)
            message = f"`{kind_of(head)}` averages over positions that see {seen} pixels each"
            hint = "a stem of stride 4, or pooling between the layers, lets each see more"
            yield warning("narrow-field", message, head.place, hint)


def _seen(program: Program, head: Step) -> str | None:
    """How much of the image each position of the pooled map sees, in words; None where that is enough, or not known.

    A field that is wide along one of the axes is none of BagNet's.
    """
    image = program.main.inputs[0].type
    down, across = receptive_field(program), receptive_field(program, across=True)
    if image.rank != 3 or down is None or across is None or down.map != head.inputs[0].type:
        return None
    if down.map.spatial == (1, 1) or not (_is_narrow(down, image.shape[1]) and _is_narrow(across, image.shape[2])):
        return None
    if down.size == across.size and image.shape[1] == image.shape[2]:
        return f"{down.size} of {image.shape[1]}"
    return f"{down.size} x {across.size} of {image.shape[1]} x {image.shape[2]}"


def _is_narrow(field: Field, side: Dim) -> bool:
    return field.size is not None and isinstance(side, int) and field.size <= SHARE * side


def _head(main: Definition) -> Step | None:
    """The pooling at the end of a net of windows; None where something else joins positions, or the net is a sketch."""
    steps = list(_steps(main, {}))
    pools = [s for s in steps if kind_of(s) in HEADS]
    local = all(_is_local(s) for s in steps if s not in pools)
    return pools[0] if len(pools) == 1 and len(main.inputs) == 1 and local and _windows(main, {}) >= FEWEST else None


def _steps(definition: Definition, seen: dict[Definition, None]) -> Iterator[Step]:
    """The calls of ops in a definition and in those it uses, once each."""
    seen[definition] = None
    for step in definition.steps:
        if not isinstance(step.callee, Definition):
            yield step
        elif step.callee not in seen:
            yield from _steps(step.callee, seen)


def _is_local(step: Step) -> bool:
    """Whether an op acts within windows of an image, or on vectors."""
    given, given_back = step.inputs[0].type if step.inputs else None, step.outs[0].type
    if given is None or given.rank <= 1:
        return True
    window = op_of(step).window(*(v.type for v in step.inputs))
    return (window is None or isinstance(window, Window)) and given_back.rank == given.rank == 3


def _windows(definition: Definition, known: dict[Definition, int]) -> int:
    """How many windows larger than a pixel there are, each as often as it is used."""
    if definition not in known:
        known[definition] = sum(
            _windows(s.callee, known) if isinstance(s.callee, Definition) else _is_large(s) for s in definition.steps
        )
    return known[definition]


def _is_large(step: Step) -> int:
    window = op_of(step).window(*(v.type for v in step.inputs))
    return int(isinstance(window, Window) and max(window.size, default=1) > 1)
