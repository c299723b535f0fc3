"""`dead`: units of a ReLU that are 0 for every sample, and the elbows of a net of one input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.ir.flatten import Node
from netdsl.probe.machine import Machine, Values
from netdsl.probe.model import Finding, Plot
from netdsl.probe.subject import Subject, kinds, no_such

RELUS = ("relu", "relu6")

POINTS = 121
"""Places at which elbows are counted."""


class Units(Struct, frozen=True):
    """The units of one ReLU: how many, the share that is always 0, and how often one is above 0."""

    path: str
    count: int
    dead: float
    active: float


def dead(subject: Subject) -> Finding:
    """The share of dead units of every ReLU, over samples of the training data. Raises Fault for a net without one."""
    if not kinds(subject, *RELUS):
        raise no_such(subject, "ReLU", "only a unit that gives 0 for half of all numbers can die")
    machine, inputs, names = subject.data()
    with torch.no_grad():
        values = machine.run(inputs)
    found = []
    for node in machine.flat:
        if node.op.kind in RELUS:
            active = by_unit(node, values[node.outputs[0].name]) > 0
            found.append(Units(node.path, active.shape[1], share(~active.any(0)), share(active)))
    units = sum(u.count for u in found)
    whole = sum(u.count * u.dead for u in found) / units
    said = [f"{whole:.1%} of {units:,} units are 0 for all of {len(inputs[0]):,} samples of {names[0]}"]
    worst = max(found, key=lambda u: u.dead)
    if worst.dead:
        said.append(f"most of them in `{worst.path}`: {worst.dead:.0%} of {worst.count:,} units")
    elbows = _elbows(machine, values)
    if elbows is not None:
        said.append(elbows.said)
    rows = tuple((u.path, u.count, u.dead, u.active) for u in found)
    plots = (*_by_layer(found), *((elbows.plot(),) if elbows is not None else ()))
    return Finding("dead", tuple(said), ("layer", "units", "dead", "active"), rows, plots)


def _by_layer(found: Sequence[Units]) -> Iterator[Plot]:
    """The units of each ReLU, where there are several."""
    if len(found) > 1:
        yield Plot("dead units", "ReLU", "share", {"dead": [(i, u.dead) for i, u in enumerate(found, 1)]})
        active = [(i, u.active) for i, u in enumerate(found, 1)]
        yield Plot("how often a unit is above 0", "ReLU", "share", {"active": active})


def share(x: Tensor) -> float:
    """How many of the truths hold, from 0 to 1."""
    return x.float().mean().item()


def by_unit(node: Node, x: Tensor) -> Tensor:
    """A value as [samples and positions, units]: channels of maps, features of sequences and vectors."""
    rank = len(node.outputs[0].type.shape)
    axis = 1 if rank in (1, 3, 4) else -1
    return x.movedim(axis, -1).reshape(-1, x.shape[axis])


class Elbows(Struct, frozen=True, eq=False):
    """The places at which the units of a layer over one input begin or end to act, and where samples lie."""

    layer: str
    places: Tensor
    low: float
    high: float

    @property
    def said(self) -> str:
        inside = share((self.places >= self.low) & (self.places <= self.high))
        middle = self.places.abs().median().item()
        return (
            f"{inside:.1%} of the {len(self.places):,} elbows of `{self.layer}` (-b/w) are among the samples, from "
            f"{self.low:.3g} to {self.high:.3g}; half of them are nearer to 0 than {middle:.3g}"
        )

    def plot(self) -> Plot:
        """The share of elbows up to a place, from as far beside the samples as they reach."""
        width = self.high - self.low
        xs = torch.linspace(self.low - width, self.high + width, POINTS).tolist()
        below = [(x, share(self.places <= x)) for x in xs]
        return Plot("share of elbows up to a place", "place", "share", {"elbows": below})


def _elbows(machine: Machine, values: Values) -> Elbows | None:
    """The elbows of the first layer of a net of one input: at -b/w."""
    first = machine.flat.nodes[0]
    single = [v.type.shape for v in machine.flat.inputs] == [(1,)]
    tensors = dict(machine.tensors)
    weight, bias = tensors.get(f"{first.layer_path}.weight"), tensors.get(f"{first.layer_path}.bias")
    if not single or first.op.kind != "linear" or weight is None or bias is None:
        return None
    x = values[first.inputs[0].name]
    return Elbows(first.layer_path, -bias.detach() / weight.detach().flatten(), x.min().item(), x.max().item())
