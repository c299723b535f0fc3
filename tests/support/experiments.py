"""Experiments run by the command, and ended from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from netdsl.cli.main import main
from netdsl.diagnostics.codes.experiments import NET

ENTRIES = """
  vary width = [4, 8]
  seeds   = 2
  measure = [test.top1, train.loss, params, samples, weights.zeros, weights.norm]
  compare test.top1 against width = 4
  plot line(x=width, y=test.top1)
"""


def spec(folder: Path, entries: str = ENTRIES, net: str = NET) -> Path:
    path = folder / "e.net"
    path.write_text(f"{net}\nexperiment E for Example {{{entries}}}\n")
    return path


def experiment(*words: str | Path) -> int:
    return main(["experiment", *map(str, words)])


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in found.read_text().split()] if found.exists() else []


def interrupted(folder: Path, words: list[str], after: float, number: int) -> int:
    """Begin an experiment and end it by a signal; gives its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "netdsl", "experiment", *words], cwd=folder, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        workers = children(process.pid)
        process.send_signal(number)
        process.wait()
        until = time.monotonic() + 60
        while any(alive(pid) for pid in workers) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(alive(pid) for pid in workers), "a worker outlives the command"
    return process.returncode


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
