"""Batch norm that an exporter has folded into the convolution before it.

netdsl and torch rename such weights (`conv.weight.folded`, `onnx::Conv_123`). The norm is written again, with the bias
as its shift and statistics that change nothing, so that the net can be trained as it was.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.model import FOLDED_MARK, Call
from netdsl.ops.normalization import BatchNorm

EPS = 1e-5


def _split(net: Net, call: Call) -> list[Call] | None:
    pooled = all(s == 1 for s in call.inputs[0].type.spatial)  # a gate: its weights are only reshaped
    if pooled or not call.op.bias or not call.weights.get(FOLDED_MARK):  # type: ignore[attr-defined]
        return None
    weights = {"weight": call.weights["weight"]}
    conv = net.call(replace(call.op, bias=False), *call.inputs, weights=weights, like=call)
    bias = np.asarray(call.weights["bias"])
    ones, zeros = np.ones_like(bias), np.zeros_like(bias)
    statistics = {"running_mean": zeros, "running_var": ones - np.float32(EPS), "num_batches_tracked": np.asarray(0)}
    norm = net.call(BatchNorm(EPS), conv.outputs[0], weights={"weight": ones, "bias": bias, **statistics}, like=call)
    return [conv, norm]


FOLDED: dict[str, tuple[Rule, ...]] = {"conv": (_split,), "dwconv": (_split,), "upconv": (_split,)}
