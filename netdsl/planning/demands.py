"""What a recipe asks of a net: links, branches, outputs, classes that must be there. Nothing here needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.analysis.count import totals
from netdsl.analysis.residual_branches import branches
from netdsl.planning.branch_scales import fixup_factors, multipliers
from netdsl.recipe.inits import Fixup, SkipInit
from netdsl.recipe.losses import CrossEntropy
from netdsl.recipe.schema import Recipe
from netdsl.training.errors import DataError

if TYPE_CHECKING:
    from netdsl.pipeline import Net


def check_demands(net: Net, recipe: Recipe) -> None:
    """Raise DataError for what the recipe asks of a net that does not have it."""
    main = net.checked.main
    if recipe.drop_path is not None and not totals(main).residual_links:
        raise DataError("`drop_path` drops residual links, and this net has none", "write them as `residual { ... }`")
    names = [o.name for o in main.outputs]
    for name in recipe.outputs:
        if name not in names:
            raise DataError(f"the net has no output `{name}`", f"its outputs: {', '.join(names)}")
    for word in recipe.init:
        if isinstance(word, Fixup):
            fixup_factors(branches(net.checked))
        elif isinstance(word, SkipInit):
            multipliers(branches(net.checked))
    _check_class_weights(net, recipe)


def _check_class_weights(net: Net, recipe: Recipe) -> None:
    given = recipe.loss.weight if isinstance(recipe.loss, CrossEntropy) else ()
    shape = next(o for o in net.checked.main.outputs if not o.training).value.type.shape
    classes = shape[-1] if len(shape) == 2 else shape[0] if shape else None
    if given and isinstance(classes, int) and len(given) != classes:
        raise DataError(f"`loss.weight` has {len(given)} numbers, the net tells {classes} classes apart")
