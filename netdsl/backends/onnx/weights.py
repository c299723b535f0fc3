"""The arrays that a layer is exported with, and their changes by folding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.diagnostics.diagnostic import UserError
from netdsl.ir.flatten import Node

FORMLESS = frozenset({"no-onnx-form", "not-exportable"})
"""Codes of nets that no opset has a form for: they are trained without a model.onnx."""


class ExportError(UserError):
    """An export that is not possible: a missing or misshapen weight, an unknown opset or target."""


class Weight(Struct, frozen=True, eq=False):
    """An array of a layer and its state-dict key. `changed`: its values are no longer those of the state dict."""

    array: Any
    key: str
    changed: bool = False


class Derived(np.ndarray[Any, Any]):
    """An array computed from a weight: remembers the weight's key through views and arithmetic, so as to be named."""

    key: str = ""

    def __array_finalize__(self, source: Any) -> None:
        self.key = source.key if isinstance(source, Derived) else ""


def derived(weight: Weight) -> Derived:
    """The values of a weight, as an array that remembers where they came from."""
    view = np.asarray(weight.array).view(Derived)
    view.key = weight.key
    return view


def weights_of(node: Node, state: Mapping[str, Any]) -> dict[str, Weight]:
    """The parameters and buffers of a node by their names in its layer.

    Raises ExportError for a missing parameter, or one whose shape is not what the net says.
    """
    found = {}
    for name, param in node.op.params(*node.types).items():
        key = _key(node, name)
        found[name] = Weight(_checked(state, key, param.shape, "float32"), key)
    for name, buffer in node.op.buffers(*node.types).items():
        key = _key(node, name)
        if key in state:
            found[name] = Weight(_checked(state, key, buffer.shape, buffer.dtype), key)
    return found


def _key(node: Node, name: str) -> str:
    return f"{node.layer_path}.{name}" if name else node.layer_path


def _checked(state: Mapping[str, Any], key: str, shape: tuple[int, ...], dtype: str) -> Any:
    if key not in state:
        raise ExportError("unfit-weights", f"the weights have no `{key}`, {list(shape)}")
    array = np.asarray(state[key])
    if array.shape != shape:
        raise ExportError("unfit-weights", f"the weight `{key}` is {list(array.shape)}, the net needs {list(shape)}")
    return array.astype(dtype, copy=False)


def weights_hash(state: Mapping[str, Any]) -> str:
    """SHA-256 over the keys, types, shapes and values of a state dict, whatever its order."""
    digest = hashlib.sha256()
    for key in sorted(state):
        array = np.asarray(state[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
