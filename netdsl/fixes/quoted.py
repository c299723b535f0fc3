"""Edits from the code that a hint quotes: for "did you mean `conv`?" the word replaces the marked one, for
"`groups=2` would" the argument replaces that of the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.calls import Call, calls, near, parts

Change = tuple[int, int, str]
"""From, to, and the text that comes there."""

Candidate = tuple[str, list[Change], bool]
"""The words of the hint that changes do ("" for none), the changes, and whether the meaning is not in doubt."""

_QUOTED = re.compile(r"`([^`\n]+)`")
_NUMBER = re.compile(r"(?<![\w.])\d[\d._]*(?:e-?\d+)?")
_BEFORE = re.compile(r"`([^`\n]+)` before it\b")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(?!=)(.+)", re.DOTALL)
_VALUE = re.compile(r"[A-Za-z_]\w*\s*=(?!=)\s*([A-Za-z_]\w*)")
_TAKES = re.compile(
    r"it (?:takes|can be|is closed with|is written out)|its \w+(?: \w+)?:|begin with an|for example `[\w.]+`|"
    r"images are normalised|norms are|activations are|cells over|what the margin|layers of a list|attention blocks"
)
"""A list of all that is possible is no suggestion, nor is an outline."""

MOST = 6
"""How many suggestions of one hint are tried."""


def quoted(text: str, start: int, end: int, hint: str, line: str | None = None) -> Iterator[list[Change]]:
    """Changes that would do what a hint says at a mark; `line`: the one whose numbers it may use, or any."""
    if _TAKES.match(hint):
        return
    if (before := _BEFORE.match(hint)) is not None:  # in its place it would take what is there away
        yield [(start, start, f"{before[1]} -> ")]
        return
    codes = _codes(text, start, end, hint, line)
    for code in codes:
        yield from _same_call(text, start, end, code)
    for code in codes:
        yield from _changes(text, start, end, code)


def _codes(text: str, start: int, end: int, hint: str, line: str | None) -> list[str]:
    """The code that a hint quotes, without numbers that are not of the line, where one is given."""
    codes = [code.strip() for code in _QUOTED.findall(hint)[:MOST] if "..." not in code]
    if line is not None:
        codes = [code for code in codes if set(_NUMBER.findall(code)) <= set(_NUMBER.findall(line))]
    if " takes " in hint:  # what may be left out is no value that was meant
        codes = [code for code in codes if code != "none"]
    around = _around(text, start, end)
    return [code for code in codes if around is None or code != around.name]  # a call is no argument of itself


def _changes(text: str, start: int, end: int, code: str) -> Iterator[list[Change]]:
    if code == "->" and text[start - 1 : start].strip():
        code = " ->"
    word = _NAME.match(text, start, end)
    if code.strip() == "->" and word:  # in the place of a word it would take that away
        yield [(start, start, "-> ")]
        return
    named = _NAMED.fullmatch(code)
    if _NAME.fullmatch(code) and word:
        yield from [[(start, word.end() + 2, code)]] * text.startswith("()", word.end())
        value = _VALUE.match(text, start, end)
        yield [(value.start(1), value.end(1), code)] if value else [(start, word.end(), code)]
        yield [(start, word.end(), code)]
    if named:
        yield from _argument(text, start, end, named[1], code)
    if _is_whole(text, start, end, code):
        yield [(start, end, code)]
    if not _NAME.fullmatch(code) and not named:
        yield from _added(text, start, end, code)


def _same_call(text: str, start: int, end: int, code: str) -> Iterator[list[Change]]:
    """A call in the place of one by the same name."""
    own = None if _NAME.fullmatch(code) or _NAMED.fullmatch(code) else next(calls(code), None)
    around = _around(text, start, end)
    near = [*calls(text, start, end), *([around] if around is not None else [])]
    yield from ([(c.start, c.end, code)] for c in near if own is not None and c.name == own.name)


def _is_whole(text: str, start: int, end: int, code: str) -> bool:
    """Whether code can stand for all that is marked: nothing else that was said gets lost."""
    own, said = next(calls(code), None), next(calls(text, start, end), None)
    if "{" in text[start:end] or any(f" {sign} " in text[start:end] for sign in ("->", "+", "-", "*")):
        return False
    return own is None or said is None or own.name == said.name or not said.given or not own.given


def _added(text: str, start: int, end: int, code: str) -> Iterator[list[Change]]:
    """A layer before or after what is marked, or after one of its parts."""
    marked = text[start:end]
    for sign in (" + ", " - ", " * "):
        left, found, _ = marked.partition(sign)
        if found:
            yield [(start, start, "("), (start + len(left), start + len(left), f" -> {code})")]
            yield [(start + len(left) + len(sign), start + len(left) + len(sign), "("), (end, end, f" -> {code})")]
    call = next(calls(text, start, end), None)
    for argument in call.given if call is not None else ():
        yield [(argument.end, argument.end, f" -> {code}")]
    yield [(end, end, f" {code}")]
    yield [(end, end, f" -> {code}")]
    yield [(start, start, f"{code} -> ")]


def _argument(text: str, start: int, end: int, name: str, code: str) -> Iterator[list[Change]]:
    """An argument given by name: in the place of one, or after the others."""
    call = next((c for c in calls(text, start, end) if c.start == start), None)
    if call is not None and call.arguments is None:
        yield [(call.end, call.end, f"({code})")]
    if call is None or call.arguments is None:
        call = _around(text, start, end)
    if call is not None:
        yield from _in_call(call, start, name, code)


def _in_call(call: Call, start: int, name: str, code: str) -> Iterator[list[Change]]:
    own = [a for a in call.given if a.name == name]
    blamed = [a for a in call.given if a.start <= start < a.end and a not in own]
    yield from ([(a.start, a.end, code)] for a in (*own, *blamed))
    if not own:
        yield [(call.end - 1, call.end - 1, f", {code}" if call.given else code)]


def _around(text: str, start: int, end: int) -> Call | None:
    """The innermost call with arguments that a mark lies in."""
    inside = [
        c for c in near(text, start, end, "\n\n") if c.arguments is not None and c.start <= start and end <= c.end
    ]
    return inside[-1] if inside else None


def value_changes(text: str, start: int, end: int) -> Iterator[str]:
    """Other ways to write the marked value: without quotes, as a pipeline, in other brackets, with a unit."""
    value = text[start:end]
    if re.fullmatch(r"(['\"]).+\1", value):
        yield value[1:-1].strip()
        yield value[1:-1].strip().lower()
    if re.fullmatch(r"[\[(].+[\])]", value, re.DOTALL):
        yield from _other_brackets(text, start, end)
    if "->" in value:
        stages = [text[a:b].strip() for a, b in parts(text, start, end, "->")]
        yield " -> ".join([*stages[-1:], *stages[:-1]])
    if re.fullmatch(r"[\d_.]*\d[\d_.]*", value):
        yield from _other_numbers(value)
    if re.fullmatch(r"-[\d_.]+", value):
        yield value[1:]
    yield from (m[1] for m in [re.match(r"([\d_.]+) *(?:epochs?|steps?)$", value)] if m)
    if value in _LITERALS:
        yield _LITERALS[value]
    if re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        yield f'"{value}"'
        yield value.lower()


def _other_numbers(value: str) -> Iterator[str]:
    yield from (f"{value} epochs", f"{value} steps", f'"{value}"', f"({value}, {value})")
    whole, _, fraction = value.partition(".")
    if not fraction.strip("0") or len(whole) > 1:  # 1.5 of something is not 1 of it
        yield whole


def _other_brackets(text: str, start: int, end: int) -> Iterator[str]:
    listed = [text[a:b].strip() for a, b in parts(text, start + 1, end - 1, ",")]
    plain = [item.strip("\"'") for item in listed]
    if "it" not in plain:  # values side by side are none after another
        yield " -> ".join(plain)
    if len(listed) == 1:
        yield plain[0]
    inner = text[start + 1 : end - 1]
    yield f"({inner})" if text[start] == "[" else f"[{inner}]"


_LITERALS = {"True": "true", "False": "false", "None": "none", "null": "none", "nil": "none"}
