"""`paths`: a residual net as many shallow ones: what is lost without one of its branches or several (Veit et al.)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import Tensor

from netdsl.ir.flatten import Node
from netdsl.probe.machine import Edit, Machine
from netdsl.probe.model import Cell, Finding, Plot
from netdsl.probe.subject import Subject, no_such
from netdsl.training.data.dataset import spread

DRAWS = 3
"""So often are branches chosen at random, for every number of them."""


def paths(subject: Subject) -> Finding:
    """Measure each residual branch on test samples. Raises Fault for a net without residual links."""
    made = subject.prepared()
    program = made.net.checked
    machine = Machine(program, subject.filled(made.module).eval())
    links = [n for n in machine.flat if n.residual and n.inputs[0].type.same(n.outputs[0].type)]
    if not links:
        raise no_such(subject, "residual links", "no branch can be left out of it")
    split = made.data.test
    inputs, target = split.take(spread(subject.fitting(min(subject.samples, len(split))), split))
    names = [n.path for n in links]
    with torch.no_grad():
        whole = machine.outputs(machine.run(inputs))[0]
        scored = _score(subject, made.data.task, whole, target)

        def without(gone: Sequence[str]) -> float:
            return scored(machine.outputs(machine.run(inputs, removing(gone)))[0])

        own = scored(whole)
        single = [(name, without([name])) for name in names]
        several = [(k, _mean(without, names, k)) for k in range(1, len(names) + 1)]
    what = "accuracy" if subject.trained is not None and made.data.task == "classes" else "likeness of the output"
    rows: list[tuple[Cell, ...]] = [("(whole net)", own), *single]
    plots = [
        Plot(f"{what} without one branch", "branch", what, {what: tuple((i, s) for i, (_, s) in enumerate(single))}),
        Plot(f"{what} without several", "branches left out", what, {what: tuple(several)}),
    ]
    return Finding("paths", tuple(_said(what, own, single, several)), ("without", what), tuple(rows), tuple(plots))


def removing(gone: Sequence[str]) -> Edit:
    """Leaves out the branches that these sums add: the shortcut alone continues."""
    chosen = set(gone)

    def edit(node: Node, given: Sequence[Tensor], x: Tensor) -> Tensor:
        return given[0] if node.path in chosen else x

    return edit


def _score(subject: Subject, task: str, whole: Tensor, target: Tensor) -> Callable[[Tensor], float]:
    """A score of an output: of a trained net that tells classes apart its accuracy, else how like the whole net's
    it is (1: the same, 0: as far off as it is large)."""
    if subject.trained is not None and task == "classes":
        return lambda x: (x.argmax(1) == target).float().mean().item()
    return lambda x: max(0.0, 1 - ((x - whole).norm() / whole.norm()).item())


def _mean(without: Callable[[Sequence[str]], float], names: Sequence[str], k: int) -> float:
    random = Random(k)
    draws = 1 if k == len(names) else DRAWS
    return sum(without(random.sample(list(names), k)) for _ in range(draws)) / draws


def _said(
    what: str, own: float, single: Sequence[tuple[str, float]], several: Sequence[tuple[int, float]]
) -> list[str]:
    worst = min(single, key=lambda s: s[1])
    middle = sorted(s for _, s in single)[len(single) // 2]
    said = [
        f"{what} is {own:.1%}; without one of {len(single)} branches it is {middle:.1%} (median)",
        f"most is lost without that of `{worst[0]}`: {worst[1]:.1%}",
    ]
    half = several[len(several) // 2]
    return [*said, f"without {half[0]} at random it is {half[1]:.1%}"]
