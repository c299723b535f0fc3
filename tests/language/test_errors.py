"""Mistakes and what is said of them.

Each file in `tests/errors` holds small specs separated by `# ===`. `# error[code]: text` above a line says that exactly
this is reported there, and nothing else in the file is; the rendered messages stand beside it in a `.txt` file with
the lines that the fix of each takes out and puts in (`pytest --update-golden` rewrites them).
"""

from __future__ import annotations

import re
from difflib import unified_diff
from pathlib import Path

import pytest
from paths import TESTS

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.proof import edited
from netdsl.fixes.suggest import suggest
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


def with_fixes(source: Source) -> tuple[Diagnostic, ...]:
    return suggest(source, diagnostics(source), diagnostics)


def told(source: Source, found: Diagnostic) -> str:
    """A diagnostic as it is shown, and the lines as its fix writes them."""
    text = render(found)
    for hint in found.hints:
        if hint.edits:
            before = source.text.splitlines()
            after = edited(source.text, hint.edits).splitlines()
            changed = [
                line for line in unified_diff(before, after, n=0, lineterm="") if line[:2] not in ("++", "--", "@@")
            ]
            return "\n".join([text, *(f"  {line}" for line in changed)])
    return text


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_mistakes_are_reported_where_they_are(path: Path) -> None:
    for source in sections(path):
        found = [(d.at.line if d.at else 0, d.code, d.message) for d in diagnostics(source)]
        assert sorted(found) == sorted(expected(source)), source.text


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_messages_read_as_written(path: Path, update_golden: bool) -> None:
    shown = "\n".join(told(source, d) for source in sections(path) for d in with_fixes(source)) + "\n"
    golden = path.with_suffix(".txt")
    if update_golden:
        golden.write_text(shown)
    assert golden.read_text() == shown


PYTHONS = re.compile(
    r"<class|object at 0x|object is not|NoneType|Traceback|'(?:int|str|tuple|list|dict|float|Size|Tensor)'"
    r"|\b[A-Z]\w+\((?:\w+=|<)"
)
"""What only Python would say."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_messages_hold_nothing_of_python(path: Path) -> None:
    for source in sections(path):
        for found in with_fixes(source):
            said = [found.message, found.label, *found.notes, *(h.message for h in found.hints)]
            said += [label.message for label in found.labels]
            assert not [text for text in said if PYTHONS.search(re.sub(r"`[^`]*`", "", text))]


def test_most_mistakes_have_a_fix() -> None:
    """At least 150 mistakes, at least 60% of them with a fix that was verified."""
    found = [d for path in FILES for source in sections(path) for d in with_fixes(source)]
    mended = [d for d in found if any(h.edits for h in d.hints)]
    assert len(found) >= 150
    assert len(mended) >= 0.6 * len(found), f"{len(mended)} of {len(found)}"


TWELVE = sorted((FOLDER / "twelve").glob("*.net"))


@pytest.mark.parametrize("path", TWELVE, ids=lambda p: p.stem)
def test_twelve_mistakes_in_one_file_are_all_told(path: Path) -> None:
    source = Source(path.read_text(), path.name)
    found = [(d.at.line if d.at else 0, d.code, d.message) for d in diagnostics(source)]
    assert sorted(found) == sorted(expected(source))
    assert len(found) == 12


@pytest.mark.parametrize("path", TWELVE, ids=lambda p: p.stem)
def test_fixes_of_twelve_mistakes_mend_them_one_after_another(path: Path) -> None:
    """What a mistake hid may show when it is mended; what is left in the end is what no fix is known for."""
    text = path.read_text()
    for _ in range(24):
        source = Source(text, path.name)
        edits = next((h.edits for d in with_fixes(source) for h in d.hints if h.edits), ())
        if not edits:
            break
        text = edited(text, edits)
    left = [d for d in diagnostics(Source(text, path.name)) if d.severity == "error"]
    assert len(left) <= 3, text
