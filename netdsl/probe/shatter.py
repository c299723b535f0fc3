"""`shatter`: how alike the input gradients of neighbouring inputs are (Balduzzi et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from netdsl.diagnostics.memory import check_room
from netdsl.probe.machine import Machine
from netdsl.probe.model import Cell, Finding, Plot
from netdsl.probe.subject import Subject, no_such

NETS, POINTS, REACH, LAGS = 10, 256, 2.0, 15
"""Nets, points of the way through the inputs (from -REACH to REACH deviations), and the distances in points."""

SHATTERED, SMOOTH = 0.3, 0.8


def shatter(subject: Subject) -> Finding:
    """The correlation of input gradients over their distance, averaged over nets. Raises Fault for integer inputs."""
    inputs = subject.program.main.inputs
    if any(v.type.dtype != "float32" for v in inputs):
        raise no_such(subject, "input of numbers", "only those have a gradient")
    check_room(f"{POINTS} samples of `{subject.net.name}`", POINTS * subject.bytes())
    nets = 1 if subject.trained is not None else NETS
    found = _averaged(lambda seed: _gradients(subject, seed), nets)
    brown = _averaged(lambda seed: torch.randn(POINTS, generator=_random(seed)).cumsum(0), 20)
    white = _averaged(lambda seed: torch.randn(POINTS, generator=_random(seed)), 20)
    verdict = "shattered: like white noise" if found[1] < SHATTERED else "smooth" if found[1] > SMOOTH else "between"
    said = [
        f"neighbouring inputs have input gradients that correlate by {found[1]:.2f} ({verdict})",
        f"white noise has {white[1]:.2f}, brown noise {brown[1]:.2f}; {POINTS} points over {2 * REACH:g} deviations",
    ]
    rows: list[tuple[Cell, ...]] = [(lag, found[lag], brown[lag], white[lag]) for lag in range(LAGS + 1)]
    names = ("the net", "brown noise", "white noise")
    series = {n: tuple(enumerate(line)) for n, line in zip(names, (found, brown, white), strict=True)}
    plot = Plot("correlation of input gradients", "distance in points", "correlation", series)
    return Finding("shatter", tuple(said), ("distance", *names), tuple(rows), (plot,))


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _averaged(gradients: Callable[[int], Tensor], nets: int) -> list[float]:
    """The correlation by distance, averaged over nets."""
    every = torch.stack([correlation(gradients(seed)) for seed in range(nets)])
    return [float(v) for v in every.nanmean(0).tolist()]


def correlation(g: Tensor) -> Tensor:
    """The correlation of a sequence with itself, a distance of 0 to LAGS apart."""
    g = g.double() - g.double().mean()
    whole = g.square().sum()
    return torch.stack([(g[: len(g) - lag] * g[lag:]).sum() / whole for lag in range(LAGS + 1)])


def _gradients(subject: Subject, seed: int) -> Tensor:
    """The slope of a random sum of the outputs along a straight way through the inputs, at every point of it."""
    module = subject.module(seed).double()
    machine = Machine(subject.program, module, learning=subject.trained is None)
    random = _random(subject.seed + seed)
    steps = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64, requires_grad=True)
    inputs = []
    for value in machine.flat.inputs:
        shape = [s for s in value.type.shape if isinstance(s, int)]
        way = torch.randn(shape, generator=random, dtype=torch.float64)
        way = way.sign() if way.numel() == 1 else way / way.square().mean().sqrt()
        inputs.append(steps.view(-1, *[1] * len(shape)) * way)
    outputs = machine.outputs(machine.run(inputs))
    total = sum(((x * torch.randn(x.shape[1:], generator=random)).sum() for x in outputs), torch.zeros(()))
    (slope,) = torch.autograd.grad(total, steps)
    return slope
