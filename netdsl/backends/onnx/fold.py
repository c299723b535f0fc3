"""Folding: a layer that only scales and shifts features (BatchNorm, LayerScale) goes into the weights before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.onnx.weights import Weight, weights_of
from netdsl.ir.flatten import Flat
from netdsl.ir.model import Value
from netdsl.ops.base import Op
from netdsl.ops.features import features_at
from netdsl.tensors import TensorType


class Placed(Struct, frozen=True, eq=False):
    """An op call with its weights."""

    path: str
    layer_path: str
    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    weights: Mapping[str, Weight]


def place(flat: Flat, state: Mapping[str, Any]) -> tuple[Placed, ...]:
    """The op calls of a flat net with their weights from a state dict. Raises ExportError for a missing weight."""
    return tuple(Placed(n.path, n.layer_path, n.op, n.inputs, n.outputs, weights_of(n, state)) for n in flat)


def fold(calls: tuple[Placed, ...], outputs: tuple[str, ...]) -> tuple[Placed, ...]:
    """The same function with fewer op calls.

    A layer `y * scale + shift` is folded into the producer of y where nothing else reads y and both mean the same axis.
    """
    uses = Counter(v.name for call in calls for v in call.inputs)
    uses.update(outputs)
    kept: list[Placed] = []
    producer: dict[str, int] = {}
    for call in calls:
        before = producer.get(call.inputs[0].name) if call.inputs else None
        if before is not None and uses[call.inputs[0].name] == 1:
            merged = _merged(kept[before], call)
            if merged is not None:
                kept[before] = merged
                producer[call.outputs[0].name] = before
                continue
        producer.update((v.name, len(kept)) for v in call.outputs)
        kept.append(call)
    return tuple(kept)


def _merged(layer: Placed, affine: Placed) -> Placed | None:
    """`layer` followed by `affine` as one call, or None where they stay two."""
    form = affine.op.as_affine({n: w.array for n, w in affine.weights.items()})
    if form is None or not layer.inputs or len(layer.outputs) > 1:
        return None
    if _axis(layer.op, layer.inputs[0].type) != _axis(affine.op, affine.inputs[0].type):
        return None
    scale = np.asarray(form[0], "float64")
    shift = np.broadcast_to(np.asarray(form[1], "float64"), scale.shape)
    absorbed = layer.op.absorb({n: w.array for n, w in layer.weights.items()}, scale, shift)
    if absorbed is None:
        return None
    op, arrays = absorbed
    weights = {n: Weight(np.asarray(a, "float32"), f"{layer.layer_path}.{n}", changed=True) for n, a in arrays.items()}
    return replace(layer, op=op, outputs=affine.outputs, weights=weights)


def _axis(op: Op, x: TensorType) -> int:
    """The axis of the features that an op scales or makes: its `axis` where it has one, otherwise the channels."""
    return features_at(x, op.axis) if "axis" in op.__struct_fields__ else 0  # type: ignore[attr-defined]
