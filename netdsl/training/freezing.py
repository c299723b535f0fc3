"""The trainable parameters at a step: all but those that are frozen, permanently or until a later step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netdsl.planning.groups import Parameter, frozen, unfrozen
from netdsl.recipe.schema import Recipe

Norm = nn.modules.batchnorm._BatchNorm


class Freezing:
    """The frozen parameters as a function of the step, without state to restore.

    `never`: paths that are never trained. `together`: several processes add up gradients, and all must have the same
    ones: what is frozen for a time is computed there, and its gradient dropped.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, parameters: Sequence[Parameter], per_epoch: int) -> None:
        self.module = module
        parameters = [*parameters, *_bare_norms(module)]
        self.never = frozen(recipe, parameters)
        found = unfrozen(recipe, parameters)
        self.begins = {path: recipe.unfreeze[i].time.steps(per_epoch) for path, i in found.items()}
        self.still: frozenset[str] = frozenset()
        self.together = False
        for name, p in module.named_parameters():
            p.requires_grad_(name not in self.never)

    def set(self, step: int) -> None:
        """Freeze what is frozen at a step; normalisation layers that are keep their statistics."""
        if not self.never and not self.begins:
            return
        still = self.never | {path for path, begin in self.begins.items() if step < begin}
        if still != self.still and not self.together:
            for name, p in self.module.named_parameters():
                p.requires_grad_(name not in still)
        self.still = still
        for name, layer in self.module.named_modules():
            if isinstance(layer, Norm):
                layer.train(f"{name}.weight" not in self.still)

    def drop(self) -> None:
        """Forget the gradients of what is frozen at this step: they are neither measured nor followed."""
        for name, p in self.module.named_parameters() if self.begins and self.together else ():
            if name in self.still:
                p.grad = None


def _bare_norms(module: nn.Module) -> list[Parameter]:
    """Gains for batch norms that have none: such a norm is frozen as one that has them, by its path."""
    norms = ((n, m) for n, m in module.named_modules() if isinstance(m, Norm) and m.weight is None)
    return [Parameter(f"{n}.weight", "norm", (m.num_features,)) for n, m in norms]
