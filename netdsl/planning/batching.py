"""Runs that can be trained as one batched model: ops say it themselves, other parts are on these lists.

Runs of one net that differ in their seed alone compute the same ops on tensors of the same shapes. What draws random
numbers inside the net would draw others in a batch, and what looks at a whole tensor would see those of all runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.ir.flatten import count_calls, flatten
from netdsl.ir.model import Program
from netdsl.recipe import losses, optimizers
from netdsl.recipe.component import component_name
from netdsl.recipe.regularizers import ClipNorm, ClipValue, L1Penalty, L2Penalty
from netdsl.recipe.schedules import Plateau
from netdsl.recipe.schema import Recipe

OPTIMIZERS = (
    optimizers.Sgd, optimizers.Adam, optimizers.AdamW, optimizers.NAdam, optimizers.RAdam, optimizers.RmsProp,
    optimizers.Adagrad, optimizers.Lion,
)  # fmt: skip
"""Those that treat each number of a weight alike."""

LOSSES = (
    losses.CrossEntropy, losses.Focal, losses.Bce, losses.Mse, losses.L1, losses.Huber, losses.DiceCe,
)  # fmt: skip

MOST_CALLS = 2000
"""Op calls of a net from which its arithmetic takes all the time, and batches of it are no faster."""

UNSUPPORTED = (
    "folds", "progressive", "distill", "drop_path", "dropout", "unfreeze", "freeze", "swa", "lookahead", "micro_batch",
    "shard",
)  # fmt: skip
"""Fields that a batched model does not know, where they are given."""


def obstacle(program: Program, recipe: Recipe) -> str | None:
    """The obstacle to training runs of a net and recipe as one batched model, in a few words; None for none."""
    return next(_obstacles(program, recipe), None)


def _obstacles(program: Program, recipe: Recipe) -> Iterator[str]:
    yield from _in_net(program)
    yield from (f"`{name}`" for name in UNSUPPORTED if getattr(recipe, name, None))
    yield from _in_loss(recipe)
    optimizer = recipe.optimizer
    if type(optimizer) not in OPTIMIZERS or (isinstance(optimizer, optimizers.RmsProp) and optimizer.tensorflow):
        yield f"the optimizer `{component_name(recipe.optimizer)}`"
    if any(isinstance(phase, Plateau) for phase in recipe.schedule):
        yield "`plateau`, which looks at each run"
    if recipe.precision not in ("fp32", "tf32") or recipe.compile == "on":
        yield "`precision` or `compile`"


def _in_net(program: Program) -> Iterator[str]:
    if count_calls(program.main) > MOST_CALLS:
        yield "the size of the net"
        return
    for node in flatten(program, training=True).nodes:
        if node.op.alone():
            yield f"`{node.op.kind}` in the net"


def _in_loss(recipe: Recipe) -> Iterator[str]:
    """Obstacles in the loss, and in what is done to its gradient."""
    if type(recipe.loss) not in LOSSES:
        yield f"the loss `{component_name(recipe.loss)}`"
    if not isinstance(recipe.clip, ClipNorm | ClipValue | None):
        yield "this `clip`"
    if not all(isinstance(p, L1Penalty | L2Penalty) for p in recipe.penalty):
        yield "this `penalty`"
