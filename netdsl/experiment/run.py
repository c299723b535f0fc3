"""Runs an experiment, and resumes it: what has ended is kept, what was begun continues, the rest is trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, UserError
from netdsl.experiment import files
from netdsl.experiment.cluster import Cluster
from netdsl.experiment.files import Outcome, check_trial, is_done, open_folder, outcome
from netdsl.experiment.planned import PlannedCell, Setting, Trial, Unfit, cores, machine_speed, planned
from netdsl.experiment.pool import Pool, Say
from netdsl.experiment.results import Results, results
from netdsl.experiment.revisions import revisions
from netdsl.experiment.worker import Answer, Job
from netdsl.plugins.known import loaded

FATAL = ("cannot-write", "no-such-device")
"""Codes after which no other run would end better."""


class Options(Struct, frozen=True):
    """How runs are trained: in so many processes (None: one for each core), on a device, `on` this machine (`local`)
    or a cluster (`slurm`)."""

    workers: int | None = None
    device: str | None = None
    on: str = "local"


class Engine(Struct, eq=False):
    """Gives the runs of a grid that have not ended, and takes what became of them."""

    setting: Setting
    folder: Path
    options: Options
    waiting: deque[Trial]
    say: Say
    failures: dict[str, str] = {}
    ended: int = 0
    total: int = 0
    stopped: Diagnostic | None = None

    def next(self) -> Job | None:
        return job_of(self.setting, self.folder, self.waiting.popleft(), self.options) if self.waiting else None

    def may_continue(self, job: Job, step: int, value: float) -> bool:
        return True

    def end(self, job: Job, answer: Answer) -> None:
        if answer.done:
            self.ended += 1
            self.say(f"{self._count()} {job.label}{_result(self, job)}")
        elif answer.code:
            self.ended += 1
            self.failures[job.path] = answer.said
            self.say(f"{self._count()} {job.label}: {answer.said}")
            if answer.code in FATAL:
                self.stopped = Diagnostic(answer.code, answer.message)
                self.waiting.clear()

    def _count(self) -> str:
        return f"[{self.ended:>{len(str(self.total))}}/{self.total}]"


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
    by_seed = sorted(open_ones, key=lambda t: t.number)  # a first table after one run of each cell
    engine = Engine(setting, folder, options, deque(by_seed), say, {}, len(trials) - len(open_ones), len(trials))
    if engine.ended and open_ones:
        say(f"{engine.ended:,} of {len(trials):,} runs have ended before")
    if open_ones:
        with held(folder):
            revisions(folder, [name for t in open_ones for name in t.by_name])
            pool_of(options, folder, len(open_ones), say).run(engine)
    if engine.stopped is not None:
        hint = "what has ended is kept: the same command continues"
        raise UserError(engine.stopped.code, engine.stopped.message, hint)
    return gathered(setting, folder, cells, engine.failures)


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
