"""Several processes on this machine, as `torchrun` describes them in the environment.

Not torchrun itself: it imports torch once more, answers a mistake in the recipe with every process's message and its
own traceback, and Ctrl-C reaches each process twice.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import IO, Any

from netdsl.training.distributed.signals import handling

LOST = 75
"""The exit code of a process that ends because another one has."""

BROKEN = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "Timed out waiting")

GRACE = 10.0
"""Seconds that the others have to end once a process has failed."""

LEAVE = 120.0
"""Seconds that the processes have to save and end once they were told to; after that, or a second signal, they are
ended."""


def needs_launch(devices: int) -> bool:
    """Whether this process must start the others: more than one is asked for, and nobody has started them."""
    return devices > 1 and "WORLD_SIZE" not in os.environ


def launch(devices: int, argv: list[str]) -> int:
    """Run the same command in `devices` processes; returns the exit code. What the first one says is shown, of another
    only why it failed where the first did not."""
    port = _free_port()
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(devices)]
        children = [_start(rank, devices, argv, said[rank], port) for rank in range(devices)]
        with _passing_on_signals(children) as told:
            failed = _wait(children, told)
        if failed and (children[0].returncode == LOST or children[0].returncode < 0):
            said[failed].seek(0)
            sys.stderr.write(said[failed].read().decode(errors="replace"))
    if failed is None:
        return 0
    code = children[failed].returncode
    if code < 0:
        sys.stderr.write(killed(failed, devices, -code, argv))
    return code if code > 0 else 128 - code


def killed(rank: int, devices: int, number: int, argv: list[str]) -> str:
    """The message for a process that a signal has ended, which could say nothing itself."""
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    why = " (often: too little memory)" if name == "SIGKILL" else ""
    said = f"netdsl: process {rank} of {devices} (counted from 0) was ended by {name}{why}\n"
    folder = next((b for a, b in pairwise(argv) if a in ("--resume", "--output", "-o")), "RUN")
    return said + f"  if it had begun: `netdsl train --resume {folder}` resumes from the newest checkpoint\n"


def leave(code: int) -> int:
    """End a process of several at once, when all is written: the threads of torch's exchange live on in what the
    training still holds, and now and then abort an interpreter that takes itself down."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def lost_another(error: Exception) -> bool:
    """Whether an exchange between processes failed because one of them has ended."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and any(w in str(error) for w in BROKEN)


def _start(rank: int, world: int, argv: list[str], said: IO[bytes], port: int) -> subprocess.Popen[bytes]:
    threads = str(max(1, (os.cpu_count() or 1) // world))
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = {"OMP_NUM_THREADS": threads, **os.environ, **{n: str(v) for n, v in {**place, **meeting}.items()}}
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": said} if rank else {}
    return subprocess.Popen([sys.executable, "-m", "netdsl", *argv], env=environment, **streams)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(children: list[subprocess.Popen[bytes]], told: list[float]) -> int | None:
    """Until all have ended; the number of the first that failed. The others are ended after it, and all that are left
    long after the moment in `told` at which they were to end."""
    failed: int | None = None
    until = float("inf")
    while any(c.poll() is None for c in children):
        time.sleep(0.05)
        if failed is None:
            failed = next((i for i, c in enumerate(children) if c.poll()), None)
            until = time.monotonic() + GRACE if failed is not None else until
        if time.monotonic() > min([until, *(moment + LEAVE for moment in told)]):
            _kill(children)
    return next((i for i, c in enumerate(children) if c.returncode), None) if failed is None else failed


def _kill(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.kill()


@contextmanager
def _passing_on_signals(children: list[subprocess.Popen[bytes]]) -> Iterator[list[float]]:
    """Ctrl-C and SIGTERM are for the processes: they save and end. A second one ends them at once: one that waits for
    another cannot be told. When the first one came is in the list that is yielded."""
    told: list[float] = []

    def handle(number: int, frame: Any) -> None:
        again = bool(told) and time.monotonic() - told[0] > 1
        if not told:
            told.append(time.monotonic())
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL if again else number)

    with handling(handle):
        yield told
