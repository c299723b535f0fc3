"""A trained net, from a run directory or an ONNX file, measured on data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from netdsl.elaborate.expressions import Evaluator as Constants
from netdsl.planning.recipes import parse_override
from netdsl.recipe.annotations import arguments
from netdsl.recipe.bind import Binder
from netdsl.recipe.columns import Columns
from netdsl.recipe.metrics import METRICS
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Data, Text
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.fit import fit
from netdsl.training.data.folds import validated
from netdsl.training.data.labels import as_distributions, as_labels, as_tags
from netdsl.training.data.pairs import as_pairs
from netdsl.training.data.units import is_regression
from netdsl.training.data.validation import check_metrics, check_sound, task_of
from netdsl.training.opened import Opened
from netdsl.training.readers import read
from netdsl.training.readers.columns import Known, read_columns
from netdsl.training.readers.taken import taken
from netdsl.training.readers.text import read_text
from netdsl.training.recurrent_states import as_streams
from netdsl.training.setup import evaluator_of
from netdsl.training.test_time import averaged

HELD_OUT_OF = "held_out_of"
"""In a result on other data: how many samples they have, where a part of them was drawn to test on."""


def measure(
    trained: Opened, data: str | None, metrics: tuple[str, ...], tell: Callable[[str], object] = str
) -> dict[str, Any]:
    """The metrics of the run's recipe and others, on the test split of the run's data, or of other data written as in a
    recipe, of which `tell` hears the notes. Raises DataError."""
    known = arguments(Recipe)["metrics"].kind.annotation
    try:
        wanted = msgspec.convert(metrics, known)
    except msgspec.ValidationError:
        raise DataError(
            "unfit-metric",
            f"there is no metric in `{', '.join(metrics)}`",
            f"metrics: {', '.join(METRICS)}",
        ) from None
    found = data_of(trained, data)
    drawn_from = len(found.train) + len(found.test) if data is not None and found.drawn else 0
    check_metrics(wanted, found)
    for note in found.notes if data is not None else ():
        tell(note)
    own = (m for m in trained.recipe.metrics if task_of(found) in METRICS[m].tasks)
    recipe = replace(trained.recipe, metrics=tuple(dict.fromkeys((*own, *wanted))))
    found = as_streams(replace(found, units=trained.units), recipe)
    forward = averaged(trained.forward, recipe)
    result = evaluator_of(recipe, found, trained.kept, module=trained.module)(forward, found.test)
    return {**result, HELD_OUT_OF: drawn_from} if drawn_from else result


def data_of(trained: Opened, written: str | None) -> DataSet:
    """The data of the run, or others written as in a recipe, as the net was trained to see them. Raises DataError."""
    if written is None:
        return _read(trained, trained.recipe.data, trained.base, trained.fold)
    kind = arguments(Recipe)["data"].kind
    component = Binder({}).bind(kind, parse_override("data", written, Constants()), "data")
    return _read(trained, component, Path(), None)


def _read(trained: Opened, component: Data, base: Path, fold: int | None) -> DataSet:
    """A data set, or what a fold of a cross-validation is tested on, as the net was trained to see it."""
    shape = tuple(s or 0 for s in trained.shape)
    if isinstance(component, Columns) and trained.columns:
        found = read_columns(component, base, Known(trained.columns, trained.classes))
        check_sound(found)
    elif isinstance(component, Text):
        own = trained.recipe.data  # what a token is stands with the net
        if isinstance(own, Text):
            component = replace(own, path=component.path, length=component.length, test=component.test)
        found = read_text(component, base, trained.classes, trained.tokenizer)
        check_sound(found)
    else:
        found = read(component, base, shape, trained.outputs or 1, is_regression(trained.recipe))
    found = taken(validated(found, trained.recipe, fold), trained.inputs)
    found = as_labels(found, trained.recipe, trained.outputs)
    found = as_distributions(found, trained.recipe, trained.outputs)
    found = as_pairs(_as_tags(trained, found), trained.recipe)
    return fit(found, tuple(s or "any" for s in trained.shape), trained.outputs or None)


def _as_tags(trained: Opened, data: DataSet) -> DataSet:
    """Whole numbers as the classes of places, for a net that was trained on such."""
    if trained.task != "tags":
        return data
    return as_tags(data, trained.recipe, (None, len(trained.classes)))
