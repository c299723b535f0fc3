"""One process at a time writes into a run directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from netdsl.inference.in_use import LOCK, fcntl
from netdsl.inference.run_folder import CHECKPOINT
from netdsl.training.checkpoints.run_dir import ABOUT
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.errors import CheckpointError, ReaderDied, WriteError

HELD: set[int] = set()
"""Open lock files of this process."""


def _let_go() -> None:
    """Close the lock files in a forked process: one that reads data would hold them after the trainer was killed."""
    for file in HELD:
        os.close(file)
    HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run directory for this process; the operating system releases it however the process ends.

    Raises CheckpointError where another process holds it.
    """
    path = folder / LOCK
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WriteError("cannot-write", f"cannot write {path}: {error.strerror or error}") from None
    HELD.add(file)
    try:
        _hold(file, folder)
        try:
            with suppress(OSError):  # a full disk is told where it matters
                os.ftruncate(file, 0)
                os.write(file, str(os.getpid()).encode())
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    finally:
        HELD.discard(file)
        os.close(file)


def _hold(file: int, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(file, 20).decode(errors="replace")
        which = f"process {other}" if other.isdigit() else "another process"
        hint = "wait until it has ended, or train into another folder: `--output DIR`"
        raise CheckpointError("run-in-use", f"{which} is training into {folder}", hint) from None
    except OSError:  # a file system without locks
        return


@contextmanager
def owned(folder: Path, ranks: ProcessGroup, resume: bool) -> Iterator[None]:
    """Hold a folder for all processes of a run. Raises CheckpointError where another run holds it, or has been in it
    since a new one was asked for."""
    with ExitStack() as stack:
        refused: CheckpointError | None = None
        if ranks.first:
            try:
                stack.enter_context(locked(folder))
                if not resume and (folder / ABOUT).exists():
                    refused = CheckpointError(
                        "run-in-use", f"{folder} holds another run by now", "choose another folder"
                    )
            except CheckpointError as error:
                refused = error
        found = ranks.tell(refused.diagnostic if refused is not None else None)
        if found is not None:
            raise refused or CheckpointError.of(found)
        yield


@contextmanager
def going_on(folder: Path) -> Iterator[None]:
    """Adds to what ended a run from outside (a full disk, a process that died) how to continue with it."""
    try:
        yield
    except (WriteError, ReaderDied, RuntimeError) as error:
        has_one = (folder / CHECKPOINT).exists()
        where = "resumes from the newest checkpoint" if has_one else "begins at the first step again"
        how = f"`netdsl train --resume {folder}` {where}"
        if not (folder / ABOUT).exists():
            raise
        if isinstance(error, RuntimeError):
            error.add_note(how)
        else:
            error.advise(how, more=True)
        raise
