"""Where the features of a value are: a layer works along them wherever an op has moved them, or is refused.

What is true is measured: a value that tells its features apart, and is constant over all other axes, is put through
the op in torch, and the axis along which the result differs is that of the features.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from onnx_nets import module_of
from op_harness import uses
from torch import Tensor

from netdsl.ir.model import Program
from netdsl.ops import REGISTRY
from netdsl.ops.base import OpError
from netdsl.ops.layout import check_layout
from netdsl.pipeline import Spec
from netdsl.source import Source

REFUSED = {"feature-axis", "symbolic-weight"}

FEATURES = 6
SIZES = {"H": 4, "W": 8, "L": 8}

GIVERS = {
    "channels": ("input x [6, 4, 8]", "maxpool(1)", 0),
    "channels of any image": ("input x [6, H, W]", "maxpool(1)", 0),
    "channels of a row": ("input x [6, 8]", "maxpool(1)", 0),
    "a sequence": ("input x [8, 6]", "sdpa(it, it, it)", 1),
    "a sequence of any length": ("input x [L, 6]", "sdpa(it, it, it)", 1),
    "windows": ("input x [6, 4, 8]", "windows((2, 4))", 0),
}
"""Ops that say where the features are, and the axis of the input that holds them. None of them has weights."""

MOVES = (
    "identity", "relu", "flip(axis=0)", "roll(1, axes=(0,))", "cast(float32)", "drop_path(0.1)", "it * 2", "it + it",
    "narrow(0, 2, axis=1)", "take((0, 1), axis=1)", "take(0)", "take(0, axis=1)", "take(0, axis=-1)",
    "reduce_mean(axis=0)", "reduce_mean(axis=1)", "reduce_mean(axis=-1)", "reduce_mean(axis=1, keepdims=true)",
    "unsqueeze(axis=0)", "unsqueeze(axis=1)", "unsqueeze(axis=-1)", "unsqueeze(axis=1) -> squeeze(axis=1)",
    "flatten", "flatten(start=1)", "flatten(start=0, end=1)", "concat(it, it)", "concat(it, it, axis=1)",
    "stack(it, it)", "stack(it, it, axis=1)", "stack(it, it, axis=-1)", "chunk(2) -> stack(it, it)",
    "permute((1, 0))", "permute((1, 0, 2))", "permute((1, 2, 0))", "permute((2, 1, 0))", "permute((0, 2, 1))",
    "reshape((6, 2, 2, 8))", "reshape((2, 3, 4, 8))", "reshape((3, 2, 8))", "reshape((4, 2, 6))",
    "reshape((4, 2, 4, 6))", "reshape((24, 2, 4))", "reshape((2, 4, 24))",
    'rearrange("a b -> b a")', 'rearrange("a b -> a 1 b")', 'rearrange("a b c -> b c a")',
    'rearrange("a b c -> c b a")', 'rearrange("a (b d) c -> (a b) d c", d=2)', 'rearrange("(a b) c d -> b c d a", a=3)',
    'rearrange("a b c -> (a b) c")', 'reduce("a b c -> a c", mean)', 'reduce("a b c -> c a", mean)',
    'reduce("a (b d) c -> a b c", max, d=2)', 'einsum("a b c, c d -> a b d", it, param((6, 5), init=normal))',
    'einsum("a b c, a d -> d b c", it, param((6, 5), init=normal))', "avgpool(2)", "upsample(2)",
    "pad(1, mode=replicate)",
)  # fmt: skip

FREE = ("permute", "reshape", "flatten", "rearrange", 'reduce("a b c -> c a"', "einsum")
"""What lays numbers out anew: a matrix that it gives is what its author takes it for, and layers work along its last
axis."""

USERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "softmax": lambda x, dim: x.softmax(dim),
    "layernorm(elementwise_affine=false)": lambda x, dim: (
        (x - x.mean(dim, True)) / (x.var(dim, correction=0, keepdim=True) + 1e-5).sqrt()
    ),
    "l2_normalize": lambda x, dim: x / x.norm(dim=dim, keepdim=True).clamp(min=1e-12),
}


def compiled(*lines: str) -> Program | set[str]:
    """The program of a net, or the codes of what is wrong with it."""
    text = "\n".join(["net Net {", *(f"  {line}" for line in lines), "}", ""])
    found = Spec(Source(text), lambda name, importer: None).net("Net")
    return found.program or {d.code for d in found.diagnostics}


def shape_of(declared: str) -> list[int]:
    sizes = declared[declared.index("[") + 1 : -1].split(", ")
    return [SIZES.get(s) or int(s) for s in sizes]


def axes_that_differ(module: torch.nn.Module, shape: list[int], axis: int) -> set[int]:
    """The axes of a result, counted without the batch, along which it differs where the input does along one."""
    marks = torch.randn(shape[axis], generator=torch.Generator().manual_seed(1)).abs() + 0.5
    x = marks.reshape([-1 if i == axis else 1 for i in range(len(shape))]).expand(shape)[None]
    with torch.no_grad():
        y = module(x.contiguous())[0][0]
    return {i for i in range(y.ndim) if y.shape[i] > 1 and (y - y.narrow(i, 0, 1)).abs().max() > 1e-6}


QUICK = ("channels of any image", "a sequence", "windows")


@pytest.mark.parametrize("giver", [g if g in QUICK else pytest.param(g, marks=pytest.mark.slow) for g in GIVERS])
def test_layers_along_the_features_follow_them_or_are_refused(giver: str) -> None:
    declared, gives, axis = GIVERS[giver]
    shape, kept = shape_of(declared), 0
    for index, move in enumerate(MOVES):
        user, computes = list(USERS.items())[index % len(USERS)]
        found = compiled(
            declared, f"moved = {gives} -> ({move})", "output moved = moved", f"output y = moved -> {user}"
        )
        if not isinstance(found, Program):  # another rank, or the layer has no meaning: refused for itself
            alone = compiled(declared, f"{gives} -> ({move})")
            assert found <= REFUSED or not isinstance(alone, Program) or alone.main.outputs[0].value.type.rank < 2
            continue
        moved = found.main.outputs[0].value.type
        if moved.rank < 2 or not all(c.holds(SIZES) for c in found.constraints):
            continue
        module = module_of(found).eval()
        places = axes_that_differ(module, shape, axis)
        if moved.rank == 2 and (move.startswith(FREE) or not places):
            places = {1}
        with torch.no_grad():
            given, result = module(torch.randn([2, *shape], generator=torch.Generator().manual_seed(2)))
        assert len(places) == 1, (move, user, places)
        expected = computes(given, min(places) + 1)
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5, msg=f"{move} -> {user}")
        kept += 1
    assert kept >= 12


def test_every_layer_for_a_layout_refuses_the_other() -> None:
    """Examples of every op, with their features elsewhere than it takes them to be; then where they are."""
    for kind, op in REGISTRY.items():
        if op.layout not in ("channels", "sequence"):
            continue
        uses_of = [u for u in uses() if u.given.kind == kind and u.types[0].rank > 1]
        assert uses_of, kind
        for use in uses_of:
            last = use.types[0].rank - 1
            own, other = (0, last) if op.layout == "channels" else (last, 0)
            check_layout(use.given, use.types[0].with_features(own), *use.types[1:])
            with pytest.raises(OpError, match="features") as refused:
                check_layout(use.given, use.types[0].with_features(other), *use.types[1:])
            assert refused.value.code == "feature-axis"


def test_every_layer_with_weights_says_what_layout_it_takes() -> None:
    free = {"embed", "param", "standardize", "window_bias", "prelu"}
    """Of integers, of no value, of raw pixels, of no value; by its arguments."""
    for use in uses():
        if use.types and use.given.kind not in free and use.op.params(*use.types):
            assert use.given.layout != "any", use.text


REFUSALS = {
    "input x [16] int64\nembed(20, 6) -> conv(6, 3)": "`permute((1, 0))`",
    "input x [16] int64\nembed(20, 6) -> gap": "`reduce_mean(axis=0)`",
    "input x [16, 3]\nlinear(6) -> bn": "`permute((1, 0))`",
    "input x [16, 3]\nlinear(16) -> prelu(16)": "`permute((1, 0))`",
    "input x [6, 16]\nconv(6, 3) -> lstm(4)": "`permute((1, 0))`",
    "input x [6, 16]\nconv(6, 3) -> attention(2)": "`permute((1, 0))`",
    "input x [6, 8, 8]\nwindows(4) -> conv(8, 3)": "`permute((2, 0, 1))`",
    "input x [6, 8, 8]\nwindows(4) -> pad(1)": "`permute((2, 0, 1))`",
    "input x [16] int64\nembed(20, 6) -> unsqueeze(axis=0) -> layernorm": "`axis=-1`",
    "input x [16, 6]\nq = linear(6) -> reshape((2, 16, 3))\nmatmul(q, q -> permute((0, 2, 1))) -> softmax": "`axis=-1`",
}


@pytest.mark.parametrize("text", REFUSALS)
def test_what_is_silent_in_pytorch_is_told(text: str) -> None:
    lines = "\n".join(f"  {line}" for line in text.split("\n"))
    found = Spec(Source(f"net Net {{\n{lines}\n}}\n"), lambda name, importer: None).net("Net")
    (mistake,) = found.diagnostics
    assert mistake.code == "feature-axis"
    assert REFUSALS[text] in (mistake.hint or "")


@pytest.mark.parametrize("shared", ["linear(5)", "{ linear(5) -> relu }"])
def test_a_shared_layer_on_both_layouts_is_told_where_the_features_are(shared: str) -> None:
    moved = "output p = x -> linear(4) -> permute((1, 2, 0)) -> a"
    lines = ["input x [8, 4, 8]", f"share a = {shared}", moved, "output q = x -> a"]
    found = Spec(Source("net Net {\n" + "\n".join(lines) + "\n}\n"), lambda name, importer: None).net("Net")
    (mistake,) = found.diagnostics
    assert mistake.code == "shape-mismatch"
    assert "[4, 8, *4] with its features on axis 2" in mistake.message
    assert "[8, 4, 8] with its features on axis 0" in mistake.message
    assert "axis=" in (mistake.hint or "")


TURNED = (
    "input x [16, 16, 3]\npermute((2, 0, 1)) -> conv(4, 3) -> bn -> linear(2)",
    "input x [9, 7, 3]\npermute((2, 1, 0)) -> conv(4, 3)",
    "input x [6, 3, 8, 8]\npermute((1, 0, 2, 3)) -> conv(4, 3) -> gap",
    'input x [16, 16, 3]\nrearrange("h w c -> c h w") -> conv(4, 3)',
    'input x [6, 40]\nrearrange("c l -> c 1 l") -> conv(4, (1, 3))',
    "input x [6, 40]\nunsqueeze(axis=1) -> conv(4, (1, 3))",
    "input x [6, 40]\nreshape((6, 1, 40)) -> conv(4, (1, 3))",
    "input x [3, 8, 8]\n(conv(4, 3)) + (param((8, 8, 4)) -> permute((2, 0, 1))) -> bn",
    "input x [4, 12, 8]\npermute((1, 2, 0)) -> layernorm(axis=-1) -> attention(2)",
)
"""Inputs and parameters that are laid out otherwise, and brought to where the layer that reads them has features."""


def test_inputs_that_are_turned_are_what_their_reader_takes_them_for() -> None:
    for text in TURNED:
        assert isinstance(compiled(*text.split("\n")), Program), text
    for turn in ("permute((2, 0, 1))", 'rearrange("h w c -> c h w")'):
        assert compiled("input x [16, 16, 3]", f"{turn} -> layernorm") == {"feature-axis"}
