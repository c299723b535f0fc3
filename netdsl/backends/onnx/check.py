"""Checks of an ONNX model that hold for a file of any origin."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from netdsl.backends.onnx.file import save, weight_bytes
from netdsl.backends.onnx.wire import pieces

INLINE = 2**24
"""Bytes of weights up to which a model is passed in memory."""


def check_model(model: ModelProto) -> str | None:
    """Return the message of onnx's full check, with strict shape inference, or None for a valid model."""
    try:
        with runnable(model) as source:
            onnx.checker.check_model(source, full_check=True)
    except Exception as error:  # the checker raises several unrelated types
        return f"onnx refuses the model: {str(error).strip() or type(error).__name__}"
    return _unknown_output(model)


@contextmanager
def runnable(model: ModelProto) -> Iterator[bytes | str]:
    """Give a model in the form that onnx and onnxruntime read: the bytes of a small model, or the path of a temporary
    file, which takes no memory and may be larger than 2 GB."""
    if weight_bytes(model) <= INLINE:
        yield b"".join(pieces(model))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        yield str(path)


def _unknown_output(model: ModelProto) -> str | None:
    for output in model.graph.output:
        if output.type.tensor_type.elem_type == TensorProto.UNDEFINED:
            return f"the output `{output.name}` has no type"
    return None
