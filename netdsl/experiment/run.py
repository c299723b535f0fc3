"""Runs an experiment, and resumes it: what has ended is kept, what was begun continues, the rest is trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, UserError
from netdsl.experiment import files
from netdsl.experiment.cluster import Cluster
from netdsl.experiment.decisions import ANY, FASTER, Decision, Decisions, parts
from netdsl.experiment.files import Outcome, check_trial, is_done, open_folder, outcome
from netdsl.experiment.jobs import Answer, Job
from netdsl.experiment.planned import PlannedCell, Setting, Trial, Unfit, cores, machine_speed, planned
from netdsl.experiment.pool import Pool, Say
from netdsl.experiment.results import Results, results
from netdsl.experiment.revisions import revisions
from netdsl.plugins.known import loaded

FATAL = ("cannot-write", "no-such-device")
"""Codes after which no other run would end better."""


class Options(Struct, frozen=True):
    """How runs are trained: in so many processes (None: one for each core), on a device, `on` this machine (`local`)
    or a cluster (`slurm`). `batch`: whether seeds of a cell are trained as one batched model (`on`, `off`), or where
    that is faster (`auto`)."""

    workers: int | None = None
    device: str | None = None
    on: str = "local"
    batch: str = "auto"


class Engine(Struct, eq=False):
    """Gives the runs of a grid that have not ended, and takes what became of them. What is `waiting` is trained as one
    where it is of several runs."""

    setting: Setting
    folder: Path
    options: Options
    waiting: deque[tuple[Trial, ...]]
    decisions: Decisions
    say: Say
    failures: dict[str, str] = {}
    trials: tuple[Trial, ...] = ()
    ended: int = 0
    stopped: Diagnostic | None = None

    def next(self) -> Job | None:
        if not self.waiting:
            return None
        trials = self.waiting.popleft()
        jobs = [job_of(self.setting, self.folder, t, self.options) for t in trials]
        return jobs[0] if len(jobs) == 1 else self._together(trials, jobs)

    def _together(self, trials: tuple[Trial, ...], jobs: list[Job]) -> Job:
        """Several runs as one: those that have ended leave their row empty."""
        wanted = self.setting.experiment.wanted()
        rows = [replace(job, row=row) for row, job in enumerate(jobs)]
        left = tuple(j for j, t in zip(rows, trials, strict=True) if not is_done(self.folder, t, wanted))
        label = f"{trials[0].cell.label}, seeds {trials[0].seed} to {trials[-1].seed}"
        decided = self._cell(jobs[0]) in self.decisions.each
        return replace(jobs[0], label=label, together=left, rows=len(rows), decided=decided)

    @staticmethod
    def _cell(job: Job) -> str:
        """The folder of the cell that a run belongs to."""
        return job.path.rpartition("/")[0]

    def may_continue(self, job: Job, step: int, value: float) -> bool:
        """Whether runs are trained as one, whose first steps were `value` times faster so."""
        cell = self._cell(job)
        if cell not in self.decisions.each:
            batched = value >= (FASTER if self.options.batch == "auto" else ANY)
            self.decisions.keep(cell, Decision(job.rows if batched else 1, round(value, 2)))
            if batched:
                self.say(f"{job.label}: {job.rows} at once, whose first steps are {value:.1f} times faster so")
        return self.decisions.each[cell].at_once > 1

    def end(self, job: Job, answer: Answer) -> None:
        if job.together and (answer.apart or answer.code == "worker-died"):
            self._take_apart(job, answer)
        elif job.together:
            for one, its in zip(job.together, answer.each or [answer] * len(job.together), strict=True):
                self.end(one, its)
        elif answer.done:
            self.ended += 1
            self.say(f"{self._count()} {job.label}{_result(self, job)}")
        elif answer.code:
            self.ended += 1
            self.failures[job.path] = answer.said
            self.say(f"{self._count()} {job.label}: {answer.said}")
            if answer.code in FATAL:
                self.stopped = Diagnostic(answer.code, answer.message)
                self.waiting.clear()

    def _take_apart(self, job: Job, answer: Answer) -> None:
        """Train runs one by one that were to be trained as one."""
        cell = self._cell(job)
        if answer.code:
            self.say(f"{answer.said}; its runs are trained one by one")
        self.decisions.keep(cell, Decision(1, self.decisions.each.get(cell, Decision(1)).faster))
        paths = {one.path for one in job.together}
        self.waiting.extendleft([(t,) for t in reversed(self.trials) if t.path in paths])

    def _count(self) -> str:
        return f"[{self.ended:>{len(str(len(self.trials)))}}/{len(self.trials)}]"


def _result(engine: Engine, job: Job) -> str:
    """The measures of a run that has ended, in short."""
    from netdsl.experiment.results import Amount
    from netdsl.experiment.table import heading, shown

    about = files.read(Path(job.folder) / files.RUN, dict[str, Any]) or {}
    result = about.get("result", {})
    parts = []
    for measure in engine.setting.experiment.measures:
        split, _, metric = measure.partition(".")
        value = result.get(metric) if split == "test" else None
        if isinstance(value, float):
            parts.append(f"{heading(measure).removesuffix(' %')} {shown(measure, Amount(value, None, 1))}")
    return f": {', '.join(parts)}, {result.get('seconds', 0):.1f} s"


def job_of(setting: Setting, folder: Path, trial: Trial, options: Options) -> Job:
    """A run as it is told to a worker. Raises WeightsError where weights by name are not to be had."""
    e = setting.experiment
    return Job(
        source=str(Path(setting.spec.source.name).absolute()), text=setting.spec.source.text, net=e.net,
        recipe=e.recipe or "none", arguments=trial.cell.net,
        settings={**setting.settings, **trial.cell.recipe, "seed": str(trial.seed)}, sizes=setting.sizes,
        typed=tuple(setting.settings), folder=str((folder / trial.path).absolute()), path=trial.path, key=trial.key,
        label=trial.label, splits=files.missing_splits(e.wanted()), device=options.device,
        plugins=tuple(p.place for p in loaded()), revisions=revisions(folder, trial.by_name),
    )  # fmt: skip


def plan_cells(setting: Setting) -> tuple[list[PlannedCell], list[Unfit]]:
    """Every cell of a grid with its runs, and those that don't check."""
    speed, fit, unfit = machine_speed(), [], []
    for cell in setting.experiment.cells():
        try:
            fit.append(planned(setting, cell, speed))
        except Unfit as mistake:
            unfit.append(mistake)
    return fit, unfit


def run_grid(setting: Setting, folder: Path, cells: Sequence[PlannedCell], options: Options, say: Say) -> Results:
    """Train every run of a grid that has not ended. Raises UserError for a folder of something else, a full disk, and
    KeyboardInterrupt after what is running has written its checkpoints."""
    open_folder(folder, setting.experiment.name)
    wanted = setting.experiment.wanted()
    trials = [t for cell in cells for t in cell.trials]
    for trial in trials:
        check_trial(folder, trial)
    open_ones = [t for t in trials if not is_done(folder, t, wanted)]
    engine = engine_of(setting, folder, cells, options, say, open_ones)
    if engine.ended and open_ones:
        say(f"{engine.ended:,} of {len(trials):,} runs have ended before")
    if open_ones:
        with held(folder):
            revisions(folder, [name for t in open_ones for name in t.by_name])
            pool_of(options, folder, len(engine.waiting), say).run(engine)
    if engine.stopped is not None:
        hint = "what has ended is kept: the same command continues"
        raise UserError(engine.stopped.code, engine.stopped.message, hint)
    return gathered(setting, folder, cells, engine.failures)


def engine_of(
    setting: Setting, folder: Path, cells: Sequence[PlannedCell], options: Options, say: Say, left: Sequence[Trial]
) -> Engine:
    """The engine of a grid, of which `left` are the runs that have not ended."""
    decisions, paths = Decisions(folder), {t.path for t in left}
    mode = options.batch if options.on == "local" else "off"
    groups = parts(cells, folder, decisions, options.workers or cores(), mode)
    waiting = [g for g in groups if paths.intersection(t.path for t in g)]
    by_seed = sorted(waiting, key=lambda g: g[0].number)  # a first table after one run of each cell
    trials = tuple(t for cell in cells for t in cell.trials)
    return Engine(setting, folder, options, deque(by_seed), decisions, say, {}, trials, len(trials) - len(left))


def pool_of(options: Options, folder: Path, runs: int, say: Say) -> Pool | Cluster:
    """The processes that train: workers here, or jobs of a cluster."""
    if options.on == "slurm":
        return Cluster(options.workers, folder / "jobs", say)
    return Pool(min(options.workers or cores(), runs), folder / "logs", say)


def gathered(
    setting: Setting, folder: Path, cells: Sequence[PlannedCell], failures: dict[str, str] | None = None
) -> Results:
    """Collect the results of the runs in a folder so far."""
    wanted = setting.experiment.wanted()
    found: dict[str, Outcome] = {t.path: outcome(folder, t, wanted) for c in cells for t in c.trials}
    return results(setting.experiment, cells, found, failures or {})


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from training the same experiment. Raises UserError where one does."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with open(folder / ".lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait until it has ended, or choose another folder: `-o DIR`"
            raise UserError("run-in-use", f"another process trains the experiment in {folder}", hint) from None
        yield
