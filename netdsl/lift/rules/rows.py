"""Rows picked and collected by numbers that the net computes, as message passing over the edges of a graph does."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.ir.model import Value
from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.read import Node
from netdsl.lift.sized import Sized
from netdsl.ops import REGISTRY
from netdsl.ops.arithmetic import Add, Scalar
from netdsl.ops.indexing import Gather, Scatter
from netdsl.ops.reshaping import Cast, Expand, Reshape
from netdsl.sizes.dims import Dim

LEAST = -1e30
"""Numbers up to this are as good as minus infinity."""


def _picked(builder: Builder, node: Node) -> None:
    """`GatherND` of one number a row: `gather`."""
    x, index = builder.tensor(), builder.tensor(1)
    if index.type.rank == 0 or index.type.shape[-1] != 1 or node.get("batch_dims", 0) != 1 or index.batch:
        raise builder.refused("it picks values by several numbers each")
    if index.type.rank != 2:
        raise builder.refused("it picks rows by a table of numbers")
    _gathered(builder, x, builder.call(Reshape(index.type.shape[:1]), index)[0])


def _elements(builder: Builder, node: Node) -> None:
    """`GatherElements` by numbers that are repeated along the features: `gather`."""
    x, index = builder.tensor(), builder.tensor(1)
    if node.get("axis", 0) % x.rank != 1:
        raise builder.refused("it picks values by numbers of their own")
    _gathered(builder, x, _rows(builder, index))


def _gathered(builder: Builder, x: Laid, rows: Value) -> None:
    if x.batch or x.joined:
        raise builder.refused("the batch is not its first axis")
    builder.give(builder.call(Gather(), x, rows)[0])


def _rows(builder: Builder, index: Laid) -> Value:
    """The number of each row `[E]`, of an index that repeats it along the features of the row."""
    value = index.value
    if index.batch or index.joined:
        raise builder.refused("the batch is not the first axis of its index")
    while value.type.rank > 1:
        made = builder.source(value)
        if made is None or made.kind not in ("expand", "unsqueeze", "reshape") or not _grows(made):
            raise builder.refused("the values of a row have numbers of their own")
        value = made.inputs[0]
    return value


def _grows(call: Any) -> bool:
    """Whether a call adds axes of size 1 after the rows, or repeats along such axes."""
    x, made = call.inputs[0].type.shape, call.outputs[0].type.shape
    return bool(x and x[0] == made[0] and all(s == 1 for s in x[1:]))


def _collected(builder: Builder, node: Node) -> None:
    """`ScatterElements` by numbers that are repeated along the features: `scatter`, and what was there before."""
    index = builder.tensor(1)
    if node.get("axis", 0) % index.rank != 1:
        raise builder.refused("it collects along another axis than the rows")
    reduction, rows = node.get("reduction", "none"), _rows(builder, index)
    shape = _shape_of(builder, node.inputs[0])
    messages = _messages(builder, rows, builder.known[node.inputs[2]])
    if reduction == "add":
        total = builder.call(Scatter(shape[1]), messages, rows)[0]
        builder.give(_onto(builder, total))
    elif reduction == "max" and builder.is_array(0):
        _largest(builder, node, builder.call(Scatter(shape[1], "max"), messages, rows)[0])
    else:
        raise builder.refused(f"rows that are collected with `{reduction}`")


def _shape_of(builder: Builder, name: str) -> tuple[Dim, ...]:
    """The shape in the file of what rows are collected in."""
    found = builder.known[name]
    shape = (
        found.sizes if isinstance(found, Laid) else found.shape(builder.points) if isinstance(found, Sized) else None
    )
    shape = found.shape if isinstance(found, np.ndarray) else shape
    if shape is None:
        raise builder.refused("how many rows there are depends on the size of the input")
    return shape


def _messages(builder: Builder, rows: Value, found: Any) -> Value:
    """The collected messages: a value of each row, or one number for all of them, as where edges are counted."""
    if isinstance(found, Laid):
        return builder.usual(found).value
    number = found.number if isinstance(found, Sized) else found
    if number is None or np.unique(number).size != 1:
        raise builder.refused("it collects fixed numbers")
    shape = found.shape(builder.points) if isinstance(found, Sized) else found.shape
    value = builder.call(Cast("float32"), builder.call(Scalar("*", 0, False), rows)[0])[0]
    value = builder.call(Scalar("+", float(number.reshape(-1)[0]), False), value)[0]
    rest = (rows.type.shape[0], *(shape or ())[2:])
    if len(rest) == 1:
        return value
    value = builder.call(Reshape((rest[0], *(1,) * (len(rest) - 1))), value)[0]
    return value if all(s == 1 for s in rest[1:]) else builder.call(Expand(rest), value)[0]


def _onto(builder: Builder, total: Value) -> Value:
    """A sum with what was there before."""
    if not builder.is_array(0):
        return builder.call(Add(), builder.usual(builder.tensor()), total)[0]
    if np.any(builder.array(0)):
        raise builder.refused("it collects onto fixed numbers")
    return total


def _largest(builder: Builder, node: Node, largest: Value) -> None:
    """The largest numbers: of rows that begin with 0, or with minus infinity, in whose place 0 is put after it."""
    start = float(builder.array(0).reshape(-1)[0])
    if start == 0:
        builder.give(builder.call(REGISTRY["relu"](), largest)[0])
        return
    after = builder.readers(node.outputs[0])
    if start > LEAST or [n.op_type for n in after] != ["IsInf", "Where"] or not _puts_zeros(builder, *after):
        raise builder.refused("rows that nothing is collected in, with another number than 0")
    builder.settle(after, Laid(largest))


def _puts_zeros(builder: Builder, test: Node, where: Node) -> bool:
    zero = builder.file.arrays.get(where.inputs[1])
    return (
        where.inputs[0] == test.outputs[0]
        and where.inputs[2] == test.inputs[0]
        and len(builder.readers(test.outputs[0])) == 1
        and zero is not None
        and not np.any(zero)
    )


ROWS: dict[str, Rule] = {"GatherND": _picked, "GatherElements": _elements, "ScatterElements": _collected}
