"""Tables in an ONNX file: their numbers, computed while it is written, are stored once."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.backends.onnx.graph import Finished, GraphBuilder
from netdsl.backends.onnx.proto import to_proto
from netdsl.ir.model import Value
from netdsl.ops.tables import Table


def stored(table: Table, path: str, opset: int) -> Any:
    """The numbers of a table, by ONNX's own definitions of the nodes that compute them."""
    from onnx.reference import ReferenceEvaluator

    part = GraphBuilder(opset, ())
    part.begin(path, {}, ())
    value = str(table.onnx(part))
    if value in part.initialisers:
        return part.initialisers[value]
    output = ("table", value, Value("table", table.expression.type))
    model = to_proto(Finished(opset, tuple(part.nodes), part.initialisers, (), (output,), {}), "table", {})
    (array,) = ReferenceEvaluator(model).run(None, {})
    return np.asarray(array)
