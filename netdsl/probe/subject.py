"""The subject of a probe: a net with its weights, of a run or fresh ones, and samples for it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import Fault, fault
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.pipeline import Net
from netdsl.planning.initialization import NetParameters
from netdsl.planning.recipes import change_recipe
from netdsl.probe.machine import Machine
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import spread
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.initialize import Start, initialize
from netdsl.training.opened import open_trained, reopened
from netdsl.training.setup import Prepared, prepare, start
from netdsl.training.trainer import Trainer, Watch
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import choose

ROOM = 2_000_000_000
"""Bytes that the values of the samples may take."""


WORK = 10_000_000_000
"""MACs that one pass over the samples may take."""


class Subject(Struct, frozen=True, eq=False):
    """A net of known sizes. `recipe`: what trains it; `trained`: its weights, where a run has left them.

    `base`: the folder that the recipe's paths are relative to; `samples`: how many are looked at.
    """

    net: Net
    recipe: Recipe
    base: Path
    seed: int = 0
    samples: int = 64
    trained: nn.Module | None = None

    @property
    def program(self) -> Program:
        return self.net.checked

    def module(self, seed: int = 0, init: Sequence[Any] | None = None) -> nn.Module:
        """A copy of the trained module, which a signal may change; or a fresh one with the recipe's init."""
        if self.trained is not None:
            return deepcopy(self.trained)
        module = self.net.module(self.seed + seed)
        about = Start(module, NetParameters.of(self.program), self.base, self.program)
        initialize(self.recipe.init if init is None else init, about, self.seed + seed)
        return module

    def noise(self, seed: int = 0, share: int = 1) -> list[Tensor]:
        """Normal numbers, and whole ones that the net can read; of so many samples that `share` times as many can be
        looked at."""
        count = self.fitting(-(-self.samples // share), share)
        return draw_inputs(self.program, count, {}, self.seed + seed)

    def fitting(self, samples: int, share: int = 1) -> int:
        """As many of these samples as there is room and time for, two at least: a norm needs more than one."""
        macs = totals(self.program.main).macs
        work = share * macs if isinstance(macs, int) else 0
        return max(min(2, samples), min(samples, ROOM // max(1, self.bytes()), WORK // max(1, work)))

    def bytes(self) -> int:
        """The bytes that all values of one sample take with their gradients, in float64."""
        written = totals(self.program.main).activation_bytes
        return 4 * written if isinstance(written, int) else 0

    def prepared(self) -> Prepared:
        """The recipe's data and the net that reads them. Raises DataError."""
        return prepare(self.net, self.recipe, self.base, torch.device("cpu"))

    def data(self) -> tuple[Machine, list[Tensor], list[str]]:
        """The net with its preprocessing, op by op, and samples from all of its training data. Raises DataError."""
        made = self.prepared()
        self.filled(made.module)
        inputs, _ = made.train.take(spread(self.fitting(min(self.samples, len(made.train))), made.train))
        return Machine(made.net.checked, made.module.eval()), list(inputs), [made.data.name]

    def filled(self, module: nn.Module) -> nn.Module:
        """A module of the same net, with the trained weights where there are any."""
        if self.trained is not None:
            module.load_state_dict(self.trained.state_dict(), strict=False)
        return module

    def trainer(self, folder: Path, watch: Watch = lambda what, numbers: None) -> Trainer:
        """The training loop of the recipe, at its first step. Raises DataError."""
        made = self.prepared()
        self.filled(made.module)
        return start(made, folder, ProcessGroup(), watch)


def with_init(subject: Subject, text: str) -> tuple[Any, ...]:
    """The words of an `init` as a recipe would write them. Raises Fault."""
    return changed(subject.recipe, subject.net, "init", text).init


def of_run(folder: Path, data: str | None, samples: int, seed: int) -> Subject:
    """The net of a run directory with its weights. Raises CheckpointError, and Fault for data that are none."""
    net, recipe, about = reopened(folder)
    found = open_trained(folder).module
    if found is None:
        raise fault("not-supported", f"the weights in {folder} are no module's", None)
    net = of_known_sizes(net)
    module = net.module(0).eval()
    module.load_state_dict(found.state_dict(), strict=False)  # without the statistics of the data
    if data is not None:
        recipe = changed(recipe, net, "data", data)
    return Subject(net, recipe, Path(about.base), seed, samples, module)


def changed(recipe: Recipe, net: Net, field: str, text: str) -> Recipe:
    """A recipe with one field as it would be written. Raises Fault."""
    found = change_recipe(recipe, net.spec.elaborator.evaluator, {field: text})
    if found.recipe is None:
        raise Fault(found.diagnostics[0])
    return found.recipe


def of_known_sizes(net: Net) -> Net:
    """A net with numbers for its named sizes, small ones that fit its constraints. Raises Fault."""
    names = frozenset[str]().union(*(v.type.names for v in net.checked.main.inputs))
    if not names:
        return net
    try:
        sizes = choose(net.checked)[0].named
    except ValueError as error:
        raise fault("unfit-size", str(error), None, "give them with `--size`") from None
    return net.spec.net(net.name, net.arguments, {**sizes, **net.sizes}, net.options)


def no_such(subject: Subject, what: str, why: str) -> Fault:
    """The refusal of a signal that a net has no place for."""
    return fault("not-supported", f"`{subject.net.name}` has no {what}: {why}", None)


def kinds(subject: Subject, *wanted: str) -> bool:
    """Whether a net has ops of any of these kinds."""
    return any(node.op.kind in wanted for node in flatten(subject.program))
