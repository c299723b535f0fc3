"""What a hint quotes, as edits: of "did you mean `conv`?" the word is tried in the place of the marked one, of
"`groups=2` would" the argument in the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.calls import Call, calls, parts

Change = tuple[int, int, str]
"""From, to, and the text that comes there."""

_QUOTED = re.compile(r"`([^`\n]+)`")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(?!=)(.+)", re.DOTALL)
_TAKES = re.compile(r"it (?:takes|can be)|its \w+(?: \w+)?:|for example `\w+`")
"""A list of all that is possible is no suggestion."""

MOST = 6
"""How many suggestions of one hint are tried."""


def quoted(text: str, start: int, end: int, hint: str) -> Iterator[list[Change]]:
    """Changes that would do what a hint says at a mark."""
    if _TAKES.match(hint):
        return
    for code in _QUOTED.findall(hint)[:MOST]:
        if "..." not in code:
            yield from _changes(text, start, end, code.strip())


def _changes(text: str, start: int, end: int, code: str) -> Iterator[list[Change]]:
    marked = text[start:end]
    word = _NAME.match(marked)
    if _NAME.fullmatch(code) and word:
        yield [(start, start + word.end(), code)]
    call = next(calls(text, start, end), None)
    named = _NAMED.fullmatch(code)
    around = _around(text, start, end)
    if named:
        yield from _argument(text, start, end, named[1], code, around)
    own = next(calls(code), None)
    if own is not None and not named:
        for same in calls(text, start, end):
            if same.name == own.name:
                yield [(same.start, same.end, code)]
        if around is not None and around.name == own.name:
            yield [(around.start, around.end, code)]
    loses = call is not None and own is not None and own.given and call.given and own.name != call.name
    if not loses and (own is None or "->" not in marked):
        yield [(start, end, code)]
    if not _NAME.fullmatch(code) and not named:
        for argument in call.given if call is not None else ():
            yield [(argument.end, argument.end, f" -> {code}")]
        yield [(end, end, f" {code}")]
        yield [(end, end, f" -> {code}")]
        yield [(start, start, f"{code} -> ")]


def _argument(text: str, start: int, end: int, name: str, code: str, around: Call | None) -> Iterator[list[Change]]:
    """An argument given by name: in the place of an argument, of a call's own, or after the others."""
    call = next((c for c in calls(text, start, end) if c.start == start and c.arguments is not None), around)
    bare = next((c for c in calls(text, start, end) if c.start == start and c.arguments is None), None)
    if call is not None:
        own = next((a for a in call.given if a.name == name), None)
        if own is not None:
            yield [(own.start, own.end, code)]
        blamed = next((a for a in call.given if a.start <= start < a.end), None)
        if blamed is not None and blamed is not own:
            yield [(blamed.start, blamed.end, code)]
        if own is None:
            yield [(call.end - 1, call.end - 1, f", {code}" if call.given else code)]
    if bare is not None:
        yield [(bare.end, bare.end, f"({code})")]


def _around(text: str, start: int, end: int) -> Call | None:
    """The innermost call with arguments that a mark lies in."""
    first = text.rfind("\n\n", 0, start) + 1
    last = text.find("\n\n", end)
    inside = [
        c
        for c in calls(text, first, len(text) if last < 0 else last)
        if c.arguments is not None and c.start <= start and end <= c.end
    ]
    return inside[-1] if inside else None


def value_changes(text: str, start: int, end: int) -> Iterator[str]:
    """Other ways to write the marked value: without quotes, as a pipeline, in other brackets, with a unit."""
    value = text[start:end]
    inner = value[1:-1].strip() if len(value) > 1 else ""
    if inner and value[:1] in "\"'" and value[-1:] == value[:1]:
        yield inner
        yield inner.lower()
    if inner and value[:1] in "[(" and value[-1:] in ")]":
        listed = [text[a:b].strip() for a, b in parts(text, start + 1, end - 1, ",")]
        plain = [item.strip("\"'") for item in listed]
        yield " -> ".join(plain)
        if len(listed) == 1:
            yield plain[0]
        yield f"({inner})" if value[0] == "[" else f"[{inner}]"
    if "->" in value:
        stages = [text[a:b].strip() for a, b in parts(text, start, end, "->")]
        yield " -> ".join([*stages[-1:], *stages[:-1]])
    if re.fullmatch(r"[\d_.]+", value):
        yield f"{value} epochs"
        yield f"{value} steps"
        yield value.split(".")[0]
        yield f'"{value}"'
    if re.fullmatch(r"[\d_.]+ *(?:epochs?|steps?)", value):
        yield value.split("e")[0].split("s")[0].strip()
    if value in ("True", "False", "None", "null", "nil"):
        yield {"True": "true", "False": "false"}.get(value, "none")
    if re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        yield f'"{value}"'
        yield value.lower()
