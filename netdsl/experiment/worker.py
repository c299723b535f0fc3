"""A process that trains runs, one after another: torch is imported once.

It reads jobs as lines of JSON and answers each with one. When the process that gives the jobs has ended, whatever way,
the worker ends too: what it had begun is resumed from its last checkpoint.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

PERSISTENT = ("not-finite",)
"""Mistakes of a run that are a result: it would end so each time."""


class Job(Struct, frozen=True):
    """A run to train.

    `source`, `text`: of the spec; `arguments`, `settings`, `sizes`: as on the command line; `path`: of the folder,
    below the experiment's; `splits`: those on which the trained net is measured beside the test split; `watched`: the
    measure that is reported while it trains.

    `plugins`: those that are loaded where the job comes from, with their folders; the worker loads them too.
    `revisions`: the commits of weights by name.
    `typed`: the fields whose paths are relative to the working directory, and not to the spec.
    """

    source: str
    text: str
    net: str
    recipe: str
    arguments: dict[str, str]
    settings: dict[str, str]
    sizes: dict[str, int]
    typed: tuple[str, ...]
    folder: str
    path: str
    key: str
    label: str
    splits: tuple[str, ...] = ()
    plugins: tuple[tuple[str, str], ...] = ()
    revisions: dict[str, str] = {}
    device: str | None = None
    watched: str = ""


class Answer(Struct, frozen=True):
    """The outcome of a job: `done`, `stopped` (Ctrl-C, with a checkpoint), `pruned`, or how it failed. `report`: a step
    and the value of the watched measure; the worker waits for `go`."""

    done: bool = False
    stopped: bool = False
    pruned: bool = False
    code: str = ""
    message: str = ""
    hint: str = ""
    report: tuple[int, float] | None = None

    @property
    def said(self) -> str:
        """The error in words, with its hint."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Orders(Struct, frozen=True):
    """A line from the process that gives jobs: a job, or whether a watched run may continue."""

    job: Job | None = None
    go: bool = True


class Line:
    """The two pipes of a worker. A thread reads, so that the end of the other process is seen at once."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self.writing = writing
        self.orders: SimpleQueue[Orders] = SimpleQueue()
        threading.Thread(target=self._read, args=(reading,), daemon=True).start()

    def _read(self, reading: BinaryIO) -> None:
        for line in reading:
            self.orders.put(msgspec.json.decode(line, type=Orders))
        os._exit(0)

    def say(self, answer: Answer) -> None:
        self.writing.write(msgspec.json.encode(answer) + b"\n")
        self.writing.flush()


def work(line: Line) -> None:
    """Train what is asked for until there is nothing more."""
    while True:
        orders = line.orders.get()
        if orders.job is not None:
            line.say(attempt(orders.job, line))


def attempt(job: Job, line: Line | None = None) -> Answer:
    """Train one run and measure it; what goes wrong is the answer."""
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.plugins.loading import load
    from netdsl.training.errors import diagnosed

    try:
        for name, folder in job.plugins:
            load(name, folder)
        return _trained(job, line)
    except Fault as mistake:
        found = mistake.diagnostic
    except KeyboardInterrupt:
        return Answer(stopped=True)
    except Exception as error:
        known = diagnosed(error, "`--set micro_batch=...`")
        if known is None:
            raise
        found = known
    if found.code in PERSISTENT:
        _keep_failure(job, found.code, found.message)
    return Answer(code=found.code, message=found.message, hint="; ".join(h.message for h in found.hints))


def _keep_failure(job: Job, code: str, message: str) -> None:
    from netdsl.experiment.files import FAILED, Failed, write_json

    write_json(Path(job.folder) / FAILED, Failed(code, message))


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
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.elaborate.given import Expression
    from netdsl.experiment.revisions import pinned
    from netdsl.experiment.warm import warm
    from netdsl.recipe.typed_paths import from_here
    from netdsl.selection import select
    from netdsl.training.callbacks import Callbacks
    from netdsl.training.checkpoints.run_dir import read_about
    from netdsl.training.entry import Request, train

    spec = warm(job.text, job.source, job.plugins)
    arguments = {n: Expression(v) for n, v in job.arguments.items()}
    found = select(spec, job.net, job.recipe, job.settings, arguments, job.sizes)
    if found.net is None or found.recipe is None:
        raise Fault(next(d for d in found.diagnostics if d.severity == "error"))
    recipe = pinned(from_here(found.recipe, job.typed), job.revisions)
    request = Request(
        net=found.net, recipe=recipe, base=Path(job.source).parent, folder=folder, resume=begun,
        before=read_about(folder)[1] if begun else None, device=job.device, onnx=False, quiet=True,
        callbacks=Callbacks(on_evaluation=watching) if watching is not None else None,
    )  # fmt: skip
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
