"""Weights as other projects save them, read without running any code: safetensors, PyTorch, NumPy and ONNX files."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.diagnostics.diagnostic import first_line
from netdsl.diagnostics.regular import check_regular
from netdsl.weights.slots import Slot
from netdsl.weights.unwrap import WeightsError, beside, inner, tensors_of

MOST_BYTES = 1 << 36
"""An archive that would unpack to more than this is not read."""

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
}  # fmt: skip
NARROW = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
"""Types of safetensors files by their names there; those that NumPy itself has not are those of `ml_dtypes`."""


class Foreign(Struct, frozen=True):
    """The tensors of a file, as arrays by name. `inside`: under which key of the file they were; `beside`: the keys of
    other sets as large, which were not taken."""

    path: str
    tensors: Mapping[str, Any]
    inside: str = ""
    beside: tuple[str, ...] = ()

    def slots(self) -> list[Slot]:
        """The tensors by key. Averages of weights keep counters as numbers with a fraction: constants all the same."""
        return [Slot(k, tuple(a.shape), not is_floating(a) or is_counter(k)) for k, a in self.tensors.items()]


def is_counter(key: str) -> bool:
    """Whether a tensor is the number of batches that a norm has seen."""
    return key.endswith("num_batches_tracked")


def is_floating(array: Any) -> bool:
    """Whether an array holds numbers with a fraction, in whatever width."""
    return bool(array.dtype.kind == "f" or array.dtype.name in NARROW.values())


def read_file(path: str, inside: str | None = None) -> Foreign:
    """The tensors of a file, or of a run directory. `inside`: under which key of the file they are, or which prefix
    they have. Raises WeightsError."""
    if os.path.isdir(path):
        path = _in_folder(path)
    try:
        found, where, others = _reader(path)(path, inside)
    except OSError as error:
        raise WeightsError("unreadable", f"cannot read {path}: {error.strerror or error}") from None
    if inside and not where:
        found, where = _below(path, found, inside), inside
    if not found or "" in found:
        what = "a tensor without a name" if found else "no tensors"
        raise WeightsError("unreadable-weights", f"{path} holds {what}")
    return Foreign(path, found, where, others)


def _below(path: str, found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    chosen = {k[len(prefix) + 1 :]: a for k, a in found.items() if k.startswith(f"{prefix}.")}
    if not chosen:
        first = sorted({k.partition(".")[0] for k in found})
        raise WeightsError(
            "unclear-weights", f"{path} has nothing under `{prefix}`", f"its keys begin with {', '.join(first[:12])}"
        )
    return chosen


def _in_folder(path: str) -> str:
    for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin.index.json"):
        inside = os.path.join(path, name)
        if os.path.isfile(inside):
            return inside
    raise WeightsError("no-such-file", f"{path} is a folder without model.safetensors", "name the file of the weights")


Found = tuple[dict[str, Any], str, tuple[str, ...]]
"""Tensors by name, the key of the file under which they were, and the keys of other sets."""

Reader = Callable[[str, str | None], Found]


def _reader(path: str) -> Reader:
    """How a file is read: by its ending, and for the endings of PyTorch by what it begins with."""
    check_regular(path)
    name = path.lower()
    if name.endswith(".json"):
        return _sharded
    if name.endswith((".npz", ".onnx", ".safetensors")):
        return {"npz": _npz, "onnx": _onnx, "safetensors": _safetensors}[name.rpartition(".")[2]]
    if name.endswith((".h5", ".keras", ".hdf5")):
        raise WeightsError(
            "unreadable-weights",
            f"{path} is a Keras file, which is not read",
            "save its arrays: `numpy.savez(file, **{v.path: v.numpy()})`",
        )
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < MOST_BYTES:
        return _safetensors
    return _torch


def _safetensors(path: str, inside: str | None) -> Found:
    from safetensors import SafetensorError, deserialize

    with open(path, "rb") as file:
        content = file.read()
    try:
        found = {name: _array(path, name, view) for name, view in deserialize(content)}  # type: ignore[no-untyped-call]
        order = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # `deserialize` gives them in any
        return {name: found[name] for name in order if name in found}, "", ()
    except (SafetensorError, ValueError) as error:
        raise WeightsError("unreadable-weights", f"{path} is not a whole safetensors file: {error}") from None


def _array(path: str, name: str, view: Mapping[str, Any]) -> Any:
    dtype = view["dtype"]
    if dtype in NARROW:
        import ml_dtypes

        kind: Any = getattr(ml_dtypes, NARROW[dtype])
    elif dtype in DTYPES:
        kind = DTYPES[dtype]
    else:
        raise WeightsError("unreadable-weights", f"`{name}` in {path} is of type {dtype}, which is not read")
    return np.frombuffer(view["data"], dtype=kind).reshape(view["shape"])


def _sharded(path: str, inside: str | None) -> Found:
    """A checkpoint in several files, by the index that lists which tensor is where."""
    try:
        with open(path, "rb") as file:
            where = json.load(file)["weight_map"]
        files = sorted(set(where.values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WeightsError(
            "unreadable-weights", f"{path} is not the index of a sharded checkpoint", "it needs a `weight_map`"
        ) from None
    found: dict[str, Any] = {}
    for name in files:
        if not isinstance(name, str) or os.path.basename(name) != name or name.endswith(".json"):
            raise WeightsError("no-such-file", f"{path} names the file `{name}`, which is no file of weights beside it")
        found |= read_file(os.path.join(os.path.dirname(path), name)).tensors
    missing = [k for k in where if k not in found]
    if missing:
        raise WeightsError("unreadable-weights", f"the files of {path} have no `{missing[0]}`" + _more(len(missing)))
    return {k: found[k] for k in where}, "", ()


def _more(count: int) -> str:
    return f" and {count - 1} more of those it lists" if count > 1 else ""


def _npz(path: str, inside: str | None) -> Found:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(path, archive.infolist())
        with np.load(path, allow_pickle=False) as arrays:
            return {name.replace("/", "."): arrays[name] for name in arrays.files}, "", ()
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, NotImplementedError) as error:
        raise WeightsError(
            "unreadable-weights", f"{path} is not an .npz file of plain arrays: {first_line(error)}"
        ) from None


def _check_size(path: str, members: Iterable[zipfile.ZipInfo]) -> None:
    if sum(m.file_size for m in members) > MOST_BYTES:
        raise WeightsError("unreadable-weights", f"{path} would unpack to more than {MOST_BYTES >> 30} GiB")


def _onnx(path: str, inside: str | None) -> Found:
    from netdsl.weights.initializers import initializers

    return initializers(path), "", ()


def _torch(path: str, inside: str | None) -> Found:
    from netdsl.weights.pickled import load

    loaded = load(path)
    found, where = inner(path, loaded, inside)
    return tensors_of(found), where, beside(loaded, where) if inside is None else ()
