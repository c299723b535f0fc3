"""The prose of the project: documentation, messages, help, docstrings, and comments of specs (they are emitted)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from paths import ROOT

Passage = tuple[str, int, str]
"""A file, the line where the passage begins, and its text on one line."""

DOCS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md")


@cache
def prose() -> tuple[Passage, ...]:
    """Every passage of prose of the project: a paragraph, a string, the comments of neighbouring lines."""
    return tuple(_prose())


def _prose() -> Iterator[Passage]:
    for pattern in DOCS:
        for path in sorted(ROOT.glob(pattern)):
            yield from _joined(path, _documentation(path))
    for path in sorted((ROOT / "netdsl").rglob("*.py")):
        yield from _strings(path)
    for path in sorted((ROOT / "specs").glob("*.net")):
        yield from _joined(path, [line.partition("#")[2] for line in path.read_text().splitlines()])


def _documentation(path: Path) -> Iterator[str]:
    """The lines of a page, without code."""
    code = False
    for line in path.read_text().splitlines():
        fence = line.lstrip().startswith("```")
        code = code != fence
        yield "" if code or fence else re.sub(r"`[^`]*`", "``", line)


def _joined(path: Path, lines: Iterator[str] | list[str]) -> Iterator[Passage]:
    """Neighbouring lines that are not empty as one passage."""
    passage, start = "", 1
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            passage, start = (f"{passage} {line.strip()}", start) if passage else (line.strip(), number)
        elif passage:
            yield str(path.relative_to(ROOT)), start, passage
            passage = ""


def _strings(path: Path) -> Iterator[Passage]:
    """The strings of a module that hold more than one word: docstrings, messages and help."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield str(path.relative_to(ROOT)), node.lineno, " ".join(node.value.split())
