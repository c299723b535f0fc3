"""`dead`: units of a ReLU that are 0 for every sample, and the elbows of a net of one input."""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.ir.flatten import Node
from netdsl.probe.machine import Machine, Values
from netdsl.probe.model import Finding, Plot
from netdsl.probe.subject import Subject, kinds, no_such

RELUS = ("relu", "relu6")


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
            found.append(Units(node.path, active.shape[1], _share(~active.any(0)), _share(active)))
    units = sum(u.count for u in found)
    whole = sum(u.count * u.dead for u in found) / units
    said = [f"{whole:.1%} of {units:,} units are 0 for all of {len(inputs[0]):,} samples of {names[0]}"]
    worst = max(found, key=lambda u: u.dead)
    if worst.dead:
        said.append(f"most of them in `{worst.path}`: {worst.dead:.0%} of {worst.count:,} units")
    said += _elbows(machine, values)
    plots = (
        Plot("dead units", "ReLU", "share", {"dead": [(i, u.dead) for i, u in enumerate(found, 1)]}),
        Plot(
            "how often a unit is above 0", "ReLU", "share", {"active": [(i, u.active) for i, u in enumerate(found, 1)]}
        ),
    )
    rows = tuple((u.path, u.count, u.dead, u.active) for u in found)
    return Finding("dead", tuple(said), ("layer", "units", "dead", "active"), rows, plots)


def _share(x: Tensor) -> float:
    return x.float().mean().item()


def by_unit(node: Node, x: Tensor) -> Tensor:
    """A value as [samples and positions, units]: channels of maps, features of sequences and vectors."""
    rank = len(node.outputs[0].type.shape)
    axis = 1 if rank in (1, 3, 4) else -1
    return x.movedim(axis, -1).reshape(-1, x.shape[axis])


def _elbows(machine: Machine, values: Values) -> list[str]:
    """Where the units of the first layer of a net of one input begin to act: at -b/w (a unit of another sign ends)."""
    first = machine.flat.nodes[0]
    single = [v.type.shape for v in machine.flat.inputs] == [(1,)]
    tensors = dict(machine.tensors)
    weight, bias = tensors.get(f"{first.layer_path}.weight"), tensors.get(f"{first.layer_path}.bias")
    if not single or first.op.kind != "linear" or weight is None or bias is None:
        return []
    x = values[first.inputs[0].name]
    places = -bias / weight.flatten()
    low, high = x.min(), x.max()
    inside = ((places >= low) & (places <= high)).float().mean().item()
    middle = places.abs().median().item()
    return [
        f"{inside:.1%} of the {len(places):,} elbows of `{first.layer_path}` (-b/w) are among the samples, from "
        f"{low.item():.3g} to {high.item():.3g}; half of them are nearer to 0 than {middle:.3g}"
    ]
