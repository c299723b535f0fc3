"""A run as a worker is told of it and answers, and the two pipes over which that goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from netdsl.diagnostics.diagnostic import Diagnostic
    from netdsl.training.entry import Request

PERSISTENT = ("not-finite",)
"""Mistakes of a run that are a result: it would end so each time."""

PAUSE = 1.0
"""Seconds between two checkpoints of a run at least: what is lost when it is killed."""


class Job(Struct, frozen=True):
    """A run to train.

    `source`, `text`: of the spec; `arguments`, `settings`, `sizes`: as on the command line; `path`: of the folder,
    below the experiment's; `splits`: those on which the trained net is measured beside the test split; `watched`: the
    measure that is reported while it trains.

    `plugins`: those that are loaded where the job comes from, with their folders; the worker loads them too.
    `revisions`: the commits of weights by name.
    `typed`: the fields whose paths are relative to the working directory, and not to the spec.

    `together`: the runs that are trained as one batched model of `rows`, each in its `row`; `decided`: whether that is
    so already, else the worker reports how many times faster it is.
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
    together: tuple[Job, ...] = ()
    rows: int = 0
    row: int = 0
    decided: bool = False


class Answer(Struct, frozen=True):
    """The outcome of a job: `done`, `stopped` (Ctrl-C, with a checkpoint), `pruned`, or how it failed. `report`: a step
    and the value of the watched measure; the worker waits for `go`. Of runs that are trained as one, the answer of
    `each`, or that they are to be trained `apart`."""

    done: bool = False
    stopped: bool = False
    pruned: bool = False
    code: str = ""
    message: str = ""
    hint: str = ""
    report: tuple[int, float] | None = None
    each: tuple[Answer, ...] = ()
    apart: bool = False

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


def answered(job: Job, work: Callable[[], Answer]) -> Answer:
    """The answer of some work for a job, with its plug-ins loaded; what goes wrong is the answer."""
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.plugins.loading import load
    from netdsl.training.errors import diagnosed

    try:
        for name, folder in job.plugins:
            load(name, folder)
        return work()
    except Fault as mistake:
        found = mistake.diagnostic
    except KeyboardInterrupt:
        return Answer(stopped=True)
    except Exception as error:
        known = diagnosed(error, "`--set micro_batch=...`")
        if known is None:
            raise
        found = known
    return failed(job, found)


def failed(job: Job, found: Diagnostic) -> Answer:
    """The answer of a run that ended with a mistake; one that it would end with each time is kept."""
    if found.code in PERSISTENT and not job.together:
        _keep_failure(job, found.code, found.message)
    return Answer(code=found.code, message=found.message, hint="; ".join(h.message for h in found.hints))


def _keep_failure(job: Job, code: str, message: str) -> None:
    from netdsl.experiment.files import FAILED, Failed, write_json

    write_json(Path(job.folder) / FAILED, Failed(code, message))


def request_of(job: Job, folder: Path, begun: bool) -> Request:
    """The training of a job. Raises Fault."""
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.elaborate.given import Expression
    from netdsl.experiment.revisions import pinned
    from netdsl.experiment.warm import warm
    from netdsl.recipe.typed_paths import from_here
    from netdsl.selection import select
    from netdsl.training.checkpoints.run_dir import read_about
    from netdsl.training.entry import Request

    spec = warm(job.text, job.source, job.plugins)
    arguments = {n: Expression(v) for n, v in job.arguments.items()}
    found = select(spec, job.net, job.recipe, job.settings, arguments, job.sizes)
    if found.net is None or found.recipe is None:
        raise Fault(next(d for d in found.diagnostics if d.severity == "error"))
    recipe = pinned(from_here(found.recipe, job.typed), job.revisions)
    return Request(
        net=found.net, recipe=recipe, base=Path(job.source).parent, folder=folder, resume=begun,
        before=read_about(folder)[1] if begun else None, device=job.device, onnx=False, quiet=True,
        pause=PAUSE, samples=False,
    )  # fmt: skip
