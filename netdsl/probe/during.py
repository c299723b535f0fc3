"""Signals of a net while it trains: how much a step changes each weight, and which ReLUs are dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from netdsl.inference.run_folder import SIGNALS, Look, read_signals
from netdsl.ir.flatten import flatten
from netdsl.probe.dead import RELUS, by_unit, share
from netdsl.probe.machine import Machine
from netdsl.training.data.dataset import spread
from netdsl.training.setup import Prepared
from netdsl.training.trainer import Trainer

LOOKS = 50
"""How often a run is looked at, about."""

APART = 20
"""Steps between two looks, at least: one takes about as long as a step, so that they cost no more than 5% of it."""

SAMPLES = 64
"""Training samples by which dead units are told."""


class During:
    """Writes the signals of a run to its folder; a step is looked at every `every` steps. Draws nothing and changes
    nothing: the run ends with the bits that it has without."""

    def __init__(self, prepared: Prepared, loop: Trainer, folder: Path) -> None:
        self.loop = loop
        self.file = folder / SIGNALS
        self.every = max(APART, loop.total // LOOKS)
        self.before: dict[str, Tensor] = {}
        kept = [line for line in read_signals(folder) if line.step <= loop.state.step]
        self.file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in kept))
        relus = any(node.op.kind in RELUS for node in flatten(prepared.net.checked))
        self.machine = Machine(prepared.net.checked, loop.module) if relus and not loop.factors else None
        split = loop.feed.split
        self.inputs = list(split.take(spread(SAMPLES, split))[0]) if self.machine else []
        self.inputs = [x.to(loop.device) for x in self.inputs]

    def __call__(self, what: str, numbers: dict[str, Any]) -> None:
        """Hear of a step: the one before a look keeps the weights, the look compares them."""
        if what != "step":
            return
        step = int(numbers["step"])
        if (step + 1) % self.every == 0:
            self.before = {n: p.detach().clone() for n, p in self._weights()}
        elif step % self.every == 0 and self.before:
            look = Look(step, dict(self._updates()), dict(self._dead()))
            with self.file.open("ab") as file:
                file.write(msgspec.json.encode(look) + b"\n")
            self.before = {}

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        return ((n, p) for n, p in self.loop.module.named_parameters() if p.requires_grad and p.ndim > 1)

    def _updates(self) -> Iterator[tuple[str, float]]:
        """The norm of the last change of each weight over its own."""
        for name, p in self._weights():
            old = self.before.get(name)
            if old is not None and (size := old.norm().item()):
                yield name, (p.detach() - old).norm().item() / size

    def _dead(self) -> Iterator[tuple[str, float]]:
        """The share of units of each ReLU that are 0 for all of the samples."""
        if self.machine is None:
            return
        with torch.no_grad():
            values = self.machine.run(self.inputs)
        for node in self.machine.flat:
            if node.op.kind in RELUS:
                active = by_unit(node, values[node.outputs[0].name]) > 0
                yield node.path, share(~active.any(0))


def during(prepared: Prepared, loop: Trainer, folder: Path) -> Callable[[str, dict[str, Any]], None]:
    """Look at a run while it trains."""
    return During(prepared, loop, folder)
