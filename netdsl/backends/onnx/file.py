"""ONNX models as files: written whole or not at all; weights beyond 2 GB go into a second file beside the first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from netdsl.backends.onnx.wire import GRAPH, INITIALIZER, part, pieces
from netdsl.diagnostics.diagnostic import UserError
from netdsl.diagnostics.regular import check_regular

Model = ModelProto
"""An ONNX model in memory."""

PROTOBUF_LIMIT = 2**31 - 2**24
"""How many bytes of weights one protobuf may hold; the rest below 2 GiB is for the graph."""

ALIGNMENT = 4096
"""Where a weight may begin in the second file, so that it can be mapped into memory."""


def save(model: ModelProto, path: str | os.PathLike[str], *, limit: int = PROTOBUF_LIMIT) -> tuple[Path, ...]:
    """Write a model; returns the files written.

    Each file is written under a temporary name in the same folder and then renamed, so that a failure (a full disk, a
    folder that cannot be written) leaves what was there before. Raises OSError.
    """
    path = Path(path)
    if weight_bytes(model) <= limit:
        _write({path: pieces(model)})
        return (path,)
    data = path.with_name(path.name + ".data")
    small = _external(model, data.name)
    _write({data: _padded(model.graph.initializer), path: pieces(small)})
    return path, data


def weight_bytes(model: ModelProto) -> int:
    """How many bytes the weights of a model take."""
    return sum(prod(t.dims) * helper.tensor_dtype_to_np_dtype(t.data_type).itemsize for t in model.graph.initializer)


def load(path: str | os.PathLike[str]) -> ModelProto:
    """The model of a file, with its weights. Raises OSError, or UserError for what is not an ONNX model."""
    try:
        check_regular(path)
        model = onnx.load(os.fspath(path), load_external_data=True)
    except OSError:
        raise
    except Exception as error:
        raise UserError("not-a-model", f"{path} is not an ONNX model: {error}") from None
    if not model.ir_version or not model.graph.node:
        raise UserError("not-a-model", f"{path} is not an ONNX model")
    return model


def metadata(model: ModelProto) -> dict[str, str]:
    """The metadata of a model, by name."""
    return {p.key: p.value for p in model.metadata_props}


def copy(source: Path, target: Path, changes: Mapping[str, Callable[[str], str]]) -> None:
    """Copy a model with changes to what it says about itself, byte for byte where these change nothing. Raises OSError.

    Weights in a second file stay there.
    """
    data = source.read_bytes()
    model = ModelProto.FromString(data)
    before = metadata(model)
    for entry in model.metadata_props:
        if entry.key in changes:
            entry.value = changes[entry.key](entry.value)
    target.write_bytes(data if metadata(model) == before else model.SerializeToString(deterministic=True))


def renamed(model: ModelProto, rename: Callable[[str], str]) -> ModelProto:
    """A model with other names for its nodes, weights and the values between; inputs and outputs keep theirs."""
    fixed = {v.name for v in (*model.graph.input, *model.graph.output)}
    found = ModelProto()
    found.CopyFrom(model)
    for node in found.graph.node:
        node.name = rename(node.name)
        for values in (node.input, node.output):
            values[:] = [name if name in fixed else rename(name) for name in values]
    for tensor in found.graph.initializer:
        tensor.name = rename(tensor.name)
    del found.graph.value_info[:]
    return found


def transplanted(model: ModelProto, donor: ModelProto) -> ModelProto:
    """A model with the weights of another in place of its own, by their names; its constants stay.

    Raises UserError where the two do not have the same weights.
    """
    given = {t.name: t for t in donor.graph.initializer if not t.name.startswith("const.")}
    own = {t.name: t for t in model.graph.initializer if not t.name.startswith("const.")}
    other = sorted(given.keys() ^ own.keys()) or [n for n in own if own[n].dims != given[n].dims]
    if other:
        raise UserError("unfit-weights", f"the file was not made from this net: they differ in the weight `{other[0]}`")
    graft = ModelProto()
    graft.CopyFrom(model)
    for tensor in graft.graph.initializer:
        if tensor.name in given:
            tensor.CopyFrom(given[tensor.name])
    return graft


def _write(files: dict[Path, Iterable[bytes]]) -> None:
    """Write all files under temporary names, then rename them in order; nothing temporary is left behind."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, chunks in files.items():
            with open(temporary[path], "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            os.replace(temporary[path], path)
    finally:
        for name in temporary.values():
            with suppress(OSError):
                name.unlink(missing_ok=True)


def _padded(tensors: Iterable[TensorProto]) -> Iterable[bytes]:
    for tensor in tensors:
        raw = _raw(tensor)
        yield raw
        yield bytes(-len(raw) % ALIGNMENT)


def _raw(tensor: TensorProto) -> bytes:
    """A weight's bytes, also where another exporter has written it as a list of numbers."""
    return tensor.raw_data or numpy_helper.to_array(tensor).tobytes()


def _external(model: ModelProto, location: str) -> ModelProto:
    """The model without its weights, which are at `location` in the order of the initialisers."""
    small: ModelProto = part(model, lambda number: number != GRAPH)
    small.graph.CopyFrom(part(model.graph, lambda number: number != INITIALIZER))
    offset = 0
    for tensor in model.graph.initializer:
        size = len(_raw(tensor))
        added = small.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        added.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", size)):
            added.external_data.add(key=key, value=str(value))
        offset += size + -size % ALIGNMENT
    return small
