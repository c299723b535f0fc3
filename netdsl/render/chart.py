"""Curves as a PNG, one panel under the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 260, 80, 24, 36, 48
LINE, GRID, INK = "#2563eb", "#e5e7eb", "#374151"
TICKS = 5


class Panel(Struct, frozen=True):
    """A curve of evenly spaced values, its axis below from 0 to `last` in `unit`; lines stand at the `borders`."""

    title: str
    values: tuple[float, ...]
    last: float
    unit: str
    borders: tuple[float, ...] = ()
    dots: bool = False


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write the panels to a PNG file."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH, HEIGHT * len(panels)), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for i, panel in enumerate(panels):
        _panel(pen, font, panel, HEIGHT * i)
    image.save(path, "PNG")


def _panel(pen: Any, font: Any, panel: Panel, top: int) -> None:
    floor, ceiling = top + HEIGHT - BOTTOM, top + TOP
    high = max(panel.values, default=0.0) or 1.0

    def across(share: float) -> float:
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        return floor - value / high * (floor - ceiling)

    pen.text((LEFT, top + 8), panel.title, fill=INK, font=font)
    for i in range(TICKS):
        share = i / (TICKS - 1)
        pen.line([(LEFT, up(share * high)), (WIDTH - RIGHT, up(share * high))], fill=GRID)
        pen.text((LEFT - 8, up(share * high)), f"{share * high:.3g}", fill=INK, font=font, anchor="rm")
        pen.text((across(share), floor + 8), f"{share * panel.last:,.4g}", fill=INK, font=font, anchor="mt")
    for border in panel.borders:
        pen.line([(across(border / panel.last), ceiling), (across(border / panel.last), floor)], fill="#9ca3af")
    pen.text((across(0.5), floor + 26), panel.unit, fill=INK, font=font, anchor="mt")
    points = [(across(i / max(1, len(panel.values) - 1)), up(v)) for i, v in enumerate(panel.values)]
    if panel.dots:
        for x, y in points:
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=LINE)
    else:
        pen.line(points, fill=LINE, width=2)
