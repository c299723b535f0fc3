"""Drawings that README.md and the documentation show: `python -m website.images` writes them, `make docs` does."""

from __future__ import annotations

import re
from pathlib import Path

import netdsl

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"


def images() -> dict[Path, str]:
    """The SVG of each image, by its file: two nets of the zoo, and those at the top of README.md and of the site."""
    return {
        IMAGES / "resnet18.svg": netdsl.load("resnet", "ResNet18").view(),
        IMAGES / "unet.svg": netdsl.load("unet", depth=2).view(),
        IMAGES / "small.svg": _first_net(ROOT / "README.md").view(depth=2),
        IMAGES / "home.svg": _first_net(ROOT / "docs" / "index.md").view(depth=2),
    }


def _first_net(page: Path) -> netdsl.Net:
    """The net of the first spec of a page, for images of CIFAR's size."""
    (text, *_) = re.findall(r"^```net[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return netdsl.load(netdsl.Source(text, page.name), sizes={"H": 32, "W": 32})


if __name__ == "__main__":
    for path, svg in images().items():
        path.write_text(svg)
