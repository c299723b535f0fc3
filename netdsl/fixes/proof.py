"""Whether an edit mends a mistake: it is made, and the text is checked anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from netdsl.diagnostics.diagnostic import Diagnostic, Edit
from netdsl.source import Source

Check = Callable[[Source], tuple[Diagnostic, ...]]
"""Everything that is wrong with a text."""


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

    A mistake of syntax hides what the checks after it would find: where it is mended, mistakes elsewhere may show.
    """
    after = check(Source(edited(source.text, edits), source.name))
    left = Counter(map(_key, after))
    before = Counter(map(_key, found))
    if left[_key(mistake)] >= before[_key(mistake)]:
        return False
    new = [d for d in after if _key(d) not in before and d.severity == "error"]
    if mistake.code != "syntax":
        return not new
    lines = {edit.at.line for edit in edits} | ({mistake.at.line} if mistake.at else set())
    return all(d.code != "syntax" and d.at is not None and d.at.line not in lines for d in new)


def _key(found: Diagnostic) -> tuple[str, str]:
    return found.code, found.message
