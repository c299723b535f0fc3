"""Every op: what it says of itself, its arguments, what its examples give, and its form in PyTorch and ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from netdsl.render.reference import Page, page
from netdsl.render.reference import pages as known

HEAD = """\
# Ops

All layers and functions, as `netdsl ops NAME` shows them. Names and defaults are PyTorch's unless said; the batch is no
axis. `it` is the value that flows in; what stands behind it are further tensors.

"""


def pages() -> dict[str, str]:
    """The page by its path."""
    return {"reference/ops.md": HEAD + "\n".join(_page())}


def _page() -> Iterator[str]:
    for family, inside in groupby(known(), lambda found: found.family):
        yield f"## {_FAMILIES.get(family, family.capitalize())}\n"
        for op in inside:
            yield from _op(page(op.name))


_FAMILIES = {
    "featurenorm": "Feature norms", "globalpool": "Global pooling", "layerscale": "Layer scale",
    "scaledconv": "Scaled convolutions", "weightnorm": "Weight norm", "windowbias": "Window bias",
}  # fmt: skip


def _op(found: Page) -> Iterator[str]:
    yield f"### {found.name}\n"
    yield f'<p class="signature"><code>{found.signature}</code></p>\n'
    yield escaped(found.doc) + "\n"
    if found.arguments:
        yield "| argument | type | default |\n|---|---|---|"
        for a in found.arguments:
            kind = a.type.replace("|", "&#124;").replace("<", "&lt;")
            yield f"| `{a.name}` | {kind} | {'required' if a.default is None else f'`{a.default}`'} |"
        yield ""
    if found.examples:
        yield "| example | on | gives |\n|---|---|---|"
        for text, given, result in found.examples:
            yield f"| `{text.replace('|', '&#124;')}` | {', '.join(given)} | {escaped(', '.join(result))} |"
        yield ""


def escaped(text: str) -> str:
    """Text whose stars outside code are no emphasis."""
    parts = text.split("`")
    return "`".join(p if i % 2 else p.replace("*", r"\*").replace("[", r"\[") for i, p in enumerate(parts))
