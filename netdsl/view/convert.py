"""Drawings as PDF and PNG, by a program of this machine that reads SVG: librsvg, Inkscape, a browser without window."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

SECONDS = 60
SHARP = 2
"""Pixels of a PNG for each of the drawing's."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")

PAGE = """<!doctype html><meta charset="utf-8"><style>@page{size:%(width)dpx %(height)dpx;margin:0}body{margin:0}
img{display:block;color-scheme:light}</style><img src="drawing.svg" width="%(width)d" height="%(height)d">"""
"""A page of the size of a drawing, which is light whatever the system prefers."""


class ConversionError(Exception):
    """No program here can convert a drawing, or the one that can failed. The text says it."""


def converted(svg: str, form: str) -> bytes:
    """An SVG image as `.pdf` or `.png`, in the light colours. Raises ConversionError."""
    found = next(((p, made) for names, made in _PROGRAMS for n in names if (p := shutil.which(n))), None)
    if found is None:
        raise ConversionError("neither rsvg-convert (librsvg), inkscape nor chromium is installed")
    program, words = found
    with tempfile.TemporaryDirectory(prefix="netdsl-") as name:
        folder = Path(name)
        (folder / "drawing.svg").write_text(svg)
        result = folder / f"drawing{form}"
        said = _run([program, *words(svg, folder, result)])
        if not result.is_file():
            raise ConversionError(f"{os.path.basename(program)} wrote nothing{said}")
        return result.read_bytes()


def _run(command: list[str]) -> str:
    """Run a program. Returns the last line that it said, behind a colon."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return f": {error}"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _librsvg(svg: str, folder: Path, result: Path) -> list[str]:
    return ["-f", result.suffix[1:], "-z", str(SHARP if result.suffix == ".png" else 1), "-o", str(result),
            str(folder / "drawing.svg")]  # fmt: skip


def _inkscape(svg: str, folder: Path, result: Path) -> list[str]:
    return [str(folder / "drawing.svg"), f"--export-filename={result}", f"--export-dpi={96 * SHARP}"]


def _browser(svg: str, folder: Path, result: Path) -> list[str]:
    found = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', svg)
    assert found, "a drawing has a size"
    width, height = (int(float(n)) + 1 for n in found.groups())
    page = folder / "page.html"
    page.write_text(PAGE % {"width": width, "height": height})
    alone = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        alone.append("--no-sandbox")  # a browser run by root has no other way
    if result.suffix == ".pdf":
        return [*alone, "--no-pdf-header-footer", f"--print-to-pdf={result}", page.as_uri()]
    sharp = [f"--window-size={width},{height}", f"--force-device-scale-factor={SHARP}"]
    return [*alone, *sharp, f"--screenshot={result}", page.as_uri()]


_PROGRAMS: tuple[tuple[tuple[str, ...], Callable[[str, Path, Path], list[str]]], ...] = (
    (("rsvg-convert",), _librsvg),
    (("inkscape",), _inkscape),
    (BROWSERS, _browser),
)
"""What can convert drawings, the quickest first, and the words of its command."""
