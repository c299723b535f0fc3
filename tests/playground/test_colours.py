"""Colours of the page: the numbers of lines are read on both grounds."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

STYLE = (ROOT / "playground" / "src" / "style.css").read_text()


def luminance(colour: list[float]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def said(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.DOTALL | re.MULTILINE)
    assert found, pattern
    return found[1]


@pytest.mark.parametrize("theme", [":root", ":root.dark"])
def test_line_numbers_stand_out(theme: str) -> None:
    block = said(rf"^{re.escape(theme)} {{(.*?)^}}", STYLE)
    written = [said(rf"--{name}: #(\w{{6}});", block) for name in ("back", "muted")]
    back, muted = ([c / 255 for c in bytes.fromhex(w)] for w in written)
    share = int(said(r"\.cm-gutters {[^}]*var\(--muted\) (\d+)%, transparent", STYLE)) / 100
    number = [m * share + b * (1 - share) for m, b in zip(muted, back, strict=True)]
    dark, light = sorted((luminance(number), luminance(back)))
    assert (light + 0.05) / (dark + 0.05) >= 3
