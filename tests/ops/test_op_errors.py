"""What ops refuse: the code, the argument or operand to blame, and what would fix it."""

from __future__ import annotations

import re

import msgspec
import pytest
from op_harness import read_op, read_type

from netdsl.loader import read_import
from netdsl.ops import REGISTRY
from netdsl.ops.base import OpError
from netdsl.pipeline import Spec
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import symbol
from netdsl.source import Source
from netdsl.tensors import TensorType

REFUSED = [
    ("conv(8, 4)", "[3, 8, 8]", "even-kernel", "kernel_size", "patchify"),
    ("conv(8, 3, groups=2)", "[3, 8, 8]", "indivisible", "groups", "groups=1"),
    ("conv(8, 9, padding=0)", "[3, 8, 8]", "kernel-too-large", "kernel_size", None),
    ("conv(8, 3)", "[7]", "shape-mismatch", 0, None),
    ("conv(8, 3, eps=1e-3)", "[3, 8, 8]", "argument-conflict", "eps", None),
    ("conv(8, 3, weight_standardization=true)", "[3, 8]", "argument-conflict", "weight_standardization", None),
    ("conv(8, (3, 3, 3))", "[3, 8, 8]", "argument-value", "kernel_size", None),
    ("groupnorm(3)", "[8, 4, 4]", "indivisible", "num_groups", r"groupnorm\(2\)"),
    ("window_bias(2, (2, 4), shift=(1, 4))", "[4, 6, 8]", "argument-value", "shift", None),
    ("window_bias(2, (2, 4))", "[4, 6, 6]", "indivisible", "size", None),
    ("blurpool((3, 3, 3))", "[3, 8, 8]", "argument-value", "kernel_size", None),
    ("blurpool((3, 9))", "[3, 8, 4]", "kernel-too-large", "kernel_size", None),
    ("maxpool(2, padding=2)", "[3, 8, 8]", "argument-value", "padding", None),
    ("maxpool(3)", "[3, 2, 8]", "kernel-too-large", "kernel_size", None),
    ("lrn(4)", "[8, 4, 4]", "argument-value", "size", None),
    ("prelu(3)", "[8, 4, 4]", "shape-mismatch", "num_parameters", None),
    ("chunk(3)", "[8, 4, 4]", "indivisible", "chunks", None),
    ("split((3, 4))", "[8, 4, 4]", "shape-mismatch", "sizes", None),
    ("take(8)", "[8, 4, 4]", "shape-mismatch", "index", None),
    ("take(-9)", "[8, 4, 4]", "shape-mismatch", "index", None),
    ("narrow(6, 3)", "[8, 4, 4]", "shape-mismatch", "length", None),
    ("narrow(-2, 3)", "[8, 4, 4]", "shape-mismatch", "length", None),
    ("narrow(-9, 3)", "[8, 4, 4]", "shape-mismatch", "start", None),
    ("flatten(start=3)", "[8, 4, 4]", "bad-axis", "start", None),
    ("reshape((3, -1))", "[8, 4, 4]", "shape-mismatch", "shape", None),
    ("reshape((-1, -1))", "[8, 4, 4]", "argument-value", "shape", None),
    ("reshape((2.5, -1))", "[8, 4, 4]", "argument-value", "shape", None),
    ("permute((0, 1))", "[8, 4, 4]", "bad-axis", "axes", None),
    ("squeeze(axis=0)", "[8, 4, 4]", "shape-mismatch", "axis", None),
    ("expand((8, 4, 5))", "[8, 4, 4]", "shape-mismatch", "shape", None),
    ("expand((8, 4))", "[4]", "shape-mismatch", "shape", "unsqueeze"),
    ("pad(((-9, 0), (0, 0)))", "[8, 4, 4]", "shape-mismatch", "padding", None),
    ("pad(4, mode=reflect)", "[8, 4, 4]", "shape-mismatch", "padding", None),
    ("pad(-1, mode=replicate)", "[8, 4, 4]", "argument-conflict", "padding", None),
    ("crop(5)", "[8, 4, 4]", "shape-mismatch", "size", None),
    ("crop", "[8, 4, 4]", "missing-argument", None, None),
    ("upsample", "[8, 4, 4]", "missing-argument", None, None),
    ("upsample(2, align_corners=true)", "[8, 4, 4]", "argument-conflict", "align_corners", None),
    ("upsample(2, mode=bicubic)", "[8, 4]", "argument-value", "mode", None),
    ("pixel_shuffle(3)", "[8, 4, 4]", "indivisible", "upscale_factor", None),
    ("pixel_unshuffle(3)", "[8, 4, 4]", "indivisible", "downscale_factor", None),
    ("windows(3)", "[8, 4, 4]", "indivisible", "size", None),
    ("windows((2, 3))", "[8, 4, 4]", "indivisible", "size", None),
    ("windows((2, 2, 2))", "[8, 4, 4]", "argument-value", "size", None),
    ("windows((2, 4), shift=2)", "[8, 4, 4]", "argument-value", "shift", None),
    ("unwindows(4, 6, size=(2, 3))", "[4, 5, 8]", "shape-mismatch", 0, None),
    ("unwindows(4, 4)", "[4, 5, 8]", "shape-mismatch", 0, None),
    ("unwindows(7, 9, size=3)", "[6, 9, 4]", "indivisible", "height", None),
    ("unwindows(6, 10, size=3)", "[6, 9, 4]", "indivisible", "width", None),
    ("reduce_mean(axis=(0, 0))", "[8, 4, 4]", "bad-axis", "axis", None),
    ("reduce_mean(axis=3)", "[8, 4, 4]", "bad-axis", "axis", None),
    ("standardize(mean=(1, 2))", "[3, 4, 4]", "shape-mismatch", "mean", None),
    ("standardize(std=0)", "[3, 4, 4]", "argument-value", "std", None),
    ("embed(5, 4)", "[6]", "dtype-mismatch", 0, "int64"),
    ("relu", "[6] int64", "dtype-mismatch", 0, "embed"),
    ("lstm(5)", "[6]", "shape-mismatch", 0, "one_hot"),
    ("lstm(5, dropout=0.1)", "[6, 3]", "argument-conflict", "dropout", "dropout"),
    ("attention(3)", "[6, 8]", "indivisible", "heads", r"heads=(2|4)"),
    ("constant(((1, 2), (3,)))", "", "argument-value", "value", None),
    ("param((0, 3))", "", "argument-value", "shape", None),
    ("masked_fill(mask=y, value=0)", "[4] [4]", "dtype-mismatch", 1, "greater"),
    ("masked_fill(mask=y, value=0)", "[4] [5] bool", "shape-mismatch", 1, "unsqueeze"),
    ("gather(index=y)", "[4, 3] [2, 5] int64", "shape-mismatch", 1, "take"),
    ("matmul(x, y)", "[3, 4] [5, 6]", "shape-mismatch", 1, None),
    ("matmul(x, y)", "[3, 4] [4]", "shape-mismatch", 1, None),
    ("concat(x, y)", "[4, 8, 8] [4, 4, 4]", "shape-mismatch", 1, r"upsample\(2\)"),
    ("concat(x, y)", "[4, 64, 64] [4, 56, 64]", "shape-mismatch", 1, r"crop\(\(56, 64\)\)"),
    ("add(x, y)", "[64, 56, 56] [128, 28, 28]", "shape-mismatch", 1, r"residual\(shortcut=conv\(128, 1, stride=2\)\)"),
    ("add(x, y)", "[64, 56, 56] [128, 56, 56]", "shape-mismatch", 1, r"residual\(shortcut=conv\(128, 1\)\)"),
    ("add(x, y)", "[64, 28, 28] [64, 56, 56]", "shape-mismatch", 1, r"`conv\(64, 1, stride=2\)` on the right"),
    ("add(x, y)", "[64, 56, 56] [64, 54, 54]", "shape-mismatch", 1, "padding"),
    ("add(x, y)", "[10, 64] [10, 32]", "shape-mismatch", 1, r"linear\(32\)"),
    ("add(x, y)", "[64, 8, 8] [1, 8, 8]", "shape-mismatch", 1, r"`expand\(\(64, 8, 8\)\)` on \[1, 8, 8\]"),
    ("sub(x, y)", "[10, 1] [10, 64]", "shape-mismatch", 1, r"`expand\(\(10, 64\)\)` on \[10, 1\]"),
    ("mul(x, y)", "[64, 8, 8] [16]", "shape-mismatch", 1, r"linear\(64\)"),
    ("mul(x, y)", "[64, 8, 8] [8, 8]", "shape-mismatch", 1, "expand"),
    ("add(x, y)", "[4] [4] int64", "dtype-mismatch", 1, "cast"),
    ("add(x, y)", "[4] bool [4] bool", "dtype-mismatch", 0, "cast"),
    ("div(x, y)", "[4] int64 [4] int64", "dtype-mismatch", 0, "cast"),
    ('scalar("+", 0.5)', "[4] int64", "dtype-mismatch", "value", "cast"),
    ('scalar("/", 2)', "[4] int64", "dtype-mismatch", 0, None),
    ("greater(0.5)", "[4] int64", "dtype-mismatch", "value", "cast"),
    ("upconv(6, 3, stride=2, padding=1, output_padding=2)", "[4, 8, 8]", "argument-value", "output_padding", None),
    ("upconv(6, 3, stride=(1, 2), output_padding=1)", "[4, 8, 8]", "argument-value", "output_padding", None),
    ("linear(3, axis=1)", "[4, 4, 4]", "bad-axis", "axis", None),
    ("layernorm(axis=1)", "[4, 4, 4]", "bad-axis", "axis", None),
    ("linear(3)", "[4, 2, 2, 2, 2]", "shape-mismatch", 0, "axis=-1"),
    ("reduce_mean", "[]", "shape-mismatch", 0, None),
    ("flatten(start=2, end=1)", "[4, 4, 4]", "argument-value", "start", None),
    ("clamp", "[4]", "missing-argument", None, None),
    ("hardtanh(1, 1)", "[4]", "argument-conflict", "max_val", None),
    ("narrow(0, -2)", "[4, 4]", "shape-mismatch", "length", None),
    ("take(())", "[4, 4]", "argument-value", "index", None),
    ("pad((1, 1), mode=reflect, axis=0)", "[4, 4, 4]", "argument-value", "mode", None),
    ("pad(1)", "[]", "shape-mismatch", 0, None),
    ("instancenorm", "[4, 1, 1]", "shape-mismatch", 0, None),
    ("avgpool(7, ceil_mode=true)", "[2, 8, 4, 4]", "kernel-too-large", "kernel_size", None),
    ("upsample(size=0)", "[4, 9, 9]", "shape-mismatch", "size", None),
    ("upsample(size=(4, -1))", "[4, 9, 9]", "shape-mismatch", "size", None),
    ("attention(2, mask=y)", "[5, 8] [5] int64", "dtype-mismatch", -1, "logical_not"),
    ("attention(2, mask=y)", "[5, 8] [2, 5] bool", "shape-mismatch", -1, "end of that of the scores"),
    ("sdpa(x, x, x, mask=y)", "[5, 8] [5, 8] [5, 8] [6]", "shape-mismatch", -1, "for each key"),
    ("sdpa(x, y, z)", "[8, 5, 4] [2, 6, 4] [2, 6, 4]", "shape-mismatch", 1, "enable_gqa=true"),
    ("sdpa(x, y, z, enable_gqa=true)", "[8, 5, 4] [3, 6, 4] [3, 6, 4]", "indivisible", "enable_gqa", None),
    ("sdpa(x, y, z, enable_gqa=true)", "[5, 4] [6, 4] [6, 4]", "indivisible", "enable_gqa", None),
    ("sub(x, y)", "[4, 1] [8]", "shape-mismatch", 1, "one feature is meant"),
    ("add(x, y)", "[4, 1] [1, 8]", "shape-mismatch", 1, "one feature is meant"),
    ("mul(x, y)", "[20, 16] [20]", "shape-mismatch", 1, "each position"),
    ("masked_fill(mask=y, value=0.5)", "[4] int64 [4] bool", "dtype-mismatch", "value", "cast"),
]


@pytest.mark.parametrize(
    ("text", "inputs", "code", "blame", "hint"), REFUSED, ids=[f"{r[0]} on {r[1]}" for r in REFUSED]
)
def test_refused(text: str, inputs: str, code: str, blame: str | int | None, hint: str | None) -> None:
    op = read_op(text.partition("(")[0], text)
    types = [read_type("[" + t) for t in inputs.split("[")[1:]]
    with pytest.raises(OpError) as caught:
        op.resolve(*types).infer(Assumptions(), *types)
    error = caught.value
    assert (error.code, error.argument if isinstance(blame, str) else error.operand) == (code, blame)
    if hint is not None:
        assert re.search(hint, error.hint or "")


def test_an_addition_shows_both_shapes() -> None:
    a, b = TensorType((64, 56, 56)), TensorType((128, 28, 28))
    with pytest.raises(OpError, match=r"found \[64, 56, 56\] and \[128, 28, 28\]"):
        REGISTRY["add"]().infer(Assumptions(), a, b)


def test_weights_need_numbers() -> None:
    height = symbol("H")
    image = TensorType((3, height, height))
    with pytest.raises(OpError, match="must be a number") as caught:
        REGISTRY["linear"](10).infer(Assumptions(), REGISTRY["flatten"]().infer(Assumptions(), image))
    assert caught.value.code == "symbolic-weight"
    assert "gap" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("conv", {"out_channels": 0, "kernel_size": 3}),
        ("conv", {"out_channels": 8}),
        ("conv", {"out_channels": 8, "kernel_size": 3, "stride": 0}),
        ("conv", {"out_channels": 8, "kernel_size": 3, "padding": "valid"}),
        ("conv", {"out_channels": 8, "kernel_size": 3.5}),
        ("dropout", {"p": 1.5}),
        ("bn", {"eps": -1}),
        ("gelu", {"approximate": "erf"}),
        ("upsample", {"scale_factor": 0}),
        ("param", {"shape": (3,), "init": "xavier"}),
        ("attention", {"heads": 0}),
        ("split", {"sizes": (0, 3)}),
    ],
)
def test_arguments_of_the_wrong_kind(kind: str, arguments: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(arguments, REGISTRY[kind])


@pytest.mark.parametrize(("kind", "macs"), [("lstm", 11_910_400), ("gru", 9_036_800), ("rnn", 3_289_600)])
def test_recurrent_macs(kind: str, macs: int) -> None:
    """The character models of the zoo, two layers of 128 over 65 characters and a linear layer, 50 steps long."""
    x = TensorType((50, 65))
    op = REGISTRY[kind](128, 2)
    y = op.infer(Assumptions(), x)
    head = REGISTRY["linear"](65)
    assert op.macs(y, x) + head.macs(head.infer(Assumptions(), y), y) == macs


def test_attention_macs() -> None:
    """A layer of ViT-B/16: the projections and both products, counted by hand."""
    x = TensorType((197, 768))
    assert REGISTRY["attention"](12).macs(x, x) == 197 * 768 * 768 * 4 + 2 * 197 * 197 * 768


def test_an_op_without_inputs_is_blamed_at_its_argument() -> None:
    """The weights of `param` cannot depend on the image, and there is no operand to point at."""
    text = "net N {\n  input x [3, H, W]\n  x -> gap\n  p = param((H, 3))\n  p -> reduce_mean(axis=0)\n}\n"
    (found,) = Spec(Source(text, "n.net"), read_import).diagnostics
    assert found.code == "symbolic-weight"


def test_a_norm_over_an_open_size_is_told_its_axis() -> None:
    text = "net N {\n  input x [H, W, 8]\n  layernorm\n}\n"
    (found,) = Spec(Source(text, "n.net"), read_import).diagnostics
    assert found.code == "symbolic-weight"
    assert "`axis=2`" in str(found.hint)


@pytest.mark.parametrize(
    "noise", ["noise(always=true)", "gaussian_noise(0.1, training=true)", "dropout(0.5, always=true)"]
)
def test_draws_at_inference_are_an_input(noise: str) -> None:
    """A net gives the same for the same input, in every runtime."""
    (found,) = Spec(Source(f"net N {{\n  input x [4]\n  {noise}\n}}\n", "n.net"), read_import).diagnostics
    assert found.code == "unknown-argument"
    assert "draws at inference are an input of the net" in str(found.hint)
