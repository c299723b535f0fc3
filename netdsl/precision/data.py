"""The data that a smaller file is calibrated and measured on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import asdict, replace

from netdsl.backends.onnx.session import Session
from netdsl.inference.trained import of_session
from netdsl.ir.model import Program
from netdsl.precision.measure import Comparison
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.export import forward_of
from netdsl.training.opened import Opened
from netdsl.training.readers.taken import inputs_of
from netdsl.training.rng import permutation
from netdsl.training.run_evaluation import data_of
from netdsl.training.setup import evaluator_of
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import choose

AT_ONCE = 8
"""Samples that the quantiser runs at once: it keeps every value of the net for each."""

Feed = dict[str, Any]


def calibration(split: Split, names: Sequence[str], count: int) -> list[Feed]:
    """`count` samples of a training split, the same for every call, as arrays by the name of an input."""
    rows = permutation(0, len(split))[:count]
    batches = split.batches(torch.split(rows, AT_ONCE))
    return [{n: x.numpy() for n, x in zip(names, inputs, strict=True)} for inputs, _ in batches]


def random_samples(program: Program) -> list[Feed]:
    """Four random inputs, where there are no data."""
    point = choose(program)[0]
    names = [v.name for v in program.main.inputs]
    drawn = (draw_inputs(program, point.batch, point.named, seed) for seed in range(4))
    return [{n: x.numpy() for n, x in zip(names, inputs, strict=True)} for inputs in drawn]


def reopened(session: Session, program: Program, recipe: Recipe | None, base: Path, run: Opened | None) -> Opened:
    """The float file as a net that can be run; what it is trained for stands in the run, or in a recipe."""
    if run is not None:
        return replace(run, compute=session.every, forward=forward_of(session), module=None)
    size = next(o for o in program.main.outputs if not o.training).value.type.shape[0]
    found = replace(
        of_session(session), recipe=recipe or Recipe(), base=base, outputs=size if isinstance(size, int) else 0,
        inputs=inputs_of(program),
    )  # fmt: skip
    return Opened(**asdict(found), forward=forward_of(session))


def read(opened: Opened, written: str | None) -> DataSet:
    """A net's own data, or those written as in a recipe, as the net takes them. Raises DataError."""
    return data_of(opened, written)


def comparison(source: Session, opened: Opened, data: DataSet) -> Comparison:
    """Prepare the comparison of smaller files with `source`, on the data's test split."""
    recipe = replace(opened.recipe, metrics=(), tta=None)
    return Comparison(source, data, evaluator_of(recipe, replace(data, units=opened.units), opened.kept))
