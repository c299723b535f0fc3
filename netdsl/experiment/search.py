"""A search: Optuna chooses trials, each a cell of its own, and what became of them is in a journal beside the runs.

Sampling: at random, or by a tree-structured Parzen estimator (Bergstra et al. 2011). Pruning: hyperband (Li et al.
2018), or whatever is below the median of others at the same step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, UserError
from netdsl.diagnostics.packages import needed_by
from netdsl.experiment import files
from netdsl.experiment.files import Outcome, check_trial, open_folder, outcome
from netdsl.experiment.jobs import Answer, Job
from netdsl.experiment.planned import PlannedCell, Setting, Trial, Unfit, machine_speed, planned
from netdsl.experiment.pool import Say
from netdsl.experiment.results import PRUNED, Results, results
from netdsl.experiment.run import FATAL, Options, held, job_of, pool_of
from netdsl.experiment.statistics import mean
from netdsl.planning.experiments import Cell, Factor
from netdsl.planning.measures import measure_kind
from netdsl.render.numbers import plural

JOURNAL = "search.journal"


def optuna() -> Any:
    """The package, quiet. Raises UserError where it is not installed."""
    with needed_by("a search"):
        import optuna
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


class Drawn(Struct, eq=False):
    """A trial that was begun: Optuna's, its runs that have not been given yet, and the values of those that ended."""

    trial: Any
    left: list[Trial]
    values: list[float]


class Searching:
    """Gives a search's trials one by one, and takes what became of them. A trial has a run for each seed; its value is
    the mean of the first measure over them. `open`: the runs that are trained now, by path, with their trials."""

    def __init__(self, setting: Setting, folder: Path, options: Options, say: Say) -> None:
        assert setting.experiment.search is not None
        self.setting = setting
        self.search = setting.experiment.search
        self.objective = setting.experiment.objective
        self.folder = folder
        self.options = options
        self.say = say
        self.study = study(setting, folder)
        self.states = optuna().trial.TrialState
        self.open: dict[str, tuple[Drawn, Trial]] = {}
        self.waiting: list[Drawn] = []
        self.parked: list[Drawn] = []
        self.stopped: Diagnostic | None = None
        self.speed = machine_speed()
        self._resume()

    def _resume(self) -> None:
        """Begin again with the trials that were begun: their runs continue."""
        for frozen in self.study.get_trials(deepcopy=False, states=(self.states.RUNNING,)):
            drawn = self._begun(optuna().trial.Trial(self.study, frozen._trial_id))
            self.waiting += [drawn] if drawn is not None else []

    def _begun(self, trial: Any) -> Drawn | None:
        """A trial with its runs, its values drawn where they are not yet; None where its cell does not check: it has
        failed. Raises UserError where its folder holds runs of another form."""
        cell = _drawn_cell(self.setting, trial)
        try:
            runs = planned(self.setting, cell, self.speed).trials
        except Unfit as mistake:
            self.say(f"trial {trial.number + 1}: {cell.label} does not check: {mistake.diagnostics[0].message}")
            self._fail(trial)
            return None
        for run in runs:
            check_trial(self.folder, run)
        return Drawn(trial, list(runs), [])

    def next(self) -> Job | None:
        while self.stopped is None:
            drawn = self.waiting.pop(0) if self.waiting else self._asked()
            if drawn is None:
                return None
            job = self._job(drawn)
            if job is not None:
                return job
        return None

    def _asked(self) -> Drawn | None:
        """A new trial; None where there are as many as were asked for."""
        while len(self.study.trials) < self.search.trials:
            drawn = self._begun(self.study.ask())
            if drawn is not None:
                return drawn
        return None

    def _job(self, drawn: Drawn) -> Job | None:
        """The next run of a trial that has not ended; None where all have, and the trial is told."""
        wanted = self.setting.experiment.wanted()
        while drawn.left:
            run = drawn.left.pop(0)
            if run.path in self.open:  # another trial has drawn the same values: its run is this one's too
                drawn.left.insert(0, run)
                self.parked.append(drawn)
                return None
            if not files.is_done(self.folder, run, wanted):
                self.open[run.path] = (drawn, run)
                job = job_of(self.setting, self.folder, run, self.options)
                return replace(job, watched=self.objective if self.search.prune and run.number == 0 else "")
            self._add(drawn, run)
        value = mean(drawn.values)
        if math.isfinite(value):
            self.study.tell(drawn.trial, value)
        else:
            self._fail(drawn.trial)
        return None

    def _add(self, drawn: Drawn, run: Trial) -> None:
        measures = outcome(self.folder, run, (self.objective,)).measures or {}
        drawn.values.append(measures.get(self.objective, math.nan))

    def _fail(self, trial: Any) -> None:
        self.study.tell(trial, state=self.states.FAIL)

    def may_continue(self, job: Job, step: int, value: float) -> bool:
        trial = self.open[job.path][0].trial
        trial.report(value, step)
        return not trial.should_prune()

    def end(self, job: Job, answer: Answer) -> None:
        drawn, run = self.open.pop(job.path)
        self.waiting += self.parked
        self.parked = []
        head = f"trial {drawn.trial.number + 1}: {job.label}"
        if answer.pruned:
            self.say(f"{head}: pruned")
            files.write_json(Path(job.folder) / files.FAILED, files.Failed(PRUNED, PRUNED))
            self.study.tell(drawn.trial, state=self.states.PRUNED)
        elif answer.done:
            self._add(drawn, run)
            self.say(f"{head}: {self.objective} {drawn.values[-1]:.4g}")
            self.waiting.insert(0, drawn)
        elif answer.code:
            self.say(f"{head}: {answer.said}")
            if answer.code in FATAL:
                self.stopped = Diagnostic(answer.code, answer.message)
            else:
                self._fail(drawn.trial)


def _drawn_cell(setting: Setting, trial: Any) -> Cell:
    """The cell of a trial. Raises UserError where the trials before it were drawn from other values."""
    try:
        return setting.experiment.cell(tuple(_suggested(trial, f) for f in setting.experiment.factors))
    except ValueError as error:
        message = f"the trials of this search were drawn from other values: {error}"
        hint = "what varies has changed since: choose another folder (`-o DIR`), or delete that one"
        raise UserError("changed-experiment", message, hint) from None


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
    """Collect the trials of a folder so far, the best first."""
    found = study(setting, folder) if (folder / JOURNAL).exists() else None
    speed, factors = machine_speed(), setting.experiment.factors
    drawn = [t for t in (found.trials if found is not None else ()) if all(f.path in t.params for f in factors)]
    cells = [cell for frozen in drawn for cell in _fit(setting, _frozen_cell(setting, frozen), speed)]
    distinct = list({c.trials[0].path: c for c in cells}.values())
    wanted = setting.experiment.wanted()
    outcomes: dict[str, Outcome] = {t.path: outcome(folder, t, wanted) for c in distinct for t in c.trials}
    return results(setting.experiment, _ranked(setting, distinct, outcomes), outcomes, {})


def _fit(setting: Setting, cell: Cell, speed: float) -> list[PlannedCell]:
    """A cell as it is run; nothing of one that does not check."""
    try:
        return [planned(setting, cell, speed)]
    except Unfit:
        return []


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
        value = mean([(outcomes[t.path].measures or {}).get(objective, math.nan) for t in cell.trials])
        return sign * value if math.isfinite(value) else math.inf

    return sorted(cells, key=rank)


def search_plan(setting: Setting) -> list[str]:
    """Describe what a search will do."""
    e = setting.experiment
    search = e.search
    assert search is not None
    pruned = f", pruned by {search.prune}" if search.prune else ""
    how = f"{plural(search.trials, 'trial')} by {search.kind}{pruned}"
    lines = [f"{e.name}: {how}, {plural(e.seeds, 'seed')} each, of {e.net}"]
    for f in e.factors:
        span = f.range
        drawn = (
            f"{span.low:g} to {span.high:g}{', by its logarithm' if span.log else ''}" if span else ", ".join(f.values)
        )
        lines.append(f"  {f.path}: {drawn}")
    kind = measure_kind(e.objective)
    lines.append(f"  {'the largest' if kind is not None and kind.higher else 'the smallest'} {e.objective} is sought")
    return lines
