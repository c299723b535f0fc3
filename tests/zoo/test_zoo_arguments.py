"""Nets of the zoo with other arguments than their variants have: other inputs, classes and image sizes."""

from __future__ import annotations

from typing import Any

import pytest
from zoo_tables import spec, table

from netdsl.analysis import count

UNETS = [
    ("UNet2015", {"classes": 1}, 572, "unet_2015_1class"),
    ("UNet2015", {"channels": 3}, 572, "unet_2015_3ch_2class"),
    ("UNet", {"classes": 1}, 512, "unet_milesial_1_1"),
    ("UNet", {"channels": 3, "classes": 1}, 512, "unet_milesial_3_1"),
    ("UNetBilinear", {"channels": 1, "classes": 1}, 512, "unet_milesial_bilinear_1_1"),
]


@pytest.mark.parametrize(("name", "arguments", "size", "reference"), UNETS)
def test_u_nets(name: str, arguments: dict[str, Any], size: int, reference: str) -> None:
    program = spec("unet").net(name, arguments, {"H": size, "W": size}).program
    assert program is not None
    totals, facts = count.totals(program.main), table("oracle")[reference]
    assert (totals.params, totals.macs) == (facts["params"], facts["macs"])
    assert [1, *program.main.outputs[0].value.type.shape] == facts["output"]


@pytest.mark.parametrize(
    ("name", "macs"), [("NFResNet50", 4_089_184_256), ("NFNet_F0", 9_487_486_976), ("DMNFNet_F0", 9_487_486_976)]
)
def test_normalizer_free_nets_at_224(name: str, macs: int) -> None:
    """timm 1.0.31 at 224 x 224."""
    program = spec("nfnet").net(name, {"size": 224}).program
    assert program is not None
    assert count.totals(program.main).macs == macs


@pytest.mark.parametrize(
    "name", ["convnext:ConvNeXt_T", "swin:Swin_T", "vit:ViT_B16", "nfnet:NFNet_F0", "bit:BiT_50x1"]
)
def test_other_classes_change_the_head_alone(name: str) -> None:
    file, _, net = name.partition(":")
    programs = [spec(file).net(net, {"classes": n}).program for n in (1000, 10)]
    many, few = (count.parameters(p.main) for p in programs if p is not None)
    assert [p.path for p in many] == [p.path for p in few]
    changed = [p for p, q in zip(many, few, strict=True) if p.shape != q.shape]
    assert [p.shape[0] for p in changed] == [1000, 1000]
    assert changed[0].path.startswith("head.")


@pytest.mark.parametrize("size", [64, 256, 384])
def test_swin_refuses_images_that_its_windows_do_not_tile(size: int) -> None:
    assert spec("swin").net("Swin_T", {"size": size}).program is None


def test_vit_refuses_images_that_its_patches_do_not_tile() -> None:
    found = spec("vit").net("ViT_B16", {"size": 225})
    assert [(d.code, d.message) for d in found.diagnostics] == [("requirement", "patches tile the image")]
