"""`curvature`: the largest eigenvalue of the Hessian of the recipe's loss, and the step that it allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from netdsl.planning.schedule import peak_lr
from netdsl.probe.model import Cell, Finding
from netdsl.probe.subject import Subject
from netdsl.recipe.optimizers import Sgd
from netdsl.recipe.schema import Recipe
from netdsl.training.regularization import dropouts

MOST, ENOUGH = 200, 1e-5
"""Steps of the power iteration at most, and the relative change of the eigenvalue that ends it."""

Product = Callable[[Tensor], Tensor]
"""A vector times a symmetric matrix."""


def curvature(subject: Subject) -> Finding:
    """The curvature on one batch of the recipe. Raises DataError where its data cannot be read."""
    with TemporaryDirectory() as folder:
        trainer = subject.trainer(Path(folder))
    batch = trainer.feed.batch(0)
    trainer.module.train()
    for layer in dropouts(trainer.module):
        layer.eval()
    loss = trainer.judged(trainer.module(*batch.inputs), batch.target).mean()
    size = sum(p.numel() for p in trainer.trained)
    found, steps = largest(hessian(loss, trainer.trained), size)
    said = [f"the largest eigenvalue of the Hessian is {found:.4g}, on one batch of {batch.size} ({steps} products)"]
    rows: list[tuple[Cell, ...]] = [("largest eigenvalue", found)]
    if found > 0:
        stable, how = largest_lr(subject.recipe, found)
        own = peak_lr(subject.recipe)
        rows += [("largest stable lr", stable), ("the recipe's peak lr", own)]
        said.append(f"{how} is stable up to an lr of {stable:.3g}")
        if isinstance(subject.recipe.optimizer, Sgd):
            said[-1] += f"; the recipe's {own:.3g} is {'above' if own > stable else 'below'} that"
        else:
            said[-1] += "; the recipe's optimizer scales the gradient, so this is no bound for its lr"
    return Finding("curvature", tuple(said), ("", "value"), tuple(rows))


def largest_lr(recipe: Recipe, eigenvalue: float) -> tuple[float, str]:
    """The lr from which on gradient descent leaves a quadratic valley of this curvature, and what descends."""
    word = recipe.optimizer
    beta = word.momentum if isinstance(word, Sgd) else 0.0
    if isinstance(word, Sgd) and word.nesterov and beta:
        return (2 + 2 * beta) / (1 + 2 * beta) / eigenvalue, f"Nesterov's descent with momentum {beta:g}"
    return (2 + 2 * beta) / eigenvalue, f"gradient descent with momentum {beta:g}" if beta else "gradient descent"


def hessian(loss: Tensor, tensors: Sequence[Tensor]) -> Product:
    """Products with the Hessian of a loss."""
    slopes = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in slopes])

    def product(v: Tensor) -> Tensor:
        found = torch.autograd.grad(flat, tensors, v.to(flat), retain_graph=True, materialize_grads=True)
        return torch.cat([g.flatten() for g in found]).double()

    return product


def largest(product: Product, size: int, seed: int = 0) -> tuple[float, int]:
    """The largest eigenvalue of a symmetric matrix by power iteration, and the products it took.

    Where the eigenvalue of largest size is negative, the matrix is shifted by it.
    """
    found, steps = _dominant(product, size, seed)
    if found >= 0:
        return found, steps
    above, more = _dominant(lambda v: product(v) - found * v, size, seed + 1)
    return above + found, steps + more


def _dominant(product: Product, size: int, seed: int) -> tuple[float, int]:
    v = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    v /= v.norm()
    value = 0.0
    for step in range(1, MOST + 1):  # noqa: B007 - how many it took is told
        w = product(v)
        before, value = value, torch.dot(v, w).item()
        if w.norm() == 0 or abs(value - before) <= ENOUGH * abs(value):
            break
        v = w / w.norm()
    return value, step
