"""Small pictures in text: curves as SVG, tensors as PNG data."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape

from torch import Tensor

Series = Sequence[tuple[float, float]]
COLOURS = ("#2563eb", "#dc2626", "#059669", "#9333ea")


def curves(title: str, series: Mapping[str, Series], width: int = 440, height: int = 220) -> str:
    """A chart as SVG text, one line for each series."""
    points = [p for line in series.values() for p in line if all(map(math.isfinite, p))]
    if not points:
        return ""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)

    def place(x: float, y: float) -> str:
        across = 52 + (x - left) / max(1e-12, right - left) * (width - 64)
        up = height - 28 - (y - low) / max(1e-12, high - low) * (height - 60)
        return f"{across:.1f},{up:.1f}"

    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">']
    parts.append(f'<text x="8" y="16" class="title">{escape(title)}</text>')
    for value, y in ((high, 36), (low, height - 28)):
        parts.append(f'<text x="46" y="{y}" text-anchor="end">{value:.3g}</text>')
    for value, x in ((left, 52), (right, width - 12)):
        parts.append(f'<text x="{x}" y="{height - 10}" text-anchor="middle">{value:.4g}</text>')
    for i, (name, line) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(place(x, y) for x, y in line if math.isfinite(y))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(
            f'<text x="{width - 12}" y="{16 + 14 * i}" text-anchor="end" fill="{colour}">{escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def picture(pixels: Tensor, size: int = 96) -> str:
    """A picture [C, H, W] from 0 to 1 as the address of a PNG."""
    from PIL import Image

    array = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3])
    stream = io.BytesIO()
    image.resize((size, size), Image.Resampling.NEAREST).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def matrix(counts: list[list[int]], names: Sequence[str]) -> str:
    """A confusion matrix as an HTML table; rows are the truth."""
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    rows = []
    for name, row in zip(names, counts, strict=False):
        total = max(1, sum(row))
        cells = "".join(f'<td style="background:rgba(37,99,235,{n / total:.2f})">{n or ""}</td>' for n in row)
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
