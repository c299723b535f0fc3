"""The weights in an ONNX file: its initialisers, under the names that the exporter gave them."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from netdsl.diagnostics.diagnostic import first_line
from netdsl.weights.unwrap import WeightsError


def initializers(path: str) -> dict[str, Any]:
    """The initialisers by name; matrices that are multiplied from the right are turned to [out, in], as linear layers
    have them. Raises WeightsError."""
    try:
        model = onnx.load(path)
        arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    except OSError:
        raise
    except Exception as error:  # onnx raises whatever its parser and its checker raise
        raise WeightsError("unreadable-weights", f"{path} is not a readable ONNX file: {first_line(error)}") from None
    turned = _multiplied(model)
    return {k: a.T if k in turned and a.ndim == 2 else a for k, a in arrays.items()}


def _multiplied(model: ModelProto) -> set[str]:
    """The names of what stands on the right of a matrix product as it is."""
    return {n.input[1] for n in model.graph.node if n.op_type == "MatMul" or (n.op_type == "Gemm" and _is_plain(n))}


def _is_plain(node: NodeProto) -> bool:
    return not any(a.name == "transB" and a.i for a in node.attribute)
