"""Whole-process CPU time of `netdsl check` and `netdsl summary`, from cold, beside that of `import torch`.

    python benchmarks/startup.py [rounds] [SPEC...]

The two take turns; the bar is 0.25 s and one fifteenth of the import. The package is compiled first, as
installing them does.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def cpu(command: list[str]) -> float:
    """CPU seconds of a process, its own and the system's for it."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main() -> None:
    compileall.compile_dir(ROOT / "netdsl", quiet=1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    specs = sys.argv[2:] or sorted(str(p) for p in (ROOT / "specs").glob("*.net"))
    torch = [sys.executable, "-c", "import torch"]
    cpu(torch)
    print(f"{'':34}{'CPU s':>8}{'of import torch':>18}")
    for spec in specs:
        for command in ("check", "summary"):
            own = [sys.executable, "-m", "netdsl", command, spec]
            if command == "summary" and "net " not in Path(spec).read_text():
                continue
            cpu(own)
            pairs = [(cpu(own), cpu(torch)) for _ in range(rounds)]
            seconds = statistics.median(a for a, _ in pairs)
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{command + ' ' + Path(spec).name:34}{seconds:8.3f}{ratio:18.3f}  (1/{1 / ratio:.1f})", flush=True)


if __name__ == "__main__":
    main()
