"""The registry of readers: which function reads each component of a recipe's `data`."""

from __future__ import annotations

from collections.abc import Callable

from netdsl.recipe.registry import Executors
from netdsl.training.data.dataset import DataSet

Reader = Callable[..., DataSet]
"""(component, folder that paths are relative to, shape of the net's input, number of its outputs) -> the data."""

READERS: Executors[Reader] = Executors("data")
"""The reader of every source of data."""
