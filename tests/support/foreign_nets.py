"""ONNX models for the tests of lifting: from specs, and from onnx's own text form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper, parser

from netdsl.api import load

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'


def exported(spec: str, net: str | None = None, **arguments: Any) -> ModelProto:
    """The ONNX model of a net of the zoo, with the weights of seed 0."""
    found = load(spec, net, **arguments)
    state = {k: v.numpy() for k, v in found.module(0).eval().state_dict().items()}
    return found.onnx(state)


def written(text: str, head: str = HEAD) -> ModelProto:
    """A model in onnx's text form, whose initialisers are filled with random numbers."""
    model = parser.parse_model(head + text)
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        array = random.standard_normal(tuple(tensor.dims)).astype("float32") * 0.3
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


def stored(model: ModelProto, folder: Path, name: str = "model.onnx") -> str:
    path = str(folder / name)
    onnx.save(model, path)
    return path
