"""Runs `netdsl` commands, each in a process of its own that may be killed at a chosen place.

    python kills.py '[{"arguments": ["train", ...], "kill": "step:7", "processes": 2}, ...]'

torch is imported once and every command is a fork (or several that train together), so a kill costs no start-up. Prints
the exit codes as JSON; a killed process has -9. Places: `step:N` after the update N; `write:N` in the middle of writing
the N-th file; `rename:N` when the N-th file is written and has not got its name yet.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import sklearn.datasets  # noqa: F401 - what a run imports

from netdsl.cli.main import main
from netdsl.training import entry as session  # noqa: F401 - what a run imports
from netdsl.training.distributed.launch import _free_port
from netdsl.training.trainer import Trainer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(place: str) -> None:
    """Kill this process when it comes to a place."""
    kind, _, number = place.partition(":")
    count = 0
    update, sync, replace = Trainer.update, os.fsync, os.replace

    def updated(self: Any, step: int) -> None:
        update(self, step)
        if step + 1 == int(number):
            die()

    def synced(file: int) -> None:
        nonlocal count
        count += 1
        if count == int(number):
            os.ftruncate(file, os.fstat(file).st_size // 2)
            die()
        sync(file)

    def replaced(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        if count == int(number):
            die()
        replace(source, target)

    if kind == "step":
        Trainer.update = updated  # type: ignore[method-assign]
    elif kind == "write":
        os.fsync = synced
    else:
        os.replace = replaced  # type: ignore[assignment]


def join(rank: int, world: int, port: int) -> None:
    """Tell this process its place among the others, as torchrun does."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({n: str(v) for n, v in place.items()})


def run(command: dict[str, Any]) -> int:
    world, port = command.get("processes", 1), _free_port()
    children = []
    for rank in range(world):
        child = os.fork()
        if not child:
            if world > 1:
                join(rank, world, port)
            if "kill" in command:
                arm(command["kill"])
            os._exit(main(command["arguments"]))
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return codes[0]


if __name__ == "__main__":
    print(json.dumps([run(c) for c in json.loads(sys.argv[1])]))
