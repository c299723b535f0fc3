"""Whole nets of the zoo against plain torch with other libraries' names: mapped weights, equal outputs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import detection_twins
import generative_twins
import image_twins
import pytest
import text_twins
import torch
import window_twins
from layouts import tensors
from torch import Tensor, nn
from weight_twins import GPT2LM, MaskedBert, randomised
from zoo_tables import spec

from netdsl.backends.torch.module import load_state
from netdsl.weights.load import Rules, load
from netdsl.weights.mapping import declared
from netdsl.weights.read import Foreign

torch.set_num_threads(1)


def image(*size: int) -> tuple[Tensor, ...]:
    return (torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(3)),)


def integers(below: int, *size: int) -> Tensor:
    return torch.randint(0, below, size, generator=torch.Generator().manual_seed(4))


class Case(NamedTuple):
    """A net of the zoo, perhaps with other arguments, and its twin. `layout`: the library's net of these weights."""

    net: str
    make: Callable[[], nn.Module]
    inputs: tuple[Tensor, ...]
    arguments: dict[str, Any] = {}
    layout: str = ""


def segmenter(deeplab: bool, aux: bool) -> Callable[[], nn.Module]:
    return lambda: image_twins.TorchvisionSegmenter(deeplab, aux)


def floats(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(5))


SMALL_CLIP = {"dim": 64, "depth": 2, "patch": 8, "size": 24, "text_dim": 128, "text_depth": 2, "out": 48}
SMALL_CLIP |= {"words": 50, "context": 12}
SMALL_PAIR = {"words": 50, "width": 24, "depth": 2}
SMALL_TEXT = {"depth": 2, "dim": 24, "heads": 3, "vocabulary": 50, "context": 12}
READ = (integers(50, 3, 9), integers(2, 3, 9), torch.arange(9) < torch.tensor([[9], [6], [1]]))

QUICK = [
    Case("squeezenet:SqueezeNet", image_twins.SqueezeNet, image(65, 79), layout="torchvision/squeezenet1_0"),
    Case(
        "shufflenet_v2:ShuffleNetV2_x1",
        image_twins.ShuffleNetV2,
        image(64, 96),
        layout="torchvision/shufflenet_v2_x1_0",
    ),
    Case("regnet:RegNetY_400MF", image_twins.RegNetY, image(64, 96), layout="torchvision/regnet_y_400mf"),
    Case("gpt2:GPT2", lambda: GPT2LM(50, 12, 24, 2, 3), (integers(50, 2, 9),), SMALL_TEXT),
    Case("bert:BERT", lambda: MaskedBert(50, 12, 24, 2, 3), READ, SMALL_TEXT),
    Case("vae:VAE", generative_twins.VAE, image(64, 64)),
    Case("wavenet:WaveNet", generative_twins.WaveNet, (integers(256, 2, 70),)),
    Case(
        "clip:CLIP",
        lambda: text_twins.CLIPModel(**SMALL_CLIP),
        (floats(2, 3, 24, 24), integers(50, 2, 9)),
        SMALL_CLIP,
    ),
    Case(
        "seq2seq:Seq2Seq",
        lambda: text_twins.Translator(50, 24, 2),
        (integers(50, 2, 7), integers(50, 2, 5)),
        SMALL_PAIR,
    ),
    Case("seq2seq:Reader", lambda: text_twins.Reader(50, 24, 2), (integers(50, 2, 7),), SMALL_PAIR),
    Case(
        "seq2seq:Writer",
        lambda: text_twins.Writer(50, 24, 2),
        (integers(50, 2, 5), floats(2, 7, 24), floats(2, 2, 24), floats(2, 2, 24)),
        SMALL_PAIR,
    ),
]
SLOW = [
    Case("hrnet:HRNet_W18_Small", image_twins.HRNet, image(64, 96), layout="timm/hrnet_w18_small"),
    Case("ddpm:DDPM", generative_twins.DDPM, (floats(2, 3, 32, 32), torch.tensor([3, 900]))),
    Case("unet3d:UNet3D", generative_twins.UNet3D, (floats(1, 3, 92, 100, 93),)),
    Case("swin_v2:SwinV2_T", window_twins.SwinV2, image(256, 256), layout="torchvision/swin_v2_t"),
    Case("maxvit:MaxViT_T", window_twins.MaxViT, image(224, 224), layout="torchvision/maxvit_t"),
    Case("fcn:FCN_ResNet50", segmenter(False, True), image(67, 97), layout="torchvision/fcn_resnet50"),
    Case("fcn:FCN_ResNet50_NoAux", segmenter(False, False), image(67, 97), layout="torchvision/fcn_resnet50:noaux"),
    Case(
        "deeplab_v3:DeepLabV3_ResNet50",
        segmenter(True, True),
        image(67, 97),
        layout="torchvision/deeplabv3_resnet50",
    ),
    Case(
        "deeplab_v3:DeepLabV3_ResNet50_NoAux",
        segmenter(True, False),
        image(67, 97),
        layout="torchvision/deeplabv3_resnet50:noaux",
    ),
    Case("detr:DETR_ResNet50", detection_twins.DETR, image(70, 130)),
    Case("fpn:FPN_ResNet50", detection_twins.FPN, image(67, 97)),
    Case("pspnet:PSPNet_ResNet50", image_twins.PSPNet, image(67, 97)),
]
CASES = [pytest.param(c, id=c.net) for c in QUICK]
CASES += [pytest.param(c, id=c.net, marks=pytest.mark.slow) for c in SLOW]


def mapped(case: Case, twin: nn.Module) -> nn.Module:
    """The zoo's net with the weights of a twin, matched as those of a file are: in any order, behind a prefix."""
    file, _, name = case.net.partition(":")
    net = spec(file).net(name, case.arguments)
    state = list(twin.state_dict().items())
    foreign = Foreign("twin", {f"model.{k}": v.numpy() for k, v in random.Random(name).sample(state, len(state))})
    rules = Rules(hints=tuple(declared(spec(file).constant("weights"))))
    module = net.module(seed=0).eval()
    load_state(module, load(net.checked, foreign, module.state_dict, rules).state)
    return module


@pytest.mark.parametrize("case", CASES)
def test_the_net_computes_what_its_twin_does(case: Case) -> None:
    twin = randomised(case.make())
    with torch.inference_mode():
        found, wanted = mapped(case, twin)(*case.inputs), twin(*case.inputs)
    for mine, theirs in zip(*(y if isinstance(y, tuple) else (y,) for y in (found, wanted)), strict=True):
        assert theirs.std() > 1e-3
        assert (mine - theirs).abs().max() <= 1e-5 * max(1.0, theirs.abs().max())


@pytest.mark.parametrize("case", [pytest.param(c, id=c.net) for c in QUICK + SLOW if c.layout])
def test_the_twin_has_the_librarys_weights(case: Case) -> None:
    with torch.device("meta"):
        twin = case.make()
    assert {(k, *v.shape) for k, v in twin.state_dict().items()} == {(s.key, *s.shape) for s in tensors(case.layout)}
