"""Convolutions and their transposes; batch norm, which follows them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.model import FOLDED_MARK
from netdsl.lift.read import Node
from netdsl.lift.rules.windows import padded, pads, per_axis, same, shown
from netdsl.ops.base import Op
from netdsl.ops.conv import Conv, DepthwiseConv, UpConv
from netdsl.ops.normalization import BatchNorm


def _conv(builder: Builder, node: Node) -> None:
    x, weight, bias = builder.image(), builder.array(1), builder.array(2, "bias")
    kernel = tuple(weight.shape[2:])
    axes = len(kernel)
    stride, dilation = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    start, end = pads(builder, node, x, kernel, stride, dilation)
    if start != end:
        x, start = padded(builder, x, start, end), (0,) * axes
    padding: Any = "same" if same(kernel, start, dilation) else shown(start)
    groups, channels = node.get("group", 1), weight.shape[0]
    given = {"stride": shown(stride), "padding": padding, "dilation": shown(dilation), "bias": bias is not None}
    op: Op
    if groups == channels == x.type.shape[0] and groups > 1:
        op = DepthwiseConv(shown(kernel), **given)
    else:
        op = Conv(int(channels), shown(kernel), groups=groups, **given)
    builder.apply(op, x, weights=_weights(node, weight, bias))


RENAMED = re.compile(r"(\.folded$|^onnx::Conv_\d+$)")
"""What netdsl and torch call a weight into which they have folded a norm."""


def _weights(node: Node, weight: Any, bias: Any) -> dict[str, Any]:
    found = {"weight": weight} | ({} if bias is None else {"bias": bias})
    folded = RENAMED.search(node.inputs[1]) or node.inputs[2:3] == (f"{node.inputs[1]}_bias",)
    return found | ({FOLDED_MARK: node.inputs[1]} if folded else {})


def _transposed(builder: Builder, node: Node) -> None:
    x, weight, bias = builder.image(), builder.array(1), builder.array(2, "bias")
    kernel = tuple(weight.shape[2:])
    axes = len(kernel)
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "", "VALID") or node.get("output_shape"):
        raise builder.refused("its padding follows from the size of the image (`auto_pad`, `output_shape`)")
    stride, dilation = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    found = tuple(node.get("pads") or (0,) * (2 * axes))
    start, end = found[:axes], found[axes:]
    extra = per_axis(node, "output_padding", axes, 0)
    both = tuple(map(min, start, end))
    groups = node.get("group", 1)
    op = UpConv(
        int(weight.shape[1] * groups), shown(kernel), shown(stride), shown(both), shown(extra), groups,
        bias is not None, shown(dilation),
    )  # fmt: skip
    value = Laid(builder.call(op, x, weights=_weights(node, weight, bias))[0])
    if start != end:  # the rest of the larger side is cut off
        before, after = (tuple(b - p for b, p in zip(both, side, strict=True)) for side in (start, end))
        value = padded(builder, value, before, after)
    builder.give(value)


def _batch_norm(builder: Builder, node: Node) -> None:
    x = builder.image()
    if node.get("training_mode", 0) or len([o for o in node.outputs if o]) > 1:
        raise builder.refused("a batch norm that is training", "export the model in eval mode")
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {n: builder.array(i + 1, n) for i, n in enumerate(names)}
    arrays["num_batches_tracked"] = np.asarray(0, "int64")
    is_plain = np.all(arrays["weight"] == 1) and not np.any(arrays["bias"])
    affine = not (is_plain and all(_is_filler(builder, name) for name in node.inputs[1:3]))
    builder.apply(BatchNorm(rounded(node.get("epsilon", 1e-5)), affine=affine), x, weights=arrays)


FILLER = re.compile(r"(^const(ant)?s?[._]\d+$|^onnx::\w+_\d+$)")
"""What netdsl and torch call numbers that are no one's weights."""


def _is_filler(builder: Builder, name: str) -> bool:
    """Whether the ones of a norm are there only because the operator wants some: several norms have the same."""
    return name not in builder.file.arrays or builder.uses[name] > 1 or FILLER.search(name) is not None


def rounded(value: float) -> float:
    """The shortest number that is the same in float32: 9.999999747e-06 is 1e-05."""
    return float(str(np.float32(value)))


def _instance_norm(builder: Builder, node: Node) -> None:
    from netdsl.ops.normalization import InstanceNorm

    x = builder.image()
    arrays = {"weight": builder.array(1), "bias": builder.array(2, "bias")}
    builder.apply(InstanceNorm(rounded(node.get("epsilon", 1e-5)), affine=True), x, weights=arrays)


def _group_norm(builder: Builder, node: Node) -> None:
    from netdsl.ops.normalization import GroupNorm

    x, weight, bias = builder.image(), builder.array(1), builder.array(2, "bias")
    channels, groups = x.type.shape[0], node.get("num_groups")
    if weight.shape[0] == groups != channels:  # before opset 21: one for each group
        weight, bias = (np.repeat(a, builder.number(channels) // groups) for a in (weight, bias))
    builder.apply(GroupNorm(groups, rounded(node.get("epsilon", 1e-5))), x, weights={"weight": weight, "bias": bias})


def _lrn(builder: Builder, node: Node) -> None:
    from netdsl.ops.featurenorm import LocalResponseNorm

    numbers = (rounded(node.get(n, d)) for n, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    builder.apply(LocalResponseNorm(node.get("size"), *numbers), builder.image())


def _dropout(builder: Builder, node: Node) -> None:
    builder.give(builder.tensor())


CONVOLUTION: dict[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LRN": _lrn,
    "Dropout": _dropout,
    "Identity": _dropout,
}
