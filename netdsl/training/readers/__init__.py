"""Readers of data sets, one file for each kind. Nothing read from disk can run code (no pickle)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.recipe.columns import Columns
from netdsl.recipe.component import component_name
from netdsl.recipe.sources import Graph, Graphs, Npz
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.units import as_numbers
from netdsl.training.data.validation import check_sound
from netdsl.training.readers.registry import READERS


def read(source: Any, base: Path, shape: tuple[int, ...], outputs: int, regression: bool = False) -> DataSet:
    """The data set a recipe names. `base`: the folder paths are relative to; `shape`, `outputs`: what the net takes
    and gives; `regression`: whole numbers in a file are regression targets, where the net gives one, and so are numbers
    of nodes.

    Raises DataError for what is missing or malformed.
    """
    load()
    try:
        more = {"regression": True} if regression and isinstance(source, Graph | Graphs) else {}
        found = READERS[source](source, base, shape, outputs, **more)
        if not isinstance(found, DataSet):  # of a plug-in, which gives what `net.train` takes
            from netdsl.training.python_data import as_data_set

            found = replace(as_data_set(*found), name=component_name(source))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise DataError("unreadable-data", f"cannot read the data: {where}{error.strerror or error}") from None
    if regression and isinstance(source, Npz | Columns):
        found = as_numbers(found, outputs)
    check_sound(found)
    return found


def load() -> None:
    """Import the readers, so that they register themselves."""
    from netdsl.training.readers import (  # noqa: F401 - they register themselves
        arrays,
        cifar,
        columns,
        digits,
        folders,
        from_python,
        graph,
        graphs,
        idx,
        masks,
        shards,
        synthetic,
        tables,
        text,
    )
