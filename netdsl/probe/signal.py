"""`signal`: mean and variance of what every layer gives, and of the gradient there, at the start of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from msgspec import Struct

from netdsl.ir.flatten import Node
from netdsl.probe.machine import Machine, Values
from netdsl.probe.model import Cell, Finding, Plot
from netdsl.probe.subject import Subject
from netdsl.probe.theory import Moments, Theory, measured
from netdsl.view.items import family

VERDICTS = ((1e-3, "fades"), (0.1, "falls"), (10.0, "holds"), (1e3, "grows"), (math.inf, "explodes"))
"""What is said of a signal that keeps less than so much of itself on its way through the net: what comes out at the
other end is bounded, and not the rate of a layer, which is harmless in ten layers and fatal in a hundred."""


WEIGHING = ("conv", "linear", "attention")
"""Families of ops by whose number the depth of a net without sums is counted."""


class Row(Struct, frozen=True):
    """One layer: what it gives, measured and expected, and the mean square of the gradient of it. `weighs`: whether it
    multiplies by weights, as norms and activations do not."""

    layer: str
    kind: str
    found: Moments
    expected: Moments | None
    gradient: float | None
    weighs: bool


def signal(subject: Subject, inits: Sequence[tuple[str, Any]]) -> Finding:
    """The signal with the recipe's own initialisation, or with each of several."""
    rows = {name: _rows(subject, words) for name, words in inits or [("", None)]}
    said = [line for name, found in rows.items() for line in _said(name, found)]
    several = len(rows) > 1
    table: list[tuple[Cell, ...]] = []
    for name, found in rows.items():
        for row in found:
            expected = None if row.expected is None else row.expected.variance
            numbers: tuple[Cell, ...] = (row.found.mean, row.found.variance, expected, row.gradient)
            table.append((*((name,) if several else ()), row.layer, row.kind, *numbers))
    columns = ("layer", "op", "mean", "variance", "expected", "gradient^2")
    return Finding("signal", tuple(said), (("init",) if several else ()) + columns, tuple(table), tuple(_plots(rows)))


def _rows(subject: Subject, init: Any) -> list[Row]:
    module = subject.module(0, init).double()
    machine = Machine(subject.program, module, learning=subject.trained is None)
    values = machine.run([x.double() if x.is_floating_point() else x for x in subject.noise()])
    gradients = _gradients(machine, values)
    tensors = dict(module.named_parameters())
    with torch.no_grad():
        expected = Theory(machine, tensors).follow(values)
    rows = []
    for node in machine.flat:
        if is_told(node) and values[node.outputs[0].name].is_floating_point():
            name = node.outputs[0].name
            slope = gradients.get(name)
            weighs = family(node.op) in WEIGHING
            rows.append(Row(node.path, node.op.kind, measured(values[name].detach()), expected[name], slope, weighs))
    return rows


def is_told(node: Node) -> bool:
    """Whether an op is a row: what has weights and what acts, and sums that close a residual link."""
    return node.residual or family(node.op) in (*WEIGHING, "norm", "activation")


def _gradients(machine: Machine, values: Values) -> dict[str, float]:
    """The mean square of the gradient of a random sum of the outputs, for every value that it depends on."""
    random = torch.Generator().manual_seed(0)
    outputs = [x for x in machine.outputs(values) if x.requires_grad]
    names = [v.name for node in machine.flat for v in node.outputs if values[v.name].requires_grad]
    if not outputs:
        return {}
    total = sum(((x * torch.randn(x.shape, generator=random)).sum() for x in outputs), torch.zeros(()))
    found = torch.autograd.grad(total, [values[n] for n in names], allow_unused=True)
    return {n: g.square().mean().item() for n, g in zip(names, found, strict=True) if g is not None}


def layers(rows: Sequence[Row]) -> list[Row]:
    """The rows by which the depth of a net is counted: its sums, or where it has none its layers with weights."""
    sums = [r for r in rows if r.kind == "add"]
    return sums if len(sums) > 1 else [r for r in rows if r.weighs]


def followed(rows: Sequence[Row]) -> list[Row]:
    """The layers that a signal is followed over: all but the head."""
    counted = layers(rows)
    return counted[:-1] if len(counted) > 3 and counted[-1].kind != "add" else counted


def _known(numbers: Sequence[float | None]) -> list[float]:
    return [n for n in numbers if n is not None and math.isfinite(n) and n > 0]


def rate(numbers: Sequence[float | None]) -> float | None:
    """By what a number is multiplied from one layer to the next, from the first to the last one but the head."""
    known = _known(numbers)
    return (known[-1] / known[0]) ** (1 / (len(known) - 1)) if len(known) > 1 else None


def _said(name: str, rows: Sequence[Row]) -> list[str]:
    counted = followed(rows)
    prefix = f"{name}: " if name else ""
    if len(counted) < 2:
        return [f"{prefix}the net has fewer than two layers: there is no course to follow"]
    unit = _unit(counted)
    theory = [r.expected.variance if r.expected else None for r in counted]
    adds = _adds_up(_known(theory)) if None not in theory else None
    lines = [f"{prefix}{course('the variance', unit, len(counted), [r.found.variance for r in counted], adds)}"]
    expected = _told(theory)
    if expected is not None:
        lines[0] += f"; by theory {expected}"
    slopes = [r.gradient for r in counted][::-1]
    if rate(slopes) is not None:
        lines.append(f"{prefix}{course('backward, the squared gradient', unit, len(counted), slopes)}")
    return lines


def _unit(rows: Sequence[Row]) -> str:
    """A word for the rows that are counted."""
    return "residual sum" if rows and rows[0].kind == "add" else "layer"


def course(what: str, unit: str, count: int, numbers: Sequence[float | None], adds: bool | None = None) -> str:
    """How a number goes from layer to layer, in words; `adds`: whether it grows in equal steps, where theory knows."""
    if any(n is not None and not math.isfinite(n) for n in numbers):
        return f"{what} is not finite after {count} {unit}s: nothing can be learnt"
    told = _told(numbers, adds)
    if told is None:
        return f"{what} cannot be followed over {count} {unit}s"
    known = _known(numbers)
    whole = known[-1] / known[0]
    if adds is None and _inverses_add_up(known):
        return f"{what} grows as 1/depth: x{whole:.2g} in all, over {count} {unit}s"
    adds = _adds_up(known) if adds is None else adds
    verdict = "adds up" if adds else next((word for most, word in VERDICTS if whole < most), "explodes")
    return f"{what} {verdict}: {told} a {unit} over {count} {unit}s, x{whole:.2g} in all"


def _told(numbers: Sequence[float | None], adds: bool | None = None) -> str | None:
    """The factor from layer to layer or, where steps are equal, the step; None where a number cannot be followed."""
    known, found = _known(numbers), rate(numbers)
    if found is None:
        return None
    adds = _adds_up(known) if adds is None else adds
    return f"+{(known[-1] - known[0]) / (len(known) - 1):.3g}" if adds else f"x{found:.3g}"


def _adds_up(known: Sequence[float]) -> bool:
    """Whether numbers grow in equal steps and not by equal factors, as variances do where every branch is normed.

    Told from 2 times the first number on: below it, the two look the same. The error of a line is the root of the mean
    square of logarithms; where it fits, it is under 0.1 and under half of that of equal factors.
    """
    if len(known) < 4 or known[-1] < 2 * known[0]:
        return False
    parts = [i / (len(known) - 1) for i in range(len(known))]
    steps = [known[0] + (known[-1] - known[0]) * part for part in parts]
    factors = [known[0] * (known[-1] / known[0]) ** part for part in parts]
    error = _error(known, steps)
    return error < 0.1 and error < _error(known, factors) / 2


def _inverses_add_up(known: Sequence[float]) -> bool:
    """Whether numbers grow as the inverses of numbers that add up: gradients, backward through such variances."""
    return _adds_up([1 / n for n in reversed(known)])


def _error(found: Sequence[float], curve: Sequence[float]) -> float:
    return math.sqrt(sum(math.log(n / c) ** 2 for n, c in zip(found, curve, strict=True)) / len(found))


def _plots(rows: dict[str, list[Row]]) -> list[Plot]:
    forward: dict[str, tuple[tuple[float, float], ...]] = {}
    backward: dict[str, tuple[tuple[float, float], ...]] = {}
    unit = "layer"
    for name, every in rows.items():
        found = followed(every)
        unit = _unit(found)
        label = name if len(rows) > 1 else "measured"
        forward[label] = tuple((i, r.found.variance) for i, r in enumerate(found, 1))
        expected = tuple((i, r.expected.variance) for i, r in enumerate(found, 1) if r.expected is not None)
        forward[f"{label} by theory"] = expected
        backward[label] = tuple((i, r.gradient) for i, r in enumerate(found, 1) if r.gradient is not None)
    return [
        Plot(f"variance after each {unit}", unit, "variance", forward, True),
        Plot(f"squared gradient at each {unit}", unit, "squared gradient", backward, True),
    ]
