"""ONNX files with smaller numbers, by onnxruntime's own tools."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from netdsl.backends.onnx.file import load, save

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Nodes that compute with 8 bits: what is gained is gained there."""

BETWEEN = (
    "Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Pad", "Relu", "Clip", "Reshape",
    "Transpose", "Squeeze", "Unsqueeze", "Split",
)  # fmt: skip
"""Nodes that need not leave the 8 bits between two of the former. Norms, softmax and gates stay in float: they take no
time, and lose the most."""


RECURRENT = ("LSTM", "GRU", "RNN")
"""Nodes that onnxruntime computes in float alone on a CPU. Its layout pass ends the process where what turns their
values stays in float16, so that whole recurrent layers are left as they are."""


def half(source: Path) -> ModelProto:
    """The model of a file with weights and values in float16. Its inputs and outputs stay as they are, and recurrent
    layers."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = load(source)
    found: ModelProto = convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=True, node_block_list=list(_of_recurrent(model))
    )
    OnnxModel.graph_topological_sort(found.graph, is_deterministic=True)
    return found


def _of_recurrent(model: ModelProto) -> Iterator[str]:
    """The nodes of recurrent layers, by name: theirs and those of their layer."""
    layers = {n.name.rpartition("/")[0] or n.name for n in model.graph.node if n.op_type in RECURRENT}
    for node in model.graph.node:
        if any(node.name == layer or node.name.startswith(f"{layer}/") for layer in layers):
            yield node.name


class Int8:
    """A file whose layers become 8 bits, in any choice of them: QDQ, one scale for each channel of a weight.

    Weights use 7 of the 8 bits unless `full_range`: on CPUs without VNNI sums of two products are cut off at 16 bits.
    `samples`: arrays by the name of an input, with which the range of every value is measured, once.
    """

    def __init__(self, source: Path, folder: Path, samples: Iterable[Mapping[str, Any]], full_range: bool) -> None:
        self.source, self.folder = source, folder
        self.samples = list(samples)
        self.full_range = full_range
        self.layers = tuple(n.name for n in load(source).graph.node if n.op_type in WEIGHTED)

    def without(self, kept: Collection[str]) -> Path:
        """A file in which these nodes stay in float."""
        target = self.folder / "int8.onnx"
        ranges = {"calibration_cache_path": self.folder / "ranges.json"}
        known = inspect.signature(quantize_static).parameters
        with _silent():
            quantize_static(
                self.source, target, _Reader(self.samples), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*WEIGHTED, *BETWEEN], per_channel=True, reduce_range=not self.full_range,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=list(kept),
                **{name: value for name, value in ranges.items() if name in known},
            )  # fmt: skip
        return target


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Samples one after the other, as the quantiser asks for them."""

    def __init__(self, samples: Iterable[Mapping[str, Any]]) -> None:
        self.samples: Iterator[Mapping[str, Any]] = iter(samples)

    def get_next(self) -> Any:
        return next(self.samples, None)


@contextmanager
def _silent() -> Iterator[None]:
    """The quantiser advises a preparation that the file does not need: its layers are folded, its shapes known."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write(model: ModelProto, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a model with the metadata of the file that it was made from, and the types of all values."""
    model = onnx.shape_inference.infer_shapes(model)  # what the quantiser put between nodes has none
    del model.metadata_props[:]
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])
    onnx.checker.check_model(model)
    save(model, path)
