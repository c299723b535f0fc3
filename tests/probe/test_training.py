"""What is said of the loss and of training: against explicit matrices, torch's own optimizers, and steps by hand."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from probing import subject
from torch import nn

from netdsl.diagnostics.diagnostic import Fault
from netdsl.probe import steps
from netdsl.probe.curvature import curvature, hessian, largest, largest_lr
from netdsl.probe.paths import paths
from netdsl.probe.steps import learning_rates, updates
from netdsl.recipe.optimizers import Sgd
from netdsl.recipe.schema import Recipe

SMALL = """
net N {{
  input image [1, 8, 8]
  flatten -> linear(6) -> tanh -> linear(10)
}}
recipe R for N {{
  data      = digits()
  batch     = 100
  epochs    = 4
  optimizer = {optimizer}
  schedule  = constant
  loss      = cross_entropy()
}}
"""

LINKED = """
net L(depth=4) {
  input image [1, 8, 8]
  flatten -> linear(16)
  repeat depth { residual { relu -> linear(16) } }
  linear(10)
}
"""


def explicit(function: Any, parameters: list[torch.Tensor]) -> torch.Tensor:
    """The Hessian of a function of several tensors as one matrix, entry by entry."""
    sizes = [p.numel() for p in parameters]

    def flat(v: torch.Tensor) -> torch.Tensor:
        parts = [x.view_as(p) for x, p in zip(v.split(sizes), parameters, strict=True)]
        return function(parts)  # type: ignore[no-any-return]

    found: torch.Tensor = torch.autograd.functional.hessian(flat, torch.cat([p.detach().flatten() for p in parameters]))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_eigenvalue_is_that_of_the_explicit_matrix(seed: int) -> None:
    torch.manual_seed(seed)
    x, y = torch.randn(40, 5, dtype=torch.float64), torch.randint(0, 3, (40,))
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    names, tensors = zip(*module.named_parameters(), strict=True)

    def loss(parts: Any) -> torch.Tensor:
        found = torch.func.functional_call(module, dict(zip(names, parts, strict=True)), (x,))
        return nn.functional.cross_entropy(found, y)

    matrix = explicit(loss, list(tensors))
    found, _ = largest(hessian(loss(tensors), tensors), len(matrix))
    assert found == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=0.01)


def test_a_negative_dominant_eigenvalue_is_not_the_largest() -> None:
    matrix = torch.diag(torch.tensor([-9.0, 2.0, 1.0, 0.5], dtype=torch.float64))
    assert largest(lambda v: matrix @ v, 4)[0] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)])
def test_descent_is_stable_below_the_largest_step_and_not_above(momentum: float, nesterov: bool) -> None:
    values = torch.tensor([4.0, 1.0, 0.3], dtype=torch.float64)
    recipe = Recipe(optimizer=Sgd(lr=0.1, momentum=momentum, nesterov=nesterov))
    bound, _ = largest_lr(recipe, 4.0)
    sizes = []
    for factor in (0.96, 1.04):
        x = torch.ones(3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([x], bound * factor, momentum=momentum, nesterov=nesterov)
        for _ in range(400):
            optimizer.zero_grad()
            (values * x.square() / 2).sum().backward()
            optimizer.step()
        sizes.append(x.detach().abs().max().item())
    assert sizes[0] < 1
    assert sizes[1] > 1


def test_curvature_of_a_recipe_is_that_of_its_loss() -> None:
    made = subject(SMALL.format(optimizer="sgd(lr=0.1, momentum=0.9)"))
    found = curvature(made)
    numbers = {row[0]: row[1] for row in found.rows}
    with TemporaryDirectory() as folder:
        trainer = made.trainer(Path(folder))
        batch = trainer.feed.batch(0)
    module = trainer.module.double()
    names, tensors = zip(*module.named_parameters(), strict=True)

    def loss(parts: Any) -> torch.Tensor:
        inputs = tuple(x.double() for x in batch.inputs)
        result = torch.func.functional_call(module, dict(zip(names, parts, strict=True)), inputs)
        return nn.functional.cross_entropy(result, batch.target)

    matrix = explicit(loss, list(tensors))
    top = torch.linalg.eigvalsh(matrix)[-1].item()
    assert numbers["largest eigenvalue"] == pytest.approx(top, rel=0.02)
    assert numbers["largest stable lr"] == pytest.approx(2 * 1.9 / top, rel=0.02)
    assert "momentum 0.9" in found.said[1]


def test_updates_are_those_of_plain_descent() -> None:
    made = subject(SMALL.format(optimizer="sgd(lr=0.05, momentum=0, weight_decay=0)"))
    found = updates(made)
    with TemporaryDirectory() as folder:
        trainer = made.trainer(Path(folder))
        batch = trainer.feed.batch(0)
        loss = nn.functional.cross_entropy(trainer.module(*batch.inputs), batch.target)
        weights = dict(trainer.module.named_parameters())
        slopes = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    for name, first, _ in found.rows:
        ratio = 0.05 * slopes[str(name)].norm() / weights[str(name)].norm()
        assert first == pytest.approx(ratio.item(), rel=1e-3)
    assert len(found.rows) == 2


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.8, True)])
def test_a_range_test_is_a_loop_by_hand(momentum: float, nesterov: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "UPDATES", 30)
    optimizer = f"sgd(lr=0.02, momentum={momentum}, nesterov={str(nesterov).lower()})"
    made = subject(SMALL.format(optimizer=optimizer))
    found = learning_rates(made)
    with TemporaryDirectory() as folder:
        trainer = made.trainer(Path(folder))
        weights = [p.detach().clone().requires_grad_() for p in trainer.module.parameters()]
        state = trainer.module.state_dict()
        batches = [trainer.feed.batch(n) for n in range(trainer.total)]
    plain = torch.optim.SGD(weights, lr=1.0, momentum=momentum, nesterov=nesterov)
    losses: list[float] = []
    rates = np.geomspace(0.02 * 1e-4, 0.02 * 1e3, 30)
    for n in range(len(found.rows)):
        plain.param_groups[0]["lr"] = rates[n]
        batch = batches[n % len(batches)]
        x = ((batch.inputs[0] - state["standardize.mean"]) / state["standardize.std"]).flatten(1)
        scores = torch.tanh(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]
        loss = nn.functional.cross_entropy(scores, batch.target)
        losses.append(loss.item())
        plain.zero_grad()
        loss.backward()
        plain.step()
    weights = [0.9 ** np.arange(n, -1, -1) for n in range(len(losses))]
    means = [float(np.average(losses[: n + 1], weights=w)) for n, w in enumerate(weights)]
    assert len(found.rows) > 20
    np.testing.assert_allclose(
        np.array(found.rows, float), np.column_stack([rates[: len(losses)], losses, means]), 1e-3
    )


def test_a_range_test_ends_where_the_loss_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "UPDATES", 50)
    monkeypatch.setattr(steps, "LOST", 2.0)
    found = learning_rates(subject(SMALL.format(optimizer="sgd(lr=0.1, momentum=0.9)")))
    rates = [row[0] for row in found.rows]
    assert rates == sorted(rates)  # type: ignore[type-var]
    assert len(rates) < 50
    assert "it is lost from an lr of" in found.said[1]
    assert min(found.rows, key=lambda r: r[2])[2] < found.rows[0][2]  # type: ignore[arg-type, return-value, operator]


def test_a_branch_of_zeros_is_not_missed() -> None:
    made = subject(LINKED)
    module = made.module()
    linears = [n for n, _ in module.named_modules() if n.endswith("linear") or ".linear" in n or n.startswith("linear")]
    second = linears[2]
    with torch.no_grad():
        for p in module.get_submodule(second).parameters():
            p.zero_()
    found = paths(replace(made, trained=module, samples=200))
    own, *single = (row[1] for row in found.rows)
    assert len(single) == 4
    assert single[1] == own
    assert found.columns[1] == "accuracy"
    fresh = paths(made)
    assert fresh.rows[0] == ("(whole net)", 1.0)
    assert all(row[1] < 1 for row in fresh.rows[1:])  # type: ignore[operator]
    assert fresh.columns[1] == "likeness of the output"


def test_a_net_without_links_has_no_paths() -> None:
    with pytest.raises(Fault) as refused:
        paths(subject(SMALL.format(optimizer="adamw(lr=1e-3)")))
    assert "has no residual links" in refused.value.diagnostic.message
