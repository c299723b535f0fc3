"""The plan of an experiment: every cell checked, every run with its folder and its key, and what it will cost."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.elaborate.given import Expression
from netdsl.experiment.weights import digests, unpinned
from netdsl.ir.flatten import count_calls
from netdsl.ir.text import program_text
from netdsl.pipeline import Net, Spec
from netdsl.planning.batching import obstacle
from netdsl.planning.experiments import Cell, Experiment
from netdsl.planning.plan import plan
from netdsl.plugins.used import used
from netdsl.recipe.schema import Recipe, training_size
from netdsl.recipe.typed_paths import from_here
from netdsl.selection import Selection, select
from netdsl.version import LANGUAGE

LONGEST = 80
"""Characters of the name of a cell's folder."""

CALL = 25e-6
"""Seconds that one op call of a step costs besides its arithmetic: forward, backward and update, on one core."""

STEP = 8e-4
"""Seconds that a step costs besides its ops: drawing a batch, the optimizer's calls, the log."""

RUN = 0.2
"""Seconds that a run costs besides its steps: its spec and data, checkpoints, the evaluation and the report."""


class Trial(Struct, frozen=True, eq=False):
    """One run of a cell: where it goes, below the experiment's folder, and the key of all that decides its numbers but
    for the commits of weights `by_name`, which the experiment's folder keeps."""

    cell: Cell
    number: int
    seed: int
    path: str
    key: str
    by_name: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`blocks = 1, convs = 2, seed 0`."""
        return f"{self.cell.label}, seed {self.seed}"


class PlannedCell(Struct, frozen=True, eq=False):
    """A cell with its runs, and what one run costs. `macs`: of one sample, where that is known; `memory`: bytes that
    training takes at once. `obstacle`: what keeps its runs from being trained as one batched model."""

    cell: Cell
    trials: tuple[Trial, ...]
    params: int
    buffers: int
    macs: int | None
    steps: int | None
    samples: int | None
    flops: int | None
    seconds: float | None
    memory: int | None
    obstacle: str | None = None


class Setting(Struct, frozen=True, eq=False):
    """An experiment in its file, with what is changed from outside: fields of the recipe, sizes of the net's inputs."""

    spec: Spec
    experiment: Experiment
    settings: dict[str, str]
    sizes: dict[str, int]

    def selected(self, cell: Cell) -> Selection:
        """The net and the recipe of a cell, with every mistake."""
        e = self.experiment
        arguments = {n: Expression(v) for n, v in cell.net.items()}
        return select(self.spec, e.net, e.recipe or "none", {**self.settings, **cell.recipe}, arguments, self.sizes)


def planned(setting: Setting, cell: Cell, speed: float) -> PlannedCell:
    """A cell as it will be run. `speed`: multiply-accumulates in a second. Raises Unfit for a cell that does not
    check."""
    found = setting.selected(cell)
    if found.net is None or found.recipe is None:
        raise Unfit(cell, found.diagnostics)
    recipe = from_here(found.recipe, setting.settings)
    counted = totals(found.net.checked.main)
    try:
        made = plan(found.net, recipe, training_size(recipe))
    except Fault as mistake:
        raise Unfit(cell, (mistake.diagnostic,)) from None
    each = STEP + CALL * count_calls(found.net.checked.main)
    seconds = RUN + made.steps * each + made.flops / 2 / speed if made.flops and made.steps else None
    return PlannedCell(
        cell, trials(setting, cell, found.net, recipe), counted.params, counted.buffers,
        counted.macs if isinstance(counted.macs, int) else None, made.steps, made.samples, made.flops, seconds,
        made.memory, obstacle(found.net.checked, recipe),
    )  # fmt: skip


def trials(setting: Setting, cell: Cell, net: Net, recipe: Recipe) -> tuple[Trial, ...]:
    """The runs of a cell: run k begins from the recipe's seed and k, so that it draws the same in every cell."""
    text = program_text(net.checked)
    plugins = msgspec.to_builtins(used(net.checked, recipe))
    base = Path(setting.spec.source.name).parent
    weights, by_name = digests(recipe, base), unpinned(recipe, base)
    found = []
    for number in range(setting.experiment.seeds):
        seeded = replace(recipe, seed=recipe.seed + number)
        decides = [LANGUAGE, text, dict(setting.sizes), msgspec.to_builtins(replace(seeded, name=""))]
        decides += [*plugins, *weights]
        key = sha256(msgspec.json.encode(decides)).hexdigest()[:16]
        found.append(Trial(cell, number, seeded.seed, f"{folder_name(cell)}/seed-{seeded.seed}", key, by_name))
    return tuple(found)


def folder_name(cell: Cell) -> str:
    """The folder of a cell: its values, and where those are long or hold other characters, a hash of them."""
    written = ",".join(f"{path}={value}" for path, value in cell.values.items()) or "as-written"
    plain = re.sub(r"[^A-Za-z0-9_.=,+-]+", "_", written)
    if plain == written and len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST - 9].strip('_.,')}-{sha256(written.encode()).hexdigest()[:8]}"


class Unfit(Exception):  # noqa: N818 - it carries mistakes of a user
    """A cell that does not check."""

    def __init__(self, cell: Cell, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(cell.label)
        self.cell = cell
        self.diagnostics = tuple(d for d in diagnostics if d.severity == "error") or tuple(diagnostics)


def machine_speed() -> float:
    """Multiply-accumulates in a second of one core here, as small convolutions reach them: a third of what a matrix
    product does."""
    import numpy as np

    side = 256
    a = np.ones((side, side), np.float32)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        best = max(best, side**3 / max(1e-9, time.perf_counter() - began))
    return best / 3


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
