"""The reader of a recipe whose data were passed in Python and are not available."""

from __future__ import annotations

from pathlib import Path

from netdsl.recipe.sources import Python
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.readers.registry import READERS


@READERS.of(Python)
def read(source: Python, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    hint = "in Python: `net.train(data=...)`, and `netdsl.open_run(folder).resume(data=...)` to continue"
    raise DataError("missing-data", "`python` stands for data that are passed in Python, and they are not here", hint)
