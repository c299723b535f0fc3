"""Verification of an edit: it is applied, and the text is checked again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from netdsl.checks.damage import INDEPENDENT
from netdsl.diagnostics.diagnostic import Diagnostic, Edit
from netdsl.source import Place, Source

Check = Callable[[Source], tuple[Diagnostic, ...]]
"""Everything that is wrong with a text."""


UNKNOWN = ("unknown-name", "unknown-word")
"""Mistakes of a word by itself: one that no edit wrote was there before."""

OF_CALLS = (
    *UNKNOWN, "unknown-argument", "unknown-field", "unknown-measure", "too-many-arguments", "missing-argument",
    "argument-type", "duplicate-argument", "not-a-list",
)  # fmt: skip
"""Mistakes of a call by itself, which a mistake in syntax hides."""

_NAME = re.compile(r"[A-Za-z_]")

LOST = ("unused-value", "dropped-value", "unused-input")
"""Warnings of a value that nothing uses."""


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with edits made, the last ones first; one that overlaps an edit made already is left out."""
    limit = len(text) + 1
    for edit in sorted(edits, key=lambda e: (e.at.span.start, e.at.span.end), reverse=True):
        if edit.at.span.end <= limit:
            text = text[: edit.at.span.start] + edit.text + text[edit.at.span.end :]
            limit = edit.at.span.start
    return text


def mends(
    source: Source, found: tuple[Diagnostic, ...], mistake: Diagnostic, edits: tuple[Edit, ...], check: Check
) -> bool:
    """Whether edits take away a mistake without a new one.

    A mistake hides others: what is told after it is fixed and does not depend on it may show, elsewhere. Where syntax
    is fixed, that is anything but syntax.
    """
    after = check(Source(edited(source.text, edits), source.name))
    left = Counter(map(_key, after))
    before = Counter(map(_key, found))
    if left[_key(mistake)] >= before[_key(mistake)] or _stays(mistake, edits, after):
        return False
    new = [d for d in after if left[_key(d)] > before[_key(d)] and d.severity == "error"]
    return not (any(_loses(d, edits) for d in after)) and (not new or _only_shown(mistake, edits, new))


def _stays(mistake: Diagnostic, edits: tuple[Edit, ...], after: tuple[Diagnostic, ...]) -> bool:
    """Whether a mistake is still told where it was: another like it may only be hidden by what the edits open."""
    if mistake.at is None:
        return False
    start = mistake.at.span.start
    moved = sum(len(e.text) - len(e.at.text) for e in edits if e.at.span.end <= start)
    return any(d.at is not None and d.at.span.start == start + moved and _key(d) == _key(mistake) for d in after)


def _loses(found: Diagnostic, edits: tuple[Edit, ...]) -> bool:
    """Whether nothing uses a value any more that the text which the edits take out has named."""
    if found.code not in LOST or found.at is None:
        return False
    name = re.compile(rf"(?<![\w.]){re.escape(found.at.text)}(?!\w)")
    return any(name.search(edit.at.text) and not name.search(edit.text) for edit in edits)


def _only_shown(mistake: Diagnostic, edits: tuple[Edit, ...], new: list[Diagnostic]) -> bool:
    """Whether mistakes were there before, hidden by the one that is fixed."""
    lines = {edit.at.line for edit in edits} | ({mistake.at.line} if mistake.at else set())
    for found in new:
        if found.at is None or found.code == "syntax" or _is_caused(found, lines):
            return False
        if found.at.line in lines and not _is_own(found, edits, OF_CALLS if mistake.code == "syntax" else UNKNOWN):
            return False
    return mistake.code == "syntax" or all(d.code in INDEPENDENT for d in new)


def _is_caused(found: Diagnostic, lines: set[int]) -> bool:
    """Whether a mistake is one inside a block that one of the lines uses, with other arguments now."""
    return any(use.line in lines for use in uses(found))


def uses(mistake: Diagnostic) -> list[Place]:
    """Where the blocks are used that a mistake lies in."""
    return [label.at for label in mistake.labels if label.message.endswith("is used here")]


def _is_own(found: Diagnostic, edits: tuple[Edit, ...], codes: tuple[str, ...]) -> bool:
    """Whether a mistake of the edited text is that of a word or a call which no edit wrote or touches."""
    if found.at is None or found.code not in codes:
        return False
    if codes is OF_CALLS and not all(_NAME.search(edit.text) for edit in edits):
        return False
    a, b = found.at.span.start, found.at.span.end
    return not any(start <= b and a <= end and not _encloses(edit) for start, end, edit in _written(edits))


def _encloses(edit: Edit) -> bool:
    """Whether an edit keeps what it takes the place of, in brackets."""
    return (
        edit.text[:1] in ("[", "(") and edit.at.text.strip() != "" and edit.at.text.strip() == edit.text[1:-1].strip()
    )


def _written(edits: tuple[Edit, ...]) -> Iterator[tuple[int, int, Edit]]:
    """Where the edited text is new."""
    moved = 0
    for edit in sorted(edits, key=lambda e: e.at.span.start):
        start = edit.at.span.start + moved
        yield start, start + len(edit.text), edit
        moved += len(edit.text) - (edit.at.span.end - edit.at.span.start)


def _key(found: Diagnostic) -> tuple[str, str]:
    return found.code, found.message
