"""Several processes on this machine, through torch's own launcher."""

from __future__ import annotations

import os
import subprocess
import sys


def needs_launch(devices: int) -> bool:
    """Whether this process must start the others: more than one is asked for, and nobody has started them."""
    return devices > 1 and "WORLD_SIZE" not in os.environ


def launch(devices: int, argv: list[str]) -> int:
    """Run the same command in `devices` processes; returns the exit code."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={devices}",
        "-m",
        "netdsl",
        *argv,
    ]
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // devices)), **os.environ}
    return subprocess.run(command, env=environment).returncode
