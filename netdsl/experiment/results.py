"""The results of an experiment: a row for each cell, and what its comparisons come to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from netdsl.experiment.files import Outcome
from netdsl.experiment.planned import PlannedCell, Trial
from netdsl.experiment.statistics import Difference, deviation, difference, holm, mean
from netdsl.planning.experiments import Cell, Comparison, Experiment

PRUNED = "pruned"
"""Why a run of a search has no results: it lagged behind and was ended."""


class Amount(Struct, frozen=True):
    """A measure of a cell: the mean over `n` runs, and their deviation (None of one)."""

    mean: float
    deviation: float | None
    n: int


class Row(Struct, frozen=True, eq=False):
    """A cell: its measures, each run's (None: it has not ended well), and the runs that failed, with why."""

    cell: Cell
    trials: tuple[Trial, ...]
    amounts: dict[str, Amount]
    runs: tuple[dict[str, float] | None, ...]
    failed: tuple[tuple[Trial, str], ...]

    @property
    def n(self) -> int:
        """How many runs have ended."""
        return sum(run is not None for run in self.runs)


class Test(Struct, frozen=True, eq=False):
    """A cell compared with the one that has the value `against`; None where no pair of runs has ended. `corrected`: p
    by Holm, among all tests of the comparison."""

    cell: Cell
    found: Difference | None
    corrected: float | None


class Compared(Struct, frozen=True, eq=False):
    """A comparison with its tests."""

    comparison: Comparison
    tests: tuple[Test, ...]


class Results(Struct, frozen=True, eq=False):
    """Everything that an experiment has found so far."""

    experiment: Experiment
    rows: tuple[Row, ...]
    compared: tuple[Compared, ...]

    @property
    def total(self) -> int:
        """How many runs there are."""
        return sum(len(row.trials) for row in self.rows)

    @property
    def ended(self) -> int:
        """How many runs have ended, well or not."""
        return sum(row.n + len(row.failed) for row in self.rows)


def results(
    experiment: Experiment,
    cells: Sequence[PlannedCell],
    outcomes: Mapping[str, Outcome],
    failures: Mapping[str, str],
) -> Results:
    """The results of runs by their path. `failures`: runs that failed this time, by path, with why."""
    rows = tuple(_row(experiment, cell, outcomes, failures) for cell in cells)
    compared = () if experiment.search else tuple(_compared(c, rows) for c in experiment.comparisons)
    return Results(experiment, rows, compared)


def _row(
    experiment: Experiment, planned: PlannedCell, outcomes: Mapping[str, Outcome], failures: Mapping[str, str]
) -> Row:
    known = {m: v for m, v in _known(planned).items() if m in experiment.wanted()}
    why = {t.path: _failure(outcomes.get(t.path), failures.get(t.path)) for t in planned.trials}
    failed = tuple((t, said) for t in planned.trials if (said := why[t.path]) is not None)
    measured = [_measured(outcomes.get(t.path)) for t in planned.trials]
    runs = [None if m is None else {**m, **known} for m in measured]
    amounts = {m: _amount(runs, m, known.get(m)) for m in experiment.wanted()}
    return Row(planned.cell, planned.trials, {m: a for m, a in amounts.items() if a}, tuple(runs), failed)


def _measured(found: Outcome | None) -> dict[str, float] | None:
    return found.measures if found is not None else None


def _failure(found: Outcome | None, now: str | None) -> str | None:
    """Why a run failed: what its folder says, or what was said now."""
    return found.failed.message if found is not None and found.failed is not None else now


def _amount(runs: Sequence[Mapping[str, float] | None], measure: str, known: float | None) -> Amount | None:
    values = [run[measure] for run in runs if run is not None and measure in run]
    if values:
        return Amount(mean(values), deviation(values), len(values))
    return Amount(known, None, 0) if known is not None else None


def _known(planned: PlannedCell) -> dict[str, float]:
    """The measures of a cell that are known without running it."""
    names = ("params", "buffers", "macs", "steps", "samples")
    found = {name: getattr(planned, name) for name in names}
    return {name: float(value) for name, value in found.items() if value is not None}


def _compared(comparison: Comparison, rows: Sequence[Row]) -> Compared:
    by_values = {tuple(sorted(row.cell.values.items())): row for row in rows}
    found: list[tuple[Cell, Difference | None]] = []
    for row in rows:
        if row.cell.values[comparison.path] != comparison.against:
            reference = {**row.cell.values, comparison.path: comparison.against}
            found.append((row.cell, _paired(comparison.measure, row, by_values[tuple(sorted(reference.items()))])))
    tested = [i for i, (_, d) in enumerate(found) if d is not None]
    corrected = dict(zip(tested, holm([found[i][1].p for i in tested]), strict=True))  # type: ignore[union-attr]
    return Compared(comparison, tuple(Test(c, d, corrected.get(i)) for i, (c, d) in enumerate(found)))


def _paired(measure: str, row: Row, reference: Row) -> Difference | None:
    """The differences of the runs of two cells with the same seed, where both have ended."""
    pairs = zip(row.runs, reference.runs, strict=True)
    differences = [a[measure] - b[measure] for a, b in pairs if a and b and measure in a and measure in b]
    differences = [d for d in differences if math.isfinite(d)]
    return difference(differences) if differences else None
