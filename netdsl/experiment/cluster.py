"""Runs as jobs of a cluster, through submitit: each is a process of its own, on a folder that all machines share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from netdsl.diagnostics.diagnostic import UserError
from netdsl.diagnostics.packages import needed_by
from netdsl.experiment.jobs import Answer, Job
from netdsl.experiment.pool import Say, Source
from netdsl.experiment.worker import attempt

AT_ONCE = 64
"""Jobs that are submitted at once, unless `--workers` says otherwise."""
POLL = 2.0
"""Seconds between looks at what has ended."""
HOURS = 24


class Cluster:
    """Trains runs on `slurm`, or as local processes of submitit's (`local`). A job that dies is named and submitted
    once more. Raises UserError where submitit or Slurm is not here."""

    def __init__(self, count: int | None, folder: Path, say: Say, kind: str = "slurm") -> None:
        self.count = count or AT_ONCE
        self.say = say
        self.kind = kind
        self.executor = self._executor(folder)

    def _executor(self, folder: Path) -> Any:
        with needed_by("`--on slurm`"):
            import submitit
        try:
            executor = submitit.AutoExecutor(folder=str(folder.absolute()), cluster=self.kind)
        except RuntimeError as error:
            raise UserError("no-such-device", f"there is no Slurm here: {error}", "leave out `--on slurm`") from None
        executor.update_parameters(timeout_min=60 * HOURS, cpus_per_task=1, name="netdsl")
        return executor

    def run(self, source: Source) -> None:
        """Train everything that a source gives."""
        running: list[tuple[Job, Any, int]] = []
        while True:
            while len(running) < self.count and (job := source.next()) is not None:
                running.append((job, self.executor.submit(attempt, job), 1))
            if not running:
                return
            ended = [one for one in running if one[1].done()]
            running = [one for one in running if one not in ended]
            running += [again for one in ended if (again := self._ended(one, source)) is not None]
            if not ended:
                time.sleep(POLL)

    def _ended(self, one: tuple[Job, Any, int], source: Source) -> tuple[Job, Any, int] | None:
        """Tell what became of a job; one that died for the first time is submitted again, and returned."""
        job, submitted, tries = one
        answer = _answer(job, submitted)
        if answer.code == "worker-died" and tries == 1:
            self.say(f"{answer.message}; it is submitted once more")
            return job, self.executor.submit(attempt, job), 2
        source.end(job, answer)
        return None


def _answer(job: Job, submitted: Any) -> Answer:
    """The answer of a job; how it died, where it gave none."""
    error = submitted.exception()
    if error is None:
        result: Answer = submitted.result()
        return result
    why = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return Answer(code="worker-died", message=f"job {submitted.job_id} died in {job.label}: {why}")
