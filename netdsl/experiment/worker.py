"""A process that trains runs, one after another: torch is imported once.

It reads jobs as lines of JSON and answers each with one. When the process that gives the jobs has ended, whatever way,
the worker ends too: what it had begun is resumed from its last checkpoint.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from netdsl.experiment.jobs import Answer, Job, Line, answered, request_of


def work(line: Line) -> None:
    """Train what is asked for until there is nothing more."""
    while True:
        orders = line.orders.get()
        if orders.job is not None:
            line.say(attempt(orders.job, line))


def attempt(job: Job, line: Line | None = None) -> Answer:
    """Train one run, or several as one, and measure; what goes wrong is the answer."""
    if job.together and line is not None:
        from netdsl.experiment.batch import attempt_all

        return attempt_all(job, line, attempt)
    return answered(job, lambda: _trained(job, line))


def _trained(job: Job, line: Line | None) -> Answer:
    from netdsl.experiment.files import RUN, SPLITS, TRIAL, Mark, read, write_json
    from netdsl.training.splits import measure_splits

    folder = Path(job.folder)
    write_json(folder / TRIAL, Mark(job.key, job.label))
    about = read(folder / RUN, dict[str, Any])
    watching = _Watching(job, line) if job.watched and line is not None else None
    if about is None or not about.get("result"):
        code = _train(job, folder, begun=about is not None, watching=watching)
        if watching is not None and watching.pruned:
            return Answer(pruned=True)
        if code != 0:
            return Answer(stopped=True)
    known = read(folder / SPLITS, dict[str, Any]) or {}
    lacking = tuple(s for s in job.splits if s not in known)
    if lacking:
        write_json(folder / SPLITS, known | measure_splits(folder, lacking))
    return Answer(done=True)


def _train(job: Job, folder: Path, begun: bool, watching: _Watching | None) -> int:
    """Train a run, or resume it. Returns the exit code."""
    from netdsl.training.callbacks import Callbacks
    from netdsl.training.entry import train

    callbacks = Callbacks(on_evaluation=watching) if watching is not None else None
    request = msgspec.structs.replace(request_of(job, folder, begun), callbacks=callbacks)
    return train(request, lambda text: print(text, file=sys.stderr))


class _Watching:
    """Reports the watched measure at each evaluation; the answer may end the run."""

    def __init__(self, job: Job, line: Line) -> None:
        self.metric = job.watched.partition(".")[2]
        self.line = line
        self.pruned = False

    def __call__(self, numbers: dict[str, Any]) -> str | None:
        value = numbers.get(self.metric)
        if not isinstance(value, float):
            return None
        self.line.say(Answer(report=(int(numbers["step"]), value)))
        self.pruned = not self.line.orders.get().go
        return "stop" if self.pruned else None


def warm_up() -> None:
    """Import what any run imports, so that the first run's time is its own."""
    import netdsl.training.entry  # noqa: F401


def main() -> None:
    """A worker on its standard streams: what anything else prints goes to its log."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    line = Line(sys.stdin.buffer, answers)
    try:
        warm_up()
        work(line)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    except BaseException:
        # An ordinary end would wait for the thread that reads, which Python answers by aborting: it would look as if
        # the system had ended the worker.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
