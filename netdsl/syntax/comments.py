"""Comments: where they stand, and which of them document what."""

from __future__ import annotations

import re
from bisect import bisect_left

from netdsl.source import Source, Span
from netdsl.syntax.ast import Comment

ALLOW = r"#\s*netdsl:\s*allow\b"
"""How a comment to the checker begins. It documents nothing."""

_SCAN = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*')


def comments(source: Source) -> tuple[Comment, ...]:
    """All comments of a text, in order."""
    text, found = source.text, []
    for match in _SCAN.finditer(text):
        if match[0][0] == "#":
            written = match[0].rstrip()
            start = match.start()
            before = text[text.rfind("\n", 0, start) + 1 : start]
            found.append(Comment(Span(start, start + len(written)), written, not before.strip("\ufeff \t\f")))
    return tuple(found)


def doc_above(offset: int, found: tuple[Comment, ...], source: Source) -> str:
    """The comment lines that end right above the line of `offset`, without their `#`."""
    line = source.position(offset)[0] - 1
    last = bisect_left(found, offset, key=lambda c: c.at.start)
    lines: list[str] = []
    for comment in reversed(found[:last]):
        if not comment.own_line or source.position(comment.at.start)[0] != line:
            break
        lines += _plain(comment)
        line -= 1
    return "\n".join(reversed(lines))


def opening_doc(found: tuple[Comment, ...], source: Source) -> str:
    """The comment block that opens a text, or nothing where something else does."""
    if not found or source.text[: found[0].at.start].strip("\ufeff \t\f\r\n"):
        return ""
    line, lines = source.position(found[0].at.start)[0], []
    for comment in found:
        if not comment.own_line or source.position(comment.at.start)[0] != line:
            break
        lines += _plain(comment)
        line += 1
    return "\n".join(lines)


def _plain(comment: Comment) -> list[str]:
    """The line of a comment without its `#`; none where it speaks to the checker."""
    return [] if re.match(ALLOW, comment.text) else [comment.text.lstrip("#").removeprefix(" ")]
