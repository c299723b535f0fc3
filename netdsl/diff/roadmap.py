"""The page `docs/roadmap.md`: from ResNet-50 to ConvNeXt-T as sixteen comparisons.

python -m netdsl.diff.roadmap specs docs/roadmap.md
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec import Struct

from netdsl.diff.nets import compare_nets
from netdsl.diff.text import net_text
from netdsl.ir.model import Program
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.render.numbers import grouped, scaled
from netdsl.render.table import markdown


class Change(Struct, frozen=True):
    """One step of the paper: the nets before and after it, its name, the published accuracy, and what it is for."""

    before: str
    after: str
    name: str
    top1: float
    why: str


CHANGES = (
    Change("resnet:ResNet50", "T_Baseline", "the recipe of its day", 78.82, """\
The net stays what it was in 2015; 300 epochs with AdamW, mixup, CutMix, RandAugment and stochastic depth take it
from 76.1 to 78.8. The spec here writes its stem as a block of its own, which moves six keys of the state dict."""),
    Change("T_Baseline", "T_StageRatio", "stage ratio", 79.36, """\
Swin puts most of its blocks into the third of four stages, at 1:1:3:1."""),
    Change("T_StageRatio", "T_Patchify", "patchify stem", 79.51, """\
A vision transformer cuts the image into patches that do not overlap: one convolution whose stride is its kernel,
instead of a large one and a pooling."""),
    Change("T_Patchify", "T_Depthwise", "depthwise convolution", 78.28, """\
Attention mixes positions within a channel, the MLP channels within a position. A depthwise convolution separates
the two in the same way, and is half the work."""),
    Change("T_Depthwise", "T_Width", "more width", 80.50, """\
What the depthwise convolutions saved is spent on channels: 96 of them, as in Swin-T."""),
    Change("T_Width", "T_Inverted", "inverted bottleneck", 80.64, """\
The MLP of a transformer is four times as wide inside as outside. The large shortcuts between stages become narrow,
which is where the work is saved."""),
    Change("T_Inverted", "T_MoveUp", "move up the depthwise convolution", 79.92, """\
Attention comes before the MLP, so the layer that mixes positions goes first. There it has a quarter of the
channels, and a larger kernel is cheap: that is what this step is for."""),
    Change("T_MoveUp", "T_Kernel5", "kernel 5", 80.35, """\
Swin's windows are 7x7. The accuracy rises to there and stays."""),
    Change("T_Kernel5", "T_Kernel7", "kernel 7", 80.57, "The best, and the one that is kept."),
    Change("T_Kernel7", "T_Kernel9", "kernel 9", 80.57, "No gain beyond 7."),
    Change("T_Kernel9", "T_Kernel11", "kernel 11", 80.47, "The receptive field grows, the accuracy does not."),
    Change("T_Kernel7", "T_GELU", "ReLU to GELU", 80.62, """\
From here on the details of a transformer block, from kernel 7. The same accuracy: it is changed for company."""),
    Change("T_GELU", "T_FewerActivations", "fewer activations", 81.27, """\
A transformer block has one activation, in its MLP. Not one parameter changes, and 0.7 points are gained."""),
    Change("T_FewerActivations", "T_FewerNorms", "fewer norms", 81.41, """\
One norm a block, as in a transformer (which even has two). The 1x1 convolutions are written as linear maps from
here on: the same numbers."""),
    Change("T_FewerNorms", "T_LayerNorm", "batch norm to layer norm", 81.47, """\
In the original ResNet layer norm costs accuracy; here it costs none, and the statistics of batches are gone. What
had no bias because a batch norm followed has one now."""),
    Change("T_LayerNorm", "T_Separate", "separate downsampling", 81.97, """\
Between the stages a norm and a 2x2 convolution of stride 2 instead of strided blocks, norms wherever the resolution
changes, and a scale of 1e-6 on each residual branch: ConvNeXt-T."""),
)  # fmt: skip
"""Table 10 of Liu et al. (2022), with the top-1 accuracy on ImageNet that it publishes."""


def page(folder: str) -> str:
    """The text of the page. `folder`: where the specs are."""
    specs: dict[str, Spec] = {}

    def net(name: str) -> Program:
        spec, _, name = name.rpartition(":")
        path = os.path.join(folder, f"{spec or 'roadmap'}.net")
        if path not in specs:
            specs[path] = Spec(load_source(path), read_import)
        return specs[path].net(name).checked

    diffs = [compare_nets(net(c.before), net(c.after), (short(c.before), short(c.after))) for c in CHANGES]
    rows = [
        (str(i + 1), c.name, grouped(d.after.cost.params), scaled(d.after.cost.macs), d.after.field, f"{c.top1:.2f}")
        for i, (c, d) in enumerate(zip(CHANGES, diffs, strict=True))
    ]
    parts = [INTRODUCTION, markdown(("", "step", "parameters", "MACs", "receptive field", "top-1"), rows, "><>>>>")]
    for i, (change, diff) in enumerate(zip(CHANGES, diffs, strict=True)):
        told = "\n".join(line.rstrip() for line in net_text(diff).split("\n"))
        before, after = (n if ":" in n else f"roadmap:{n}" for n in (change.before, change.after))
        parts.append(f"## {i + 1}. {change.name}\n\n{change.why}\n\n`netdsl diff {before} {after}`\n\n```\n{told}\n```")
    return "\n\n".join(parts) + "\n"


def short(name: str) -> str:
    """The name of a net without that of its spec."""
    return name.rpartition(":")[2]


INTRODUCTION = """\
# From ResNet-50 to ConvNeXt-T

Liu et al. (*A ConvNet for the 2020s*, 2022) walked from a ResNet-50 to a net that matches Swin, one change at a
time, each trained by the same recipe. The nets are in `specs/roadmap.net`, and what each change is, `netdsl diff`
says ([how to read it](diff.md)). Top-1 accuracies are those that the paper publishes; all else is computed here.
The page is made by `make docs`, and a test holds it to the specs."""


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(sys.argv[1]), "utf-8")
