"""An input whose shape is written with the channels last, with the batch, or without the channel of grey images."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.source import Place, Span
from netdsl.syntax import ast
from netdsl.syntax.words import words

COLOURS = (1, 3, 4)
"""Channels of grey images, of colour, and of colour with transparency."""
IMAGES = ("image", "images", "img", "picture", "photo", "pixels")
"""What images are called."""
OF_IMAGES = {"conv", "maxpool", "avgpool", "patchify", "upconv", "dwconv"}
"""Layers that look at an image along its sides."""
SMALLEST = 8
"""A side of images from which a size is no number of channels of a small net."""


def check(file: File) -> Iterator[Diagnostic]:
    for block, _ in file.blocks:
        for node in block.body.statements if isinstance(block.body, ast.Body) else ():
            if isinstance(node, ast.Input) and node.features is None and len(node.shape) in (2, 3, 4):
                sizes = [s.value if isinstance(s, ast.Number) else 0 for s in node.shape]
                text = file.module.source.text[block.at.start : block.at.end]
                if len(sizes) > 2 or OF_IMAGES & words(text):
                    yield from _misread(file, node, [int(s) for s in sizes])


def _misread(file: File, node: ast.Input, sizes: list[int]) -> Iterator[Diagnostic]:
    at = Place(file.module.source, Span(node.shape[0].at.start, node.shape[-1].at.end))
    is_image = sizes[-2] == sizes[-1] >= SMALLEST
    if len(sizes) == 2 and is_image and node.name.id in IMAGES:
        mended = f"1, {sizes[0]}, {sizes[1]}"
        message = f"sizes are channels first: this is a sequence of {sizes[0]} channels, {sizes[1]} long"
        yield warning("input-layout", message, at, Hint(f"[{mended}]", (Edit(at, mended),), safe=False))
    elif len(sizes) == 3 and sizes[2] in COLOURS and sizes[0] == sizes[1] >= SMALLEST:
        mended = f"{sizes[2]}, {sizes[0]}, {sizes[1]}"
        message = f"sizes are channels first: these are {sizes[0]} channels of {sizes[1]} x {sizes[2]} pixels"
        yield warning("input-layout", message, at, Hint(f"[{mended}]", (Edit(at, mended),), safe=False))
    elif len(sizes) == 4 and sizes[1] in COLOURS and is_image:
        mended = ", ".join(map(str, sizes[1:]))
        message = f"the batch is not written: this is a volume of {sizes[0]} channels and a depth of {sizes[1]}"
        yield warning("input-layout", message, at, Hint(f"[{mended}]", (Edit(at, mended),), safe=False))
