"""Worker processes that stay warm, and the runs they are given. A worker that dies is named, its run tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Protocol

import msgspec

from netdsl.experiment.jobs import Answer, Job, Orders

PATIENCE = 60.0
"""Seconds that an interrupted worker has to write its checkpoint."""

MODULE = ["-m", "netdsl.experiment.worker"]

Say = Callable[[str], None]


class Source(Protocol):
    """A source of runs, which takes their outcomes."""

    def next(self) -> Job | None:
        """The next run, or None where there is none now."""

    def end(self, job: Job, answer: Answer) -> None:
        """A run has ended."""

    def may_continue(self, job: Job, step: int, value: float) -> bool:
        """Whether a watched run may continue."""


class Worker:
    """One process. `job` is what it trains now, `tries` how often that was begun."""

    def __init__(self, number: int, log: Path) -> None:
        self.number = number
        self.log = log
        self.job: Job | None = None
        self.tries = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        own = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [sys.executable, *MODULE],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=own,
            )  # fmt: skip

    def give(self, job: Job) -> None:
        self.tries = self.tries + 1 if self.job is job else 1
        self.job = job
        self.tell(Orders(job))

    def tell(self, orders: Orders) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # that it has ended is seen where it is read from
            self.process.stdin.write(msgspec.json.encode(orders) + b"\n")
            self.process.stdin.flush()

    def read(self) -> Answer | None:
        """Read the worker's next answer; None where it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return msgspec.json.decode(line, type=Answer) if line.endswith(b"\n") else None

    def restart(self) -> None:
        self.close()
        self.process = self._start()

    def ended(self) -> str:
        """How the process ended, in words."""
        code = self.process.wait()
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with code {code}; {self.log} says why"

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Pool:
    """Trains runs in `count` processes. Raises KeyboardInterrupt when all have written their checkpoints."""

    def __init__(self, count: int, logs: Path, say: Say) -> None:
        self.count = count
        self.logs = logs
        self.say = say
        self.workers: list[Worker] = []
        self.selector = DefaultSelector()
        self.stopping = False

    def run(self, source: Source) -> None:
        """Train everything that a source gives."""
        try:
            self._begin(source)
            while any(w.job is not None for w in self.workers):
                try:
                    self._wait(source)
                except KeyboardInterrupt:
                    self._interrupt(source)
                    raise
        finally:
            for worker in self.workers:
                with suppress(OSError):
                    worker.process.stdin and worker.process.stdin.close()
            for worker in self.workers:
                worker.close()
            self.selector.close()

    def _begin(self, source: Source) -> None:
        """Start workers as long as there is something to do."""
        for number in range(1, self.count + 1):
            job = source.next()
            if job is None:
                return
            worker = Worker(number, self.logs / f"worker-{number}.log")
            self.workers.append(worker)
            self._listen(worker)
            worker.give(job)

    def _listen(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        self.selector.register(worker.process.stdout, EVENT_READ, worker)

    def _wait(self, source: Source, timeout: float | None = None) -> None:
        """Take what workers say, and give them more."""
        for event, _ in self.selector.select(timeout):
            worker: Worker = event.data
            answer = worker.read()
            if answer is None:
                self.selector.unregister(event.fileobj)
                self._died(worker, source)
            elif answer.report is not None:
                assert worker.job is not None
                worker.tell(Orders(go=source.may_continue(worker.job, *answer.report)))
            else:
                self._ended(worker, answer, source)

    def _ended(self, worker: Worker, answer: Answer, source: Source) -> None:
        assert worker.job is not None
        job, worker.job = worker.job, None
        source.end(job, answer)
        self._more(source)

    def _more(self, source: Source) -> None:
        """Give every idle worker a run, where there is one."""
        for worker in self.workers:
            if worker.job is None and not self.stopping and worker.process.poll() is None:
                job = source.next()
                if job is None:
                    return
                worker.give(job)

    def _died(self, worker: Worker, source: Source) -> None:
        """A worker has ended: its run is begun once more in a new one, which resumes it."""
        how = worker.ended()
        job = worker.job
        if job is None or self.stopping:
            worker.job = None
            return
        died = f"worker {worker.number} (process {worker.process.pid}) {how} in {job.label}"
        if worker.tries < 2:
            self.say(f"{died}; it is tried once more")
        worker.restart()
        self._listen(worker)
        if worker.tries < 2:
            worker.give(job)
        else:
            hint = "the system may have ended it for want of memory: `--workers 1` leaves more for each"
            self._ended(worker, Answer(code="worker-died", message=died, hint=hint), source)

    def _interrupt(self, source: Source) -> None:
        """Let the workers, which Ctrl-C reaches too, write their checkpoints."""
        self.stopping = True
        until = time.monotonic() + PATIENCE
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGINT)
        while any(w.job is not None for w in self.workers) and time.monotonic() < until:
            self._wait(source, until - time.monotonic())
