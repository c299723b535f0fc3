"""Pictures of another size than the net was written for: which nets take them. Nothing here needs torch."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from netdsl.analysis.count import parameters
from netdsl.recipe.augmentations import Crop, RandomResizedCrop, Resize
from netdsl.recipe.progressive import staged
from netdsl.recipe.schema import Recipe
from netdsl.training.errors import DataError

if TYPE_CHECKING:
    from netdsl.pipeline import Net


def trained_size(words: Sequence[Any]) -> int | None:
    """The side of the pictures that augmentation gives; None where they keep their own."""
    sizes = [w.size for w in words if isinstance(w, RandomResizedCrop | Resize | Crop) and w.size]
    return sizes[-1] if sizes else None


def check_resolution(net: Net, recipe: Recipe) -> None:
    """Raise DataError where training pictures have a size that the net cannot take."""
    shape = net.checked.main.inputs[0].type.shape
    sizes = dict.fromkeys(s for r in staged(recipe) if (s := trained_size(r.augment)) is not None)
    for size in sizes if len(shape) == 3 else ():
        if (reason := refused(net, size)) is not None:
            own = f"{shape[1]} x {shape[2]}"
            hint = f"train on pictures of {own}, or let the net end with `gap`, which takes any size"
            raise DataError(f"`{net.name}` cannot be trained on pictures of {size} x {size}: {reason}", hint)


def refused(net: Net, size: int) -> str | None:
    """Why a net does not take pictures of `size` by `size`; None where it does.

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
    other = net.spec.net(net.name, net.arguments, net.sizes, replace(net.options, picture=size))
    if other.program is None:
        return other.diagnostics[0].message
    for a, b in zip(parameters(program.main), parameters(other.program.main), strict=False):
        if (a.path, a.shape) != (b.path, b.shape):
            return f"`{a.path}` is {list(a.shape)} and would have to be {list(b.shape)}"
    if _code(net) != _code(other):
        return "its layers are made for their sizes"
    return None


def _code(net: Net) -> str:
    """A net's PyTorch source without its comments."""
    return ast.dump(ast.parse(net.source()))
