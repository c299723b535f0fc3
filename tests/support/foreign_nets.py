"""ONNX models for the tests of lifting: from specs, and from onnx's own text form, from torch's older exporter."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, numpy_helper, parser
from torch import Tensor, nn

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


def by_torchscript(net: nn.Module, inputs: tuple[Tensor, ...]) -> ModelProto:
    """The file of torch's older exporter."""
    names = [f"x{i}" for i in range(len(inputs))]
    found = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        torch.onnx.export(
            net, inputs, found, dynamo=False, dynamic_axes={n: {0: "n"} for n in names}, input_names=names
        )
        logging.disable(logging.NOTSET)
    return onnx.load_from_string(found.getvalue())
