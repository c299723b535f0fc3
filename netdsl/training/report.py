"""A page about a run: curves, confusion, mistakes, in one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_report(folder: Path, prepared: Any, result: dict[str, Any]) -> None:
    """Being written."""
