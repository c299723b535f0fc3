"""A search: Optuna chooses trials, each a cell of its own, and what became of them is in a journal beside the runs.

Sampling: at random, or by a tree-structured Parzen estimator (Bergstra et al. 2011). Pruning: hyperband (Li et al.
2018), or whatever is below the median of others at the same step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, UserError
from netdsl.experiment import files
from netdsl.experiment.files import Outcome, open_folder, outcome
from netdsl.experiment.planned import PlannedCell, Setting, Trial, Unfit, machine_speed, planned
from netdsl.experiment.pool import Say
from netdsl.experiment.results import PRUNED, Results, results
from netdsl.experiment.run import FATAL, Options, held, job_of, pool_of
from netdsl.experiment.worker import Answer, Job
from netdsl.planning.experiments import Cell, Factor
from netdsl.planning.measures import measure_kind

JOURNAL = "search.journal"


def optuna() -> Any:
    """The package, quiet. Raises UserError where it is not installed."""
    try:
        import optuna
    except ImportError:
        hint = "pip install 'netdsl[search]'"
        raise UserError(
            "missing-package", "a search needs the package `optuna`, which is not installed", hint
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def study(setting: Setting, folder: Path) -> Any:
    """The study in a folder's journal, made where there is none. The sampler's seed is the number of trials that have
    been, so that a resumed search does not draw the first trials again."""
    package = optuna()
    search = setting.experiment.search
    assert search is not None
    storage = package.storages.JournalStorage(package.storages.journal.JournalFileBackend(str(folder / JOURNAL)))
    kind = measure_kind(setting.experiment.objective)
    direction = "maximize" if kind is not None and kind.higher else "minimize"
    found = package.create_study(
        study_name=setting.experiment.name, storage=storage, direction=direction, load_if_exists=True
    )
    seed = len(found.trials)
    samplers = package.samplers
    found.sampler = samplers.RandomSampler(seed) if search.kind == "random" else samplers.TPESampler(seed=seed)
    pruners = {
        None: package.pruners.NopPruner,
        "median": package.pruners.MedianPruner,
        "hyperband": package.pruners.HyperbandPruner,
    }
    found.pruner = pruners[search.prune]()
    return found


class Searching:
    """Gives a search's trials one by one, and takes what became of them. A trial has a run for each seed; its value is
    the mean of the first measure over them."""

    def __init__(self, setting: Setting, folder: Path, options: Options, say: Say) -> None:
        self.setting = setting
        self.folder = folder
        self.options = options
        self.say = say
        self.study = study(setting, folder)
        self.open: dict[str, tuple[Any, list[Trial], list[float]]] = {}
        self.waiting: list[tuple[Any, list[Trial], list[float]]] = []
        self.parked: list[tuple[Any, list[Trial], list[float]]] = []
        self.stopped: Diagnostic | None = None
        self.speed = machine_speed()
        self.resume()

    def resume(self) -> None:
        """Begin again with the trials that were begun: their runs continue."""
        states = optuna().trial.TrialState
        for frozen in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            trial = optuna().trial.Trial(self.study, frozen._trial_id)
            self.waiting.append((trial, list(self.runs(self.cell(trial))), []))

    def cell(self, trial: Any) -> Cell:
        """The values of a trial, drawn where they are not yet."""
        return self.setting.experiment.cell(tuple(_suggested(trial, f) for f in self.setting.experiment.factors))

    def runs(self, cell: Cell) -> tuple[Trial, ...]:
        return planned(self.setting, cell, self.speed).trials

    def next(self) -> Job | None:
        if self.stopped is not None:
            return None
        while True:
            begun = self.waiting.pop(0) if self.waiting else self._asked()
            if begun is None:
                return None
            job = self._job(*begun)
            if job is not None:
                return job

    def _asked(self) -> tuple[Any, list[Trial], list[float]] | None:
        """A new trial; None where there are as many as were asked for. One whose cell does not check has failed."""
        search = self.setting.experiment.search
        assert search is not None
        while len(self.study.trials) < search.trials:
            trial = self.study.ask()
            cell = self.cell(trial)
            try:
                return trial, list(self.runs(cell)), []
            except Unfit as mistake:
                self.say(f"trial {trial.number + 1}: {cell.label} does not check: {mistake.diagnostics[0].message}")
                self.study.tell(trial, state=optuna().trial.TrialState.FAIL)
        return None

    def _job(self, trial: Any, left: list[Trial], values: list[float]) -> Job | None:
        """The next run of a trial that has not ended; None where all have, and the trial is told."""
        wanted = self.setting.experiment.wanted()
        while left:
            run = left.pop(0)
            if run.path in self.open:  # another trial has drawn the same values: its run is this one's too
                self.parked.append((trial, [run, *left], values))
                return None
            if not files.is_done(self.folder, run, wanted):
                self.open[run.path] = (trial, left, values)
                job = job_of(self.setting, self.folder, run, self.options)
                pruned = self.setting.experiment.search is not None and self.setting.experiment.search.prune
                return replace(job, watched=self.setting.experiment.objective if pruned and run.number == 0 else "")
            self._add(run, values)
        self._told(trial, values)
        return None

    def _add(self, run: Trial, values: list[float]) -> None:
        found = outcome(self.folder, run, (self.setting.experiment.objective,))
        values.append(found.measures.get(self.setting.experiment.objective, math.nan))

    def _told(self, trial: Any, values: list[float]) -> None:
        """Tell a trial's value; one with a run that failed has failed."""
        value = math.fsum(values) / len(values) if values else math.nan
        if math.isfinite(value):
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=optuna().trial.TrialState.FAIL)

    def may_continue(self, job: Job, step: int, value: float) -> bool:
        trial = self.open[job.path][0]
        trial.report(value, step)
        return not trial.should_prune()

    def end(self, job: Job, answer: Answer) -> None:
        trial, left, values = self.open.pop(job.path)
        self.waiting += self.parked
        self.parked = []
        head = f"trial {trial.number + 1}: {job.label}"
        if answer.pruned:
            self.say(f"{head}: pruned")
            files.write_json(Path(job.folder) / files.FAILED, files.Failed(PRUNED, PRUNED))
            self.study.tell(trial, state=optuna().trial.TrialState.PRUNED)
        elif answer.done:
            self._add(next(r for r in self.runs(self.cell(trial)) if r.path == job.path), values)
            self.say(f"{head}: {self.setting.experiment.objective} {values[-1]:.4g}")
            self.waiting.insert(0, (trial, left, values))
        elif answer.code:
            self.say(f"{head}: {answer.message}")
            if answer.code in FATAL:
                self.stopped = Diagnostic(answer.code, answer.message)
            else:
                self.study.tell(trial, state=optuna().trial.TrialState.FAIL)


def _suggested(trial: Any, factor: Factor) -> str:
    """The value of a factor in a trial, as text."""
    span = factor.range
    if span is None:
        return str(trial.suggest_categorical(factor.path, factor.values))
    if span.whole:
        return str(trial.suggest_int(factor.path, int(span.low), int(span.high), log=span.log))
    return f"{trial.suggest_float(factor.path, span.low, span.high, log=span.log):.6g}"


def search_trials(setting: Setting, folder: Path, options: Options, say: Say) -> Results:
    """Run a search, or resume it. Raises UserError."""
    optuna()
    open_folder(folder, setting.experiment.name)
    with held(folder):
        searching = Searching(setting, folder, options, say)
        search = setting.experiment.search
        assert search is not None
        left = search.trials - sum(t.state.is_finished() for t in searching.study.trials)
        if left > 0:
            pool_of(options, folder, left, say).run(searching)
    if searching.stopped is not None:
        hint = "what has ended is kept: the same command continues"
        raise UserError(searching.stopped.code, searching.stopped.message, hint)
    return found_so_far(setting, folder)


def found_so_far(setting: Setting, folder: Path) -> Results:
    """What the trials of a folder say by now, the best first."""
    found = study(setting, folder) if (folder / JOURNAL).exists() else None
    speed, factors = machine_speed(), setting.experiment.factors
    drawn = [t for t in (found.trials if found is not None else ()) if all(f.path in t.params for f in factors)]
    cells = [planned(setting, _frozen_cell(setting, frozen), speed) for frozen in drawn]
    distinct = list({c.trials[0].path: c for c in cells}.values())
    wanted = setting.experiment.wanted()
    outcomes: dict[str, Outcome] = {t.path: outcome(folder, t, wanted) for c in distinct for t in c.trials}
    return results(setting.experiment, _ranked(setting, distinct, outcomes), outcomes, {})


def _frozen_cell(setting: Setting, frozen: Any) -> Cell:
    values = []
    for factor in setting.experiment.factors:
        value = frozen.params[factor.path]
        values.append(f"{value:.6g}" if isinstance(value, float) else str(value))
    return setting.experiment.cell(tuple(values))


def _ranked(setting: Setting, cells: Sequence[PlannedCell], outcomes: dict[str, Outcome]) -> list[PlannedCell]:
    """The cells by their first measure, the best first; those without one last."""
    objective = setting.experiment.objective
    kind = measure_kind(objective)
    sign = -1.0 if kind is not None and kind.higher else 1.0

    def rank(cell: PlannedCell) -> float:
        values = [outcomes[t.path].measures.get(objective, math.nan) for t in cell.trials]
        value = math.fsum(values) / len(values)
        return sign * value if math.isfinite(value) else math.inf

    return sorted(cells, key=rank)


def search_plan(setting: Setting) -> list[str]:
    """What a search will do, in words."""
    e = setting.experiment
    search = e.search
    assert search is not None
    pruned = f", pruned by {search.prune}" if search.prune else ""
    lines = [f"{e.name}: {search.trials} trials by {search.kind}{pruned}, {e.seeds} seeds each, of {e.net}"]
    for f in e.factors:
        span = f.range
        drawn = (
            f"{span.low:g} to {span.high:g}{', by its logarithm' if span.log else ''}" if span else ", ".join(f.values)
        )
        lines.append(f"  {f.path}: {drawn}")
    kind = measure_kind(e.objective)
    lines.append(f"  {'the largest' if kind is not None and kind.higher else 'the smallest'} {e.objective} is sought")
    return lines
