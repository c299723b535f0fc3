"""Images of another size than the net was written for: which nets take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netdsl.analysis.count import parameters
from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.ir.model import Definition, Program, Step
from netdsl.ops.base import Op
from netdsl.planning.net import PlannedNet
from netdsl.recipe.augmentations import size_of
from netdsl.recipe.component import component_name
from netdsl.recipe.places import Places
from netdsl.recipe.progressive import staged
from netdsl.recipe.schema import Recipe


def trained_size(augment: Sequence[Any]) -> int | None:
    """The side of the images that augmentation gives; None where they keep their own."""
    sizes = [size for a in augment if (size := size_of(a))]
    return sizes[-1] if sizes else None


def unfit_sizes(net: PlannedNet, recipe: Recipe, places: Places) -> Iterator[Diagnostic]:
    """The first size of training images that the net cannot take."""
    shape = net.checked.main.inputs[0].type.shape
    for stage in staged(recipe):
        size = trained_size(stage.augment)
        if size is not None and (reason := refused(net, size)) is not None:
            hint = f"train on images of {shape[1]} x {shape[2]}, or let the net end with `gap`, which takes any size"
            message = f"`{net.name}` cannot be trained on images of {size} x {size}: {reason}"
            yield diagnostic("unfit-size", message, places.at(sizing(recipe)), hint)
            return


def sizing(recipe: Recipe) -> str:
    """The path of the component of `augment` that gives training images their size."""
    found = [a for a in recipe.augment if size_of(a)]
    return f"augment.{component_name(found[-1])}" if found else "augment"


def refused(net: PlannedNet, size: int) -> str | None:
    """Why a net does not take images of `size` by `size`; None where it does.

    A net with named sizes takes what its constraints allow. Another one takes a size if the same code with the same
    weights is what the spec means at that size.
    """
    program = net.checked
    shape = program.main.inputs[0].type.shape
    named = {str(s): size for s in shape[1:] if not isinstance(s, int)}
    if named:
        broken = [str(c) for c in program.constraints if not c.holds(named)]
        return f"it needs {' and '.join(broken)}" if broken else None
    if tuple(shape[1:]) == (size, size):
        return None
    other, mistakes = net.resized(size)
    return mistakes[0].message if other is None else _difference(program, other)


def _difference(program: Program, other: Program) -> str | None:
    """Why the code and the weights of a net are not those of the same net at another size."""
    for a, b in zip(parameters(program.main), parameters(other.main), strict=False):
        if (a.path, a.shape) != (b.path, b.shape):
            return f"`{a.path}` is {list(a.shape)} and would have to be {list(b.shape)}"
    if not same_ops(program.main, other.main) and _prints_otherwise(program, other):
        return "its layers are made for their sizes"
    return None


def same_ops(one: Definition, other: Definition, seen: set[tuple[int, int]] | None = None) -> bool:
    """Whether two definitions call the same ops, in the same PyTorch form, whatever the sizes of their values."""
    seen = set() if seen is None else seen
    if (id(one), id(other)) in seen:
        return True
    seen.add((id(one), id(other)))
    return len(one.steps) == len(other.steps) and all(
        same_ops(a.callee, b.callee, seen)
        if isinstance(a.callee, Definition) and isinstance(b.callee, Definition)
        else a.callee == b.callee and _form(a) == _form(b)
        for a, b in zip(one.steps, other.steps, strict=True)
    )


def _form(step: Step) -> object:
    """The PyTorch form of an op where it is used: a crop's depends on the size of its input."""
    return step.callee.torch(*(v.type for v in step.inputs)) if isinstance(step.callee, Op) else None


def _prints_otherwise(program: Program, other: Program) -> bool:
    """Whether two programs are other PyTorch source."""
    from netdsl.backends.torch.freedom import code

    return code(program) != code(other)
