"""netdsl in a process where some packages cannot be imported, as where they are not installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paths import ROOT

CODE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from netdsl.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


def run_without(
    packages: Sequence[str], *arguments: Any, cwd: Path | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """A command of netdsl without these packages."""
    command = [sys.executable, "-c", CODE.format(packages=tuple(packages)), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
