"""The log of a run as a table, for spreadsheets and data frames."""

from __future__ import annotations

from pathlib import Path

from netdsl.inference.run_folder import read_log
from netdsl.render.output import csv_text
from netdsl.training.checkpoints.format import write_atomic

CSV = "metrics.csv"


def write_csv_log(folder: Path) -> None:
    """Write `metrics.csv` from the run's log: a row for each line, a column for each number.

    Lists (metrics per class) are left out. Made from the log as it is, so a resumed run has no row twice.
    """
    rows = [{k: v for k, v in line.items() if isinstance(v, str | int | float)} for line in read_log(folder)]
    write_atomic(folder / CSV, csv_text(rows, ("step", "epoch", "kind")).encode())
