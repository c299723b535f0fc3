"""Reading ahead: what the next steps need is decoded by other processes, in order, while the net computes.

What a job gives is a function of the job alone, so nothing depends on the number of processes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.plugins.known import loaded as loaded_plugins
from netdsl.training.errors import DataError, ReaderDied
from netdsl.training.kernels.memory import forget, read_lightly

Inputs = tuple[Tensor, ...]
Share = tuple[int, int, int]
"""A step and the first and last place in it."""

AHEAD = 2
"""Jobs that each process works in advance."""
MOST = 8
"""Processes that `auto` starts for one device at most."""
MUCH = 0.1
"""The fraction of the time from which waiting is worth a hint."""
SHARED = "/dev/shm"


class Reading(Dataset[Any]):
    """`read` of a job. A mistake in the data is passed as a diagnostic."""

    def __init__(self, read: Callable[[Any], Inputs]) -> None:
        self.read = read

    def __getitem__(self, job: Any) -> Any:
        try:
            return self.read(job)
        except DataError as error:
            return error.diagnostic


def in_process() -> bool:
    """Whether this is one of the processes that read."""
    return get_worker_info() is not None


def processes(asked: int | str, share: int) -> int:
    """How many processes read: as many as asked for; `auto`: one for every free core, as far as the shared memory
    holds what they read in advance (`share`: the bytes of a job)."""
    if isinstance(asked, int):
        return asked
    free = cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1
    if os.path.isdir(SHARED):
        about = os.statvfs(SHARED)
        free = min(free, about.f_bavail * about.f_frsize // max(1, share * (AHEAD + 1)))
    return max(0, min(MOST, free))


def cores() -> int:
    """The processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def loaded(
    read: Callable[[Any], Inputs],
    jobs: Iterable[Any],
    workers: int,
    pinned: bool = False,
    unread: Sequence[tuple[int, int]] = (),
) -> Generator[Inputs, None, None]:
    """`read` of one job after the other; with `workers`, computed ahead by so many processes. `unread`: the memory that
    they do not need. Raises DataError."""
    if not workers:
        yield from map(read, jobs)
        return
    loader: DataLoader[Any] = DataLoader(
        Reading(read), batch_size=None, sampler=jobs, num_workers=workers, prefetch_factor=AHEAD, collate_fn=_as_it_is,
        pin_memory=pinned,
        worker_init_fn=partial(_begin, tuple(p.place for p in loaded_plugins()), tuple(unread)),
        generator=torch.Generator(),  # the common one belongs to dropout
    )  # fmt: skip
    iterator = iter(loader)
    try:
        with deaths_in_words(reading=True):
            for found in iterator:
                if isinstance(found, Diagnostic):
                    raise DataError.of(found)
                yield tuple(found)
    finally:
        with deaths_in_words(reading=True):  # a death may only be noticed while the others are waited for
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # now, and not when it is forgotten


@contextmanager
def deaths_in_words(reading: bool = False) -> Iterator[None]:
    """Turns the death of a process that reads into a DataError. torch reports it wherever the training process is;
    while it is `reading` from the other one, the connection may break first."""
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        broken = reading and not isinstance(error, RuntimeError)
        if "DataLoader worker" not in str(error) and not broken:
            raise
        hint = "its memory may be too small (in a container: `--shm-size`): try `--set workers=0`"
        how = getattr(error, "__notes__", [])
        raise ReaderDied("reader-died", "a process that reads the data has died", "; ".join((hint, *how))) from None


def _as_it_is(found: Any) -> Any:
    return found


def _begin(plugins: tuple[tuple[str, str], ...], unread: tuple[tuple[int, int], ...], number: int) -> None:
    """Begin as a process that reads: with the plug-ins of the training process, which alone is interrupted."""
    forget(unread)
    read_lightly()
    for name, folder in plugins:
        from netdsl.plugins.loading import load

        load(name, folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Ahead:
    """Reads the batches of known steps in advance with `read`, and measures the time spent waiting for them.

    `found`: what was read of one share after the other, by so many `workers`.
    """

    def __init__(
        self,
        read: Callable[[Share], Inputs],
        shares: Iterable[Share],
        found: Generator[Inputs, None, None],
        workers: int,
        device: torch.device,
    ) -> None:
        self.expected = iter(shares)
        self.read = read
        self.workers = workers
        self.device = device
        self.next: Share | None = next(self.expected, None)
        self.found = found
        self.waited = self.waited_before = 0.0
        self.since = time.perf_counter()
        self.trained = 0.0

    def take(self, share: Share) -> Inputs:
        """The inputs of a share: the next one that was foreseen, or another one, read now."""
        if share != self.next:
            return self.read(share)
        self.next = next(self.expected, None)
        began, idle = time.perf_counter(), _idle(self.device)
        inputs = next(self.found)
        if idle():
            self.waited += time.perf_counter() - began
        return inputs

    def pause(self) -> float:
        """The fraction of the time since the last call of `go_on` that was spent waiting."""
        passed = time.perf_counter() - self.since
        self.trained += passed
        return (self.waited - self.waited_before) / max(1e-9, passed)

    def go_on(self) -> None:
        """Training resumes after a pause, whose time does not count."""
        self.since, self.waited_before = time.perf_counter(), self.waited

    def said(self) -> str:
        """How much of the training time was spent waiting, and what helps where it was much."""
        share = self.waited / max(1e-9, self.trained)
        who = {0: "the training process itself", 1: "1 process"}.get(self.workers, f"{self.workers} processes")
        text = f"{share:.0%} of the training time went into waiting for images, read by {who}"
        if share < MUCH:
            return text
        more = self.workers < cores() - 1
        help_ = f"`--set workers={cores() - 1}`" if more else "images stored at about the size that the net takes"
        return f"{text}; what would help: {help_}"

    def close(self) -> None:
        """End the processes."""
        self.found.close()


def _idle(device: torch.device) -> Callable[[], bool]:
    """Tells later whether a device has done what it has been given so far: if not, nobody waits for the data."""
    if device.type != "cuda":
        return lambda: True
    mark: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    mark.record()
    idle: Callable[[], bool] = mark.query
    return idle
