"""The light models of the onnx package: real graphs of 2017, whose weights are filled in by random numbers here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = tuple(sorted(p.stem.removeprefix("light_") for p in FOLDER.glob("*.onnx")))


def light(name: str) -> ModelProto:
    """A model whose weights, which are nodes that repeat one number, are random initialisers."""
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    variances = {n.input[4] for n in model.graph.node if n.op_type == "BatchNormalization"}
    random = np.random.default_rng(0)
    nodes = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in known:
            array = _drawn(random, known[node.input[0]].tolist(), node.output[0] in variances)
            model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _drawn(random: np.random.Generator, shape: list[int], positive: bool) -> Any:
    if positive:
        return random.uniform(0.5, 1.5, shape).astype("float32")
    spread = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.2
    return random.standard_normal(shape, "float32") * np.float32(spread)
