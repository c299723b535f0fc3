"""What `check` accepts at open sizes runs at every small size that its constraints allow, and at no other: interpreter,
emitted module and onnxruntime."""

from __future__ import annotations

from math import nextafter

import numpy as np
import pytest
import torch
from generated_open_sizes import open_net
from open_sizes import body, held, net_of
from PIL import Image
from torch.nn import functional

from netdsl.backends.onnx.session import Session


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_what_is_accepted_runs_at_every_size(first: int) -> None:
    accepted = 0
    for seed in range(first, first + 20):
        net = net_of(open_net(seed))
        if not net.diagnostics:
            accepted += 1
            try:
                held(net, seed)
            except Exception as error:
                raise AssertionError(f"seed {seed}:\n{open_net(seed)}{error}") from error
    assert accepted >= 4


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("narrow(-1, H - 1, axis=2)", "H == 2"),  # ends at the last position, which `[-1:0]` is not
        ("narrow(-2, H, axis=1)", "H == 2"),
        ("instancenorm", "H*W >= 2"),
        ("avgpool(3) -> instancenorm", "-"),
        ("pad(((0, 0), (-2, 2)))", "W >= 2"),
        ("upsample(0.5, mode=bilinear, antialias=true)", "W >= 4"),
        ("upsample(size=(H, 1), mode=bilinear, antialias=true)", "-"),
    ],
)
def test_sizes_at_which_pytorch_does_otherwise_are_excluded(text: str, constraint: str) -> None:
    net = body(text)
    said = [str(c) for c in net.checked.constraints]
    assert constraint in said or constraint == "-", said
    assert held(net, 0)


def test_what_later_sizes_imply_is_not_said() -> None:
    """`H*W >= 2` of the norm follows from the pool behind it."""
    assert [str(c) for c in body("instancenorm -> maxpool(3)").checked.constraints] == ["H >= 3", "W >= 3"]


@pytest.mark.parametrize("factor", [0.1, 0.3, 0.7, 0.29, 1.4, 2.33, 1 / 3, 7 / 3, 0.57, 1.13, 34 / 7])
def test_a_factor_means_what_is_written(factor: float) -> None:
    """Whole sizes stay whole: PyTorch cuts a double off, which 100 * 0.29 leaves below 29, onnxruntime a float."""
    net = body(f"upsample({factor!r}) -> reduce_max(axis=1)", "[1, H, 12]")
    module, session = net.module(0), Session(net.onnx({}).SerializeToString(), threads=1)
    for size in (10, 41, 45, 70, 90, 100, 107, 200, 300, 900):
        x = torch.randn(1, 1, size, 12)
        (node,) = [s for s in net.checked.main.steps if getattr(s.callee, "kind", "") == "upsample"]
        emitted = node.callee.scale_factor[0]  # type: ignore[union-attr]
        assert emitted in (factor, nextafter(factor, 9))
        wanted = functional.interpolate(x, scale_factor=emitted).shape[2]
        assert wanted == round(size * factor, 9) // 1
        assert torch.equal(module(x), torch.as_tensor(session(x.numpy())))


def test_antialias_is_pillows() -> None:
    """Also where the image becomes a row; a column, of which PyTorch repeats the first pixel, is refused."""
    pixels = np.random.default_rng(0).random((12, 9), dtype=np.float32)
    for height, width in ((5, 4), (1, 4), (12, 1), (3, 2)):
        net = body(f"upsample(size=({height}, {width}), mode=bilinear, antialias=true)", "[1, 12, 9]")
        found = net.module(0)(torch.from_numpy(pixels)[None, None])[0, 0].numpy()
        pillows = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(found, np.asarray(pillows), atol=1e-6)
    (refused,) = body("upsample(size=(3, 1), mode=bilinear, antialias=true)", "[1, 12, 9]").diagnostics
    assert "one column" in refused.message


VECTOR = "v = param((9,), init=normal) -> narrow(0, L)"
MATRIX = "m = param((3, 9), init=normal) -> narrow(0, L, axis=1)"


@pytest.mark.parametrize(
    "text",
    [
        f"{VECTOR}\n  x + (v -> unsqueeze(axis=0) -> expand((3, L)))",
        f'{VECTOR}\n  einsum("c l, l -> c l", x, v -> exp)',
        f"{VECTOR}\n  concat(x, v -> flip(axis=0) -> reshape((1, L)))",
        f"{MATRIX}\n  y = m -> permute((1, 0)) -> narrow(0, L)\n  x + (y -> permute((1, 0)))",
        "m = param((9, 9), init=normal) -> narrow(0, L) -> narrow(0, L, axis=1)\n  matmul(a=x, b=m)",
        f'{MATRIX}\n  einsum("c l, c m -> l m", x, m) -> gelu',
        "m = param((3, 9, 9), init=normal) -> narrow(0, L, axis=1) -> narrow(0, L, axis=2)\n"
        '  einsum("c l m, c m -> c l", m, x)',
        f"{MATRIX}\n  stack(x, m -> pad((1, 0)) -> narrow(0, L, axis=1))",
    ],
)
def test_what_no_input_feeds_has_open_sizes_too(text: str) -> None:
    """A parameter has a batch axis of size 1, or none where it is a vector: its sizes stand behind it."""
    assert held(body(text, "[3, L]"), 0, 4)
