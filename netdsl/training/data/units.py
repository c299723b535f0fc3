"""Units of regression targets: standardised by the training split for the loss, and given as they are by the net."""

from __future__ import annotations

import math
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.ir.flatten import flatten
from netdsl.ir.model import Definition, Program, Value
from netdsl.ops.indexing import Scatter
from netdsl.recipe.losses import L1, Huber, Mse
from netdsl.recipe.metrics import NODES, NUMBERS
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet, Split

Units = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of every target (of every channel, where they have more axes; of nodes, of every column)."""

UNBOUNDED = frozenset(("linear", "conv", "dwconv", "upconv", "add", "sub", "matmul", "affine", "lstm", "gru"))
"""Ops whose results may lie anywhere, and be multiplied and shifted as well as their weights could."""
SAME = frozenset(
    ("identity", "reshape", "flatten", "squeeze", "unsqueeze", "permute", "gap", "crop", "dropout", "scatter")
)
"""Ops that give what they take, in another form."""


def is_regression(recipe: Recipe) -> bool:
    """Whether the loss compares numbers, and not classes."""
    return isinstance(recipe.loss, Mse | L1 | Huber)


def as_numbers(data: DataSet, outputs: int | None) -> DataSet:
    """Whole numbers as targets of a net that gives one number: no classes, with a loss that compares numbers. Classes
    of a table that are called by numbers are those numbers."""
    if data.task != "classes" or outputs != 1:
        return data
    if not data.columns:
        splits = (replace(s, target=s.target.to(torch.float32)[:, None]) for s in (data.train, data.test))
    elif all(map(_is_number, data.classes)):
        values = torch.tensor([float(name) for name in data.classes])
        splits = (replace(s, target=values[s.target][:, None]) for s in (data.train, data.test))
    else:
        return data
    train, test = splits
    return replace(data, train=train, test=test, task="numbers", classes=())


def of_floats(data: DataSet) -> str | None:
    """A hint for whole numbers that are no classes because their type is a float's."""
    y = data.train.target
    whole = data.task == "numbers" and y.shape[1:] == (1,) and bool(((y >= 0) & (y == y.floor())).all())
    return "whole numbers of a type for fractions are no classes: `y.astype(int)`" if whole else None


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def target_units(recipe: Recipe, train: Split, task: str, program: Program) -> Units | None:
    """The statistics of the training targets; None for other tasks, for a net that ends with a bounded function (a
    sigmoid, or a factor of its own), and where the recipe says so."""
    main = next(o for o in program.main.outputs if not o.training)
    wanted = recipe.standardize_targets and is_regression(recipe) and task in NUMBERS
    if not wanted or not main.value.type.shape or not is_unbounded(program.main, main.value):
        return None
    rows = task in NODES or train.graphs is not None  # [graphs, F] or [nodes, F]: a graph is one of a batch
    if not _has_channels(main.value.type.shape, rows):
        return None
    each = train.target.double().movedim(-1 if rows else 1, 0).flatten(1)
    sizes = _added(train, task, program)
    mean, std = zip(*(_of_known(x, sizes) for x in each), strict=True)
    return _as_written(torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64))


def _added(train: Split, task: str, program: Program) -> Tensor | None:
    """The nodes of each graph, where a graph has numbers and the net adds up something over its nodes."""
    if task in NODES or train.graphs is None or not adds_nodes(program):
        return None
    return train.graphs.sizes.double()


def adds_nodes(program: Program) -> bool:
    """Whether a net adds up something over the nodes of each graph."""
    (graphs, *_) = next(o for o in program.main.outputs if not o.training).value.type.shape
    sums = (n for n in flatten(program) if isinstance(n.op, Scatter) and n.op.reduce == "sum")
    return any(n.outputs[0].type.shape[0] == graphs for n in sums)


def _grows(x: Tensor, sizes: Tensor) -> bool:
    """Whether targets of graphs are nearer to a multiple of their sizes than to their mean: what every node adds to
    them. A sum over nodes cannot give the mean, which all graphs would have in common; it learns them unshifted."""
    multiple = (x * sizes).sum() / sizes.square().sum()
    return bool((x - multiple * sizes).square().sum() < (x - x.mean()).square().sum())


def _has_channels(shape: tuple[Any, ...], rows: bool) -> bool:
    """Whether an output says how many channels it has (of `rows`, columns), and which axis they are."""
    if rows and shape[0] == shape[-1]:
        return False
    return isinstance(shape[-1 if rows else 0], int)


def _of_known(x: Tensor, sizes: Tensor | None) -> tuple[float, float]:
    """The mean and the deviation of the numbers of a channel that are known; 0 in place of the mean where they grow
    with `sizes`."""
    known = torch.isfinite(x)
    x = x[known]
    if not len(x):
        return 0.0, 0.0
    mean = 0.0 if sizes is not None and _grows(x, sizes[known]) else float(x.mean())
    return mean, float(x.std(correction=0))


def _as_written(mean: Tensor, std: Tensor) -> Units:
    constant = std <= 1e-12 * mean.abs()
    std = torch.where(constant, torch.ones_like(std), std)
    return tuple(map(_rounded, mean.tolist(), std.tolist())), tuple(_rounded(s, s) for s in std.tolist())


def deviation_of(data: DataSet) -> Tensor | None:
    """The deviation in which outputs are compared with targets, as it is multiplied with either; None for 1."""
    if data.units is None:
        return None
    axes = data.train.target.ndim - 2 if data.task == "numbers" else 0
    return torch.tensor(data.units[1]).view(-1, *[1] * axes)


def _rounded(value: float, scale: float) -> float:
    """A number as it stands in the net's source: six digits, or more where they are less than a thousandth of a
    scale, as those of 2,451,545 are of 3."""
    times = math.log10(abs(value) / scale) if value else 0.0
    return float(f"{value:.{6 + max(0, math.ceil(times) - 3)}g}")


def is_unbounded(definition: Definition, value: Value) -> bool:
    """Whether a value of a definition comes from an op whose results may lie anywhere."""
    step = next((s for s in definition.steps if value in s.outs), None)
    if step is None:
        return False
    if isinstance(step.callee, Definition):
        return is_unbounded(step.callee, step.callee.outputs[step.outs.index(value)].value)
    kind = step.callee.kind
    return kind in UNBOUNDED or (kind in SAME and is_unbounded(definition, step.inputs[0]))
