"""Mistakes and what is said of them.

Each file in `tests/errors` holds small specs separated by `# ===`. `# error[code]: text` above a line says that exactly
this is reported there, and nothing else in the file is; the rendered messages stand beside it in a `.txt` file
(`pytest --update-golden` writes them anew).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import TESTS

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.render.diagnostics import render
from netdsl.source import Source

FOLDER = TESTS / "errors"
FILES = sorted(FOLDER.glob("*.net"))
EXPECTED = re.compile(r"^\s*# error\[([\w-]+)\]: (.*)$")


def sections(path: Path) -> list[Source]:
    parts = re.split(r"^# ===.*\n", path.read_text(), flags=re.MULTILINE)
    return [Source(part, path.name) for part in parts]


def expected(source: Source) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    waiting: list[tuple[str, str]] = []
    for number, line in enumerate(source.text.splitlines(), 1):
        match = EXPECTED.match(line)
        if match:
            waiting.append((match[1], match[2]))
        elif waiting:
            found += [(number, code, text) for code, text in waiting]
            waiting = []
    return found


def diagnostics(source: Source) -> tuple[Diagnostic, ...]:
    return Spec(source, read_import).diagnostics


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_mistakes_are_reported_where_they_are(path: Path) -> None:
    for source in sections(path):
        found = [(d.at.line if d.at else 0, d.code, d.message) for d in diagnostics(source)]
        assert sorted(found) == sorted(expected(source)), source.text


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_messages_read_as_written(path: Path, update_golden: bool) -> None:
    shown = "\n".join(render(d) for source in sections(path) for d in diagnostics(source)) + "\n"
    golden = path.with_suffix(".txt")
    if update_golden:
        golden.write_text(shown)
    assert golden.read_text() == shown
