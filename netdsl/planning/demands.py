"""What a recipe asks of a net: links, branches, outputs, classes that must be there."""

from __future__ import annotations

from netdsl.analysis.count import totals
from netdsl.analysis.residual_branches import branches
from netdsl.diagnostics.diagnostic import Fault, fault
from netdsl.planning.branch_scales import RESIDUAL, fixup_factors, multipliers
from netdsl.planning.net import PlannedNet
from netdsl.recipe.inits import Fixup, SkipInit
from netdsl.recipe.schema import Recipe


def check_demands(net: PlannedNet, recipe: Recipe) -> None:
    """Raise Fault for what the recipe asks of a net that does not have it."""
    main = net.checked.main
    if recipe.drop_path is not None and not totals(main).residual_links:
        raise no_residual_links()
    names = [o.name for o in main.outputs]
    for name in recipe.outputs:
        if name not in names:
            raise fault("unknown-output", f"the net has no output `{name}`", None, f"its outputs: {', '.join(names)}")
    for word in recipe.init:
        if isinstance(word, Fixup):
            fixup_factors(branches(net.checked))
        elif isinstance(word, SkipInit):
            multipliers(branches(net.checked))
    _check_class_weights(net, recipe)


def _check_class_weights(net: PlannedNet, recipe: Recipe) -> None:
    given = recipe.loss.class_weights
    shape = next(o for o in net.checked.main.outputs if not o.training).value.type.shape
    classes = shape[-1] if len(shape) == 2 else shape[0] if shape else None
    if given and isinstance(classes, int) and len(given) != classes:
        message = f"`loss.weight` has {len(given)} values, the net tells {classes} classes apart"
        raise fault("wrong-count", message, None)


def no_residual_links() -> Fault:
    """The mistake of `drop_path` for a net without residual links."""
    return fault("no-residual-links", "`drop_path` drops residual links, and this net has none", None, RESIDUAL)
