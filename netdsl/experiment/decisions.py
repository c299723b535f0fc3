"""Seeds of a cell that are trained as one batched model: for which cells, and in what parts, is decided once.

The numbers of a run depend on the rounding of what it is computed with. So the decision is kept in the experiment's
folder before any of these runs has a result: whoever resumes computes every number in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

from msgspec import Struct

from netdsl.diagnostics.memory import available
from netdsl.experiment import files
from netdsl.experiment.files import TRIAL
from netdsl.experiment.planned import PlannedCell, Trial, folder_name

BATCHED = "batched.json"

LEAST = 4
"""Seeds of a cell from which batches of them are tried: fewer are hardly faster, and stay what `netdsl train` gives to
the bit."""
MOST = 32
"""Seeds that are trained as one."""
FASTER = 1.3
"""How many times faster the first steps of a batch must be, so that it is worth the other rounding."""
ANY = 1e-9
"""The same where whoever asks wants batches: any but 0, which says that a batch computes something else."""
SHARE = 0.5
"""The part of the free memory that all batches may take."""


class Decision(Struct, frozen=True):
    """How the seeds of a cell are trained: so many at once (1: one by one), as the first steps of a batch were so many
    times faster."""

    at_once: int
    faster: float = 0.0


class Decisions:
    """The decisions of a folder, by the folders of its cells."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BATCHED
        self.each: dict[str, Decision] = files.read(self.path, dict[str, Decision]) or {}

    def keep(self, cell: str, decision: Decision) -> None:
        """Decide on a cell. Raises UserError where that cannot be written."""
        self.each[cell] = decision
        files.write_json(self.path, self.each)


def parts(
    cells: Sequence[PlannedCell], folder: Path, decisions: Decisions, workers: int, mode: str
) -> Iterator[tuple[Trial, ...]]:
    """All runs of a grid in parts that are trained as one, each of consecutive seeds; most often of one run. `mode`:
    `auto`, `on` or `off`."""
    most = max(1, workers // max(1, len(cells)))
    for cell in cells:
        known = decisions.each.get(folder_name(cell.cell))
        begun = any((folder / t.path / TRIAL).exists() for t in cell.trials)
        if mode == "off" or len(cell.trials) < LEAST or cell.obstacle or (known is None and begun):
            at_once = 1
        else:
            at_once = known.at_once if known is not None else _at_once(cell, most, workers)
        for first in range(0, len(cell.trials), at_once):
            yield cell.trials[first : first + at_once]


def _at_once(cell: PlannedCell, parts: int, workers: int) -> int:
    """How many seeds of a cell are tried as one: all that fit, but each of `parts` cores that are idle gets some."""
    count = len(cell.trials)
    at_once = min(MOST, ceil(count / max(1, min(parts, count // LEAST))))
    free = available()
    too_large = free is not None and (cell.memory or 0) * at_once * workers > free * SHARE
    return 1 if too_large else at_once
