"""Fixes of brackets and braces: blocks written with a colon and indentation, brackets left open or closed too often."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from netdsl.fixes.quoted import Change

_OPENS = re.compile(r"^(\s*)(?:net|block|class|def|while|recipe|if|else|for|repeat|residual|group|\w+\s*:)")
_PYTHON = re.compile(r"^\s*(?:class|def|while)\b|:$")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_MODULE = re.compile(r"^(\s*)(?:class|model)\s+(\w+)(?:\(.*\))?$")
_BASE = re.compile(r"^(\s*(?:net|block)\s+\w+)\(\s*(?:nn\.Module|Module|self)?\s*\)$")
"""The base class of a module, in Python."""


def braces(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """`net N:` and the lines indented under it, in braces: with all that is written so below it, or alone."""
    if _begins_block(text[first:last], (":", ")")):
        yield [(first, len(text), _braced(text[first:]))]
    else:
        yield from _missing_brace(text, first, last)


def left_out(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """A statement with the lines indented under it gone."""
    line = text[first:last]
    if not line[:1].isspace() or not _begins_block(line, (":", ")")) or not _PYTHON.search(_code(line)):
        return
    rest = text[last:].splitlines(keepends=True)
    inside = takewhile(lambda inner: not inner.strip() or _indent(inner) > _indent(line), rest)
    yield [(first, last + sum(map(len, inside)), "")]


def _begins_block(line: str, ends: str | tuple[str, ...]) -> bool:
    """Whether a line begins a block that is indented below it; `ends`: what its code ends with."""
    return _OPENS.match(line) is not None and _code(line).endswith(ends)


def _code(line: str) -> str:
    """A line without its comment."""
    return line.split("#")[0].rstrip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _braced(text: str) -> str:
    """A text with every indented block after a colon in braces."""
    lines: list[str] = []
    opened: list[int] = []
    for line in text.splitlines():
        while line.strip() and opened and _indent(line) <= opened[-1]:
            _close(lines, opened.pop())
        if _begins_block(line, ":"):
            opened.append(_indent(line))
            head = _code(line)[:-1].rstrip()
            lines.append(_BASE.sub(r"\1", _MODULE.sub(r"\1net \2", head)) + " {")
        else:
            lines.append(line)
    while lines and opened and not lines[-1].strip():
        lines.pop()
    for indent in reversed(opened):
        _close(lines, indent)
    return "\n".join(lines) + "\n"


def _close(lines: list[str], indent: int) -> None:
    """Close a block after its last line that is not blank."""
    at = len(lines)
    while at and not lines[at - 1].strip():
        at -= 1
    lines.insert(at, f"{' ' * indent}}}")


def _missing_brace(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """`net N` without the brace that opens its body."""
    line = text[first:last]
    if _OPENS.match(line) and not line.rstrip().endswith("{"):
        end = first + len(line.rstrip())
        yield [(end, end, " {")]
        following = next((inner for inner in text[last:].splitlines() if inner.strip()), "")
        if _indent(following) > _indent(line):  # an empty body says nothing
            yield [(first, len(text), _braced(f"{line.rstrip()}:{text[last:]}"))]


def brackets(text: str, start: int, end: int, first: int, last: int) -> Iterator[list[Change]]:
    """A bracket closed at the end of its line, after its block, or taken away."""
    marked = text[start:end]
    if marked in _CLOSERS:
        if marked == "{":
            yield from _closed_block(text, first, last)
        for match in re.finditer(r"\s*(?:->|$|\{|,|[\])}])", text[end:last]):
            if marked != "{" or text[end : end + match.start()].strip():  # an empty body says nothing
                yield [(end + match.start(), end + match.start(), _CLOSERS[marked])]
        ahead = text.find("\n}", last)
        if ahead >= 0:
            yield [(ahead, ahead, _CLOSERS[marked])]
    if marked and marked in "()[]{}":
        yield [(start, end, "")]
        yield from ([(start, end, other)] for other in ")]}" if other != marked)


def _closed_block(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """A brace for one left open on a line: in the place of an `end`, after a paragraph, at the end of the text."""
    indent = _indent(text[first:last])
    for match in re.finditer(rf"^[^\S\n]{{{indent}}}(end\w*(?:[^\S\n]+\w+)?)[^\S\n]*$", text[last:], re.MULTILINE):
        yield [(last + match.start(1), last + match.end(1), "}")]
    for match in re.finditer(r"\n(?=\n|[^\s}]|$)", text[last:]):
        yield [(last + match.start(), last + match.start(), f"\n{' ' * indent}}}")]
    yield [(len(text.rstrip()), len(text), f"\n{' ' * indent}}}\n")]
