"""The emitted module refuses inputs that it was not made for, with a sentence, and takes all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from paths import SPECS
from torch import nn

from netdsl.backends.torch.module import build
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Net, Spec
from netdsl.planning.resolution import refused
from netdsl.source import Source

torch.set_num_threads(1)


def net(body: str, before: str = "") -> Net:
    return Spec(Source(f"{before}\nnet A {{ {body} }}\n", "test.net"), read_import).net("A")


def module(body: str, before: str = "") -> nn.Module:
    return net(body, before).module(0).eval()


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(2, *shape)


def refuses(model: nn.Module, *given: torch.Tensor) -> str:
    with pytest.raises(ValueError, match=r"must be|needs") as found:
        model(*given)
    return str(found.value)


def test_a_weight_that_would_be_broadcast() -> None:
    model = module("input x [4, 8]; p = param((4, 8)); it + p".replace("; ", "\n "))
    assert model(zeros(4, 8)).shape == (2, 4, 8)
    assert refuses(model, zeros(1, 8)) == "x must be (4, 8), found (1, 8)"
    refuses(model, zeros(4, 1))
    refuses(model, zeros(8))


def test_rank_and_channels_of_a_net_of_any_size() -> None:
    model = module("input image [3, H, W]\n conv(4, 3) -> gap")
    assert model(zeros(3, 5, 7)).shape == (2, 4)
    assert refuses(model, zeros(5, 5, 7)) == "image must be (3, H, W), found (5, 5, 7)"
    assert refuses(model, zeros(3, 5)) == "image must be (3, H, W), found (3, 5)"
    refuses(module("input image [3, H, W]\n relu"), zeros(1, 5, 5))


def test_declared_sizes_on_which_nothing_depends_are_free() -> None:
    model = module("input image [3, 16, 16]\n conv(4, 3) -> bn -> relu -> maxpool(2) -> gap -> linear(2)")
    assert model(zeros(3, 9, 12)).shape == (2, 2)
    assert refuses(model, zeros(3, 1, 9)) == "A needs H >= 2 and W >= 2, found H=1, W=9"
    assert refuses(model, zeros(1, 9, 9)) == "image must be (3, H, W), found (1, 9, 9)"


def test_constraints_hold_for_declared_sizes_too() -> None:
    body = "input image [2, 16, 16]\n a = it\n maxpool(2) -> maxpool(2) -> upsample(4) -> it + a"
    model = module(body)
    assert model(zeros(2, 8, 12)).shape == (2, 2, 8, 12)
    assert "needs H % 4 == 0" in refuses(model, zeros(2, 10, 8))


@pytest.mark.parametrize(
    "body",
    [
        "input image [2, 8, 8]\n flatten -> linear(3)",
        "input image [2, 8, 8]\n reshape((4, 32))",
        "input image [2, 8, 8]\n upsample(size=(8, 8))\n it + image",
        "input image [2, 8, 8]\n conv(4, 3) -> windows(4) -> linear(4)\n p = param((4, 16, 4))\n it + p",
    ],
)
def test_sizes_on_which_code_or_weights_depend_are_held(body: str) -> None:
    model = module(body)
    model(zeros(2, 8, 8))
    refuses(model, zeros(2, 1, 8))
    refuses(model, zeros(2, 8, 1))
    refuses(model, zeros(2, 1, 1))


def test_a_square_image_stays_square() -> None:
    model = module("input image [2, 8, 8]\n it + (image -> permute((0, 2, 1)))")
    assert model(zeros(2, 5, 5)).shape == (2, 2, 5, 5)
    assert refuses(model, zeros(2, 1, 8)) == "A needs H == W, found H=1, W=8"


def test_one_axis_may_be_free_and_the_other_not() -> None:
    model = module("input image [2, 8, 6]\n permute((1, 0, 2)) -> conv(3, 1) -> permute((1, 0, 2))")
    assert model(zeros(2, 8, 11)).shape == (2, 2, 3, 11)
    assert refuses(model, zeros(2, 7, 6)).startswith("image must be (2, 8, W), found (2, 7, 6)")


def test_inputs_must_fit_each_other() -> None:
    model = module("input a [2, 8, 8]\n input b [2, 8, 8]\n a + b")
    refuses(model, zeros(2, 8, 8), zeros(2, 1, 8))
    named = module("input a [2, N, 4]\n input b [N, 4]\n c = a -> reduce_sum(axis=0)\n c + b")
    named(zeros(2, 5, 4), zeros(5, 4))
    assert refuses(named, zeros(2, 5, 4), zeros(1, 4)) == "b must be (N, 4), found (1, 4)"
    square = module("input a [N, 2 * N]\n relu")
    square(zeros(3, 6))
    refuses(square, zeros(3, 5))


def test_a_vector_keeps_its_length_and_tokens_may_be_fewer() -> None:
    refuses(module("input x [4]\n relu"), zeros(1))
    before = "block Table: [N] -> [_, _] { p = param((16, 4), init=normal)\n embed(9, 4) -> it + p }"
    model = module("input tokens [16] int64\n Table", before)
    model(torch.zeros(2, 16, dtype=torch.int64))
    assert "must be (16,)" in refuses(model, torch.zeros(2, 1, dtype=torch.int64))
    free = module("input tokens [16] int64\n embed(9, 4) -> linear(2)")
    assert free(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 2)


def test_a_loop_over_layers_is_guarded_too() -> None:
    model = module("input x [6]\n for i in range(8) { linear(6) -> relu }")
    assert refuses(model, zeros(1)) == "x must be (6,), found (1,)"


@pytest.mark.parametrize(
    ("file", "name", "free"),
    [
        ("resnet.net", "ResNet50", True),
        ("efficientnet.net", "EfficientNet_B0", True),
        ("vit.net", "ViT_B16", False),
        ("mixer.net", "Mixer_S16", False),
        ("vgg.net", "VGG11", False),
    ],
)
def test_a_guard_is_what_training_at_another_resolution_is_checked_by(file: str, name: str, free: bool) -> None:
    """A ResNet-50 declared for 224 x 224 takes 176 x 176: recipes train so."""
    found = Spec(load_source(SPECS / file), read_import).net(name)
    assert (refused(found, 192) is None) == free
    with torch.device("meta"):
        model: Any = build(found.source(), found.class_name)
        image = torch.zeros(2, 3, 192, 192)
    if free:
        assert model(image).shape[0] == 2
    else:
        refuses(model, image)


@pytest.mark.parametrize(
    ("required", "guard"),
    [
        ("L <= 9", "if L > 9:"),
        ("L >= 3 and L <= 9", "if not 3 <= L <= 9:"),
        ("L in (5,)", "if L != 5:"),
    ],
)
def test_a_range_is_asked_for_by_its_ends(required: str, guard: str) -> None:
    text = f"net N {{\n  input x [2, L]\n  require {required}\n  relu\n}}\n"
    assert guard in Spec(Source(text, "n.net"), read_import).net("N").source()
