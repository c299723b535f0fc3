"""Drawings that README.md and the documentation show: `python -m website.images` writes them, `make docs` does."""

from __future__ import annotations

import re
from pathlib import Path

import netdsl

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"


def images() -> dict[Path, str]:
    """The SVG of each image, by its file: two nets of the zoo, and the net at the top of README.md."""
    (text, *_) = re.findall(r"^```net\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return {
        IMAGES / "resnet18.svg": netdsl.load("resnet", "ResNet18").view(),
        IMAGES / "unet.svg": netdsl.load("unet", depth=2).view(),
        IMAGES / "small.svg": netdsl.load(netdsl.Source(text, "small.net"), "Small").view(depth=2),
    }


if __name__ == "__main__":
    for path, svg in images().items():
        path.write_text(svg)
