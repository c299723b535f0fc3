"""Convolutions of small images in faster forms: torch's own layers are the reference, in both passes."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from training_harness import loop_of, samples

from netdsl.training.kernels.cpu_convolutions import (
    Depthwise,
    Pointwise,
    is_exact,
    use_fast_convolutions,
    uses_channels_last,
)


def twins(layer: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A channels-last layer, and the same one quickened."""
    plain = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    quick = copy.deepcopy(plain)
    use_fast_convolutions(quick)
    return plain, quick


def both_passes(layer: nn.Conv2d, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of every trained parameter."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    towards = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    trained = [p for p in layer.parameters() if p.requires_grad]
    return [y, *torch.autograd.grad(y, (x, *trained), towards.to(memory_format=torch.channels_last))]


def image(*shape: int) -> Tensor:
    made = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return made.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [7, 9])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (8, 4), (5, 16), (11, 17)])
@pytest.mark.parametrize("bias", [True, False])
def test_depthwise_gradients_are_torchs(kernel: int, size: tuple[int, int], bias: bool) -> None:
    plain, quick = twins(nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6, bias=bias).double())
    assert type(quick) is Depthwise
    for wanted, found in zip(*(both_passes(m, image(3, 6, *size)) for m in (plain, quick)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 4, 64])
@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_gradients_are_torchs(size: int, bias: bool) -> None:
    plain, quick = twins(nn.Conv2d(5, 7, 1, bias=bias).double())
    assert type(quick) is Pointwise
    for wanted, found in zip(*(both_passes(m, image(2, 5, size, size)) for m in (plain, quick)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        if found.ndim == 4 and size > 1:
            assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_frozen_weight_gets_no_gradient() -> None:
    plain, quick = twins(nn.Conv2d(6, 6, 7, padding=3, groups=6).double())
    for layer in (plain, quick):
        layer.weight.requires_grad_(False)
    for wanted, found in zip(*(both_passes(m, image(3, 6, 4, 4)) for m in (plain, quick)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 5, padding=2, groups=4),
        nn.Conv2d(4, 4, 7, padding=3, groups=4, stride=2),
        nn.Conv2d(4, 4, 7, padding=6, groups=4, dilation=2),
        nn.Conv2d(4, 4, 7, padding=3, groups=4, padding_mode="reflect"),
        nn.Conv2d(4, 4, 7, padding=0, groups=4),
        nn.Conv2d(4, 8, 7, padding=3, groups=4),
        nn.Conv2d(4, 4, (7, 9), padding=(3, 4), groups=4),
        nn.Conv2d(4, 4, 7, padding=3, groups=2),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 1, groups=2),
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(layer: nn.Conv2d) -> None:
    use_fast_convolutions(layer)
    assert type(layer) is nn.Conv2d


@pytest.mark.skipif(not is_exact(torch.device("cpu")), reason="no AVX-512: channels-last is wrong in torch")
def test_training_is_the_same_to_rounding() -> None:
    """Ten steps with and without the faster forms, held against each other; the keys stay."""

    def net() -> nn.Module:
        torch.manual_seed(4)
        middle = (nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.Conv2d(8, 16, 1), nn.GELU(), nn.Conv2d(16, 8, 1))
        return nn.Sequential(nn.Conv2d(1, 8, 2, stride=2), *middle, nn.Flatten(), nn.Linear(128, 3))

    fields = "epochs=2\nbatch=10\nschedule=constant\noptimizer=sgd(lr=0.05)\nlayout={}"
    split = samples(50)
    quick, plain = (loop_of(fields.format(word), module=net(), split=split) for word in ("auto", "nchw"))
    assert {type(m) for m in quick.module.modules()} >= {Depthwise, Pointwise}
    assert not {type(m) for m in plain.module.modules()} & {Depthwise, Pointwise}
    quick.run(), plain.run()
    found, wanted = quick.module.state_dict(), plain.module.state_dict()
    assert found.keys() == wanted.keys()
    assert not torch.equal(wanted["1.weight"], net().state_dict()["1.weight"])
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)


def stack(*widths: int, kernel: int = 3, groups: int = 1) -> nn.Module:
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*[nn.Conv2d(a, b, kernel, groups=groups, bias=False) for a, b in pairs])


def test_where_images_are_channels_last() -> None:
    """On a CPU: but for nets that are mostly large kernels, unless they are depthwise somewhere, or a recipe says."""
    small, large = stack(3, 64, 64), stack(64, 512, 512)
    depthwise = nn.Sequential(large, stack(8, 8, groups=8))
    assert uses_channels_last("auto", small)
    assert not uses_channels_last("nchw", small)
    assert not uses_channels_last("auto", large)
    assert uses_channels_last("channels_last", large)
    assert uses_channels_last("auto", depthwise)
    assert uses_channels_last("auto", stack(1024, 2048, kernel=1))
    assert not uses_channels_last("auto", nn.Linear(3, 4))
