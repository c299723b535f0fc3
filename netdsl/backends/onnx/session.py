"""ONNX files run in onnxruntime."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import onnxruntime

FATAL = 4
"""The severity from which onnxruntime logs: its errors are raised, its warnings are no concern of the user's."""

onnxruntime.set_default_logger_severity(FATAL)


class Session:
    """A model in onnxruntime. `inputs` and `outputs`: names in order; a size that may vary is None.

    `names`: what the sizes of each input are called, with the batch; `gives`: the sizes of the first output.
    """

    @property
    def constraints(self) -> tuple[str, ...]:
        """The conditions on named sizes in the model's metadata."""
        try:
            found = json.loads(self.metadata.get("constraints", "[]"))
        except ValueError:
            return ()
        return tuple(c for c in found if isinstance(c, str)) if isinstance(found, list) else ()

    @property
    def limits(self) -> dict[str, int]:
        """The number of vectors that each input of whole numbers chooses from, in the model's metadata."""
        try:
            found = json.loads(self.metadata.get("limits", "{}"))
        except ValueError:
            return {}
        return {n: v for n, v in found.items() if type(v) is int} if isinstance(found, dict) else {}

    def __init__(
        self, model: bytes | str | os.PathLike[str], *, threads: int | None = None, optimised: bool = True
    ) -> None:
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
        if threads is not None:
            options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # both hold twice as much of large images, and save no time
        options.enable_cpu_mem_arena = False
        options.log_severity_level = FATAL
        source = model if isinstance(model, bytes) else _source(os.fspath(model))
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name: (_sizes(i.shape), DTYPES[i.type]) for i in self._session.get_inputs()}
        self.names = {
            i.name: tuple(s if isinstance(s, str) else None for s in i.shape) for i in self._session.get_inputs()
        }
        self.outputs = tuple(o.name for o in self._session.get_outputs())
        self.gives = _sizes(self._session.get_outputs()[0].shape)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name, from arrays by name (with the batch axis)."""
        return dict(zip(self.outputs, self._session.run(None, dict(inputs)), strict=True))

    def __call__(self, *inputs: Any) -> Any:
        """The first output, from arrays in the order of the inputs."""
        return self._session.run(self.outputs[:1], dict(zip(self.inputs, inputs, strict=True)))[0]

    def every(self, *inputs: Any) -> tuple[Any, ...]:
        """The outputs in their order, from arrays in the order of the inputs."""
        return tuple(self._session.run(None, dict(zip(self.inputs, inputs, strict=True))))


DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


def _source(path: str) -> str | bytes:
    """A file as onnxruntime takes it: its path, or its bytes where the path is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        with open(path, "rb") as file:
            return file.read()
    return path


def _sizes(shape: list[Any]) -> tuple[int | None, ...]:
    return tuple(s if isinstance(s, int) else None for s in shape)
