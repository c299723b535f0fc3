"""Image classifiers and segmenters of the zoo in plain torch, with the names of torchvision and mmsegmentation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(i: int, o: int, k: int, stride: int = 1, groups: int = 1, act: bool = True, spread: int = 1) -> nn.Sequential:
    """A convolution and its batch norm, usually with a ReLU."""
    conv = nn.Conv2d(i, o, k, stride, spread * (k // 2), spread, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), *([nn.ReLU()] if act else []))


class Fire(nn.Module):
    def __init__(self, width: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class SqueezeNet(nn.Module):
    """torchvision's squeezenet1_0."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((96, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128), (256, 48, 192), (384, 48, 192),
                  (384, 64, 256), (512, 64, 256))  # fmt: skip
        layers: list[nn.Module] = [nn.Conv2d(3, 96, 7, stride=2), nn.ReLU()]
        for i, (width, squeeze, expand) in enumerate(widths):
            if i in (0, 3, 7):
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            layers.append(Fire(width, squeeze, expand))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).mean((2, 3))


class ShuffleUnit(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        half = o // 2
        if stride > 1:
            self.branch1 = nn.Sequential(*unit(i, i, 3, stride, i, act=False), *unit(i, half, 1))
        given = i if stride > 1 else half
        depthwise = unit(half, half, 3, stride, half, act=False)
        self.branch2 = nn.Sequential(*unit(given, half, 1), *depthwise, *unit(half, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = (self.branch1(x), x) if hasattr(self, "branch1") else x.chunk(2, 1)
        return torch.stack([kept, self.branch2(changed)], 2).flatten(1, 2)


class ShuffleNetV2(nn.Module):
    """torchvision's shufflenet_v2_x1_0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = unit(3, 24, 3, 2)
        width = 24
        for name, depth, c in zip(("stage2", "stage3", "stage4"), (4, 8, 4), (116, 232, 464), strict=True):
            units = [ShuffleUnit(width if i == 0 else c, c, 2 if i == 0 else 1) for i in range(depth)]
            setattr(self, name, nn.Sequential(*units))
            width = c
        self.conv5 = unit(464, 1024, 1)
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        return self.fc(self.conv5(self.stage4(self.stage3(self.stage2(x)))).mean((2, 3)))


class Gate(nn.Module):
    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class RegNetBlock(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.proj = unit(i, o, 1, stride, act=False) if stride > 1 else None
        layers = {
            "a": unit(i, o, 1), "b": unit(o, o, 3, stride, o // 8), "se": Gate(o, round(i / 4)),
            "c": unit(o, o, 1, act=False),
        }  # fmt: skip
        self.f = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        return ((x if self.proj is None else self.proj(x)) + self.f(x)).relu()


class RegNetY(nn.Module):
    """torchvision's regnet_y_400mf."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 32, 3, 2)
        self.trunk_output = nn.Sequential()
        width = 32
        for s, (depth, c) in enumerate(((1, 48), (3, 104), (6, 208), (6, 440)), 1):
            blocks = {f"block{s}-{i}": RegNetBlock(c if i else width, c, 1 if i else 2) for i in range(depth)}
            self.trunk_output.add_module(f"block{s}", nn.Sequential(OrderedDict(blocks)))
            width = c
        self.fc = nn.Linear(440, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.trunk_output(self.stem(x)).mean((2, 3)))


class DilatedBottleneck(nn.Module):
    def __init__(self, i: int, c: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(i, c, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.conv3 = nn.Conv2d(c, 4 * c, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * c)
        self.downsample = unit(i, 4 * c, 1, stride, act=False) if i != 4 * c else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn3(self.conv3(self.bn2(self.conv2(y)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNetTrunk(nn.Module):
    """ResNet-50 without its head: what its four stages give. `dilated`: the last two keep the size."""

    def __init__(self, deep: bool = False, dilated: bool = False) -> None:
        super().__init__()
        if deep:
            self.stem = nn.Sequential(*unit(3, 32, 3, 2), *unit(32, 32, 3), *unit(32, 64, 3))
        else:
            self.conv1, self.bn1 = unit(3, 64, 7, 2, act=False)
        self.layer1 = self.layer(64, 64, 3, 1, (1, 1))
        self.layer2 = self.layer(256, 128, 4, 2, (1, 1))
        self.layer3 = self.layer(512, 256, 6, *((1, (1, 2)) if dilated else (2, (1, 1))))
        self.layer4 = self.layer(1024, 512, 3, *((1, (2, 4)) if dilated else (2, (1, 1))))

    @staticmethod
    def layer(i: int, c: int, depth: int, stride: int, dilations: tuple[int, int]) -> nn.Sequential:
        rest = [DilatedBottleneck(4 * c, c, 1, dilations[1]) for _ in range(depth - 1)]
        return nn.Sequential(DilatedBottleneck(i, c, stride, dilations[0]), *rest)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x) if hasattr(self, "stem") else self.bn1(self.conv1(x)).relu()
        maps = [self.layer1(F.max_pool2d(x, 3, 2, 1))]
        for stage in (self.layer2, self.layer3, self.layer4):
            maps.append(stage(maps[-1]))
        return maps


def resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *unit(2048, 256, 1))
        self.convs = nn.ModuleList(
            [unit(2048, 256, 1), *(unit(2048, 256, 3, spread=rate) for rate in (12, 24, 36)), pooled]
        )
        self.project = nn.Sequential(*unit(1280, 256, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([resize(conv(x), x) for conv in self.convs], 1))


def fcn_head(i: int, c: int) -> nn.Sequential:
    return nn.Sequential(*unit(i, c, 3), nn.Dropout(0.1), nn.Conv2d(c, 21, 1))


class TorchvisionSegmenter(nn.Module):
    """torchvision's fcn_resnet50 or deeplabv3_resnet50."""

    def __init__(self, deeplab: bool = False, aux: bool = True) -> None:
        super().__init__()
        self.backbone = ResNetTrunk(dilated=True)
        deep = nn.Sequential(ASPP(), *unit(256, 256, 3), nn.Conv2d(256, 21, 1))
        self.classifier = deep if deeplab else fcn_head(2048, 512)
        self.aux_classifier = fcn_head(1024, 256) if aux else None

    def forward(self, x: Tensor) -> Sequence[Tensor] | Tensor:
        *_, middle, last = self.backbone(x)
        out = resize(self.classifier(last), x)
        return out if self.aux_classifier is None else (out, resize(self.aux_classifier(middle), x))


class ConvModule(nn.Module):
    """mmsegmentation's convolution with its norm and activation."""

    def __init__(self, i: int, o: int, k: int) -> None:
        super().__init__()
        self.conv, self.bn = unit(i, o, k, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class MMHead(nn.Module):
    """mmsegmentation's PSPHead, or its FCNHead with one convolution."""

    def __init__(self, i: int, c: int, pyramid: bool) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(c, 19, 1)
        if pyramid:
            pools = [nn.Sequential(nn.AdaptiveAvgPool2d(n), ConvModule(i, c, 1)) for n in (1, 2, 3, 6)]
            self.psp_modules = nn.ModuleList(pools)
            self.bottleneck = ConvModule(i + 4 * c, c, 3)
        else:
            self.convs = nn.Sequential(ConvModule(i, c, 3))

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "convs"):
            return self.conv_seg(self.convs(x))
        pooled = [resize(pool(x), x) for pool in self.psp_modules]
        return self.conv_seg(self.bottleneck(torch.cat([x, *pooled], 1)))


class PSPNet(nn.Module):
    """mmsegmentation's pspnet_r50-d8 for the 19 classes of Cityscapes."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNetTrunk(deep=True, dilated=True)
        self.decode_head = MMHead(2048, 512, pyramid=True)
        self.auxiliary_head = MMHead(1024, 256, pyramid=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        *_, middle, last = self.backbone(x)
        return resize(self.decode_head(last), x), resize(self.auxiliary_head(middle), x)


class HRBasic(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = unit(c, c, 3, act=False)
        self.conv2, self.bn2 = unit(c, c, 3, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class HRExchange(nn.Module):
    """timm's HighResolutionModule: its branches, and what each gives to each."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(HRBasic(c), HRBasic(c)) for c in widths])
        rows = [[self.between(i, j, widths) for j in range(len(widths))] for i in range(len(widths))]
        self.fuse_layers = nn.ModuleList([nn.ModuleList(row) for row in rows])

    @staticmethod
    def between(i: int, j: int, widths: Sequence[int]) -> nn.Module:
        if i == j:
            return nn.Identity()
        if j > i:
            return nn.Sequential(*unit(widths[j], widths[i], 1, act=False), nn.Upsample(scale_factor=2 ** (j - i)))
        steps = [unit(widths[j], widths[j], 3, 2) for _ in range(i - j - 1)]
        return nn.Sequential(*steps, unit(widths[j], widths[i], 3, 2, act=False))

    def forward(self, xs: Sequence[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        return [sum(f(x) for f, x in zip(row, xs, strict=True)).relu() for row in self.fuse_layers]


class HRNet(nn.Module):
    """timm's hrnet_w18_small."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        self.conv1, self.bn1 = unit(3, 64, 3, 2, act=False)
        self.conv2, self.bn2 = unit(64, 64, 3, 2, act=False)
        self.layer1 = nn.Sequential(DilatedBottleneck(64, 32, 1, 1))
        self.transition1 = nn.ModuleList([unit(128, 16, 3), nn.Sequential(unit(128, 32, 3, 2))])
        self.stage2 = nn.Sequential(HRExchange(widths[:2]))
        self.transition2 = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Sequential(unit(32, 64, 3, 2))])
        self.stage3 = nn.Sequential(HRExchange(widths[:3]))
        self.transition3 = nn.ModuleList([*(nn.Identity() for _ in range(3)), nn.Sequential(unit(64, 128, 3, 2))])
        self.stage4 = nn.Sequential(HRExchange(widths))
        heads = [nn.Sequential(DilatedBottleneck(c, 32 * 2**i, 1, 1)) for i, c in enumerate(widths)]
        self.incre_modules = nn.ModuleList(heads)
        downs = [nn.Sequential(nn.Conv2d(c, 2 * c, 3, 2, 1), nn.BatchNorm2d(2 * c), nn.ReLU()) for c in (128, 256, 512)]
        self.downsamp_modules = nn.ModuleList(downs)
        self.final_layer = nn.Sequential(nn.Conv2d(1024, 2048, 1), nn.BatchNorm2d(2048), nn.ReLU())
        self.classifier = nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        x = self.layer1(x)
        xs = self.stage2[0]([t(x) for t in self.transition1])
        xs = self.stage3[0]([*xs, self.transition2[2](xs[-1])])
        xs = self.stage4[0]([*xs, self.transition3[3](xs[-1])])
        y = self.incre_modules[0](xs[0])
        for down, head, x in zip(self.downsamp_modules, self.incre_modules[1:], xs[1:], strict=True):
            y = head(x) + down(y)
        return self.classifier(self.final_layer(y).mean((2, 3)))
