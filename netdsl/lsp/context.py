"""The syntactic context at an offset of a text, which may be incomplete or wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_DECLARATION = re.compile(
    r"^\ufeff?(block|net|recipe|expect|from|experiment(?=[ \t]+\w))\b[ \t]*([\w.]*)", re.MULTILINE
)
_BINDS = re.compile(
    r"\binput[ \t]+(\w+)|\bas[ \t]+(\w+)|\bshare[ \t]+(\w+)|\bfor[ \t]+([\w, ()]+?)[ \t]+in\b"
    r"|^[ \t]+(\w+(?:[ \t]*,[ \t]*\w+)*)[ \t]*=(?!=)|:[ \t]*\[([\w, \t]*)\][ \t]*->",
    re.MULTILINE,
)
"""What binds a name inside a block."""

_NAME_BEFORE = re.compile(r"([A-Za-z_]\w*)\s*$")
_FIELD = re.compile(r"^\s*(\w+)\s*=", re.MULTILINE)


FARTHEST = 4_000
"""How many characters before the cursor a call may begin."""


class Typing(Struct, frozen=True):
    """The place of the cursor.

    `word`: what has been typed of a word; `line`: the line before it. `declaration`: the keyword of the declaration
    around it, or nothing. `call`: the name before the innermost open parenthesis; `given`: how many arguments stand
    before the cursor, and `named` the argument that is being given by name; `field`: the field of a recipe.
    """

    word: str
    line: str
    declaration: str
    call: str = ""
    given: int = 0
    named: str = ""
    field: str = ""


def typing(text: str, offset: int) -> Typing:
    """Find what is being typed at an offset of a text."""
    start = offset
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    line = text[text.rfind("\n", 0, start) + 1 : start]
    declaration = _around(text, start)
    call, opened, given = _call(text, start)
    named = re.search(r"(\w+)\s*=\s*$", text[opened:start]) if call else None
    field = ""
    if declaration == "recipe":
        fields = _FIELD.findall(text[text.rfind("{", 0, opened if call else start) + 1 : start])
        field = fields[-1] if fields else ""
    return Typing(text[start:offset], line, declaration, call, given, named[1] if named else "", field)


def _head(text: str, offset: int) -> re.Match[str] | None:
    """Where the declaration around an offset begins."""
    known = list(_DECLARATION.finditer(text, 0, offset))
    return known[-1] if known else None


def bound_before(text: str, offset: int) -> list[str]:
    """The names that the declaration around an offset binds before it: arguments, inputs, tensors, loop variables."""
    head = _head(text, offset)
    if head is None:
        return []
    code = _code(text[head.start(1) : offset])
    parameters = re.match(r"\w+[ \t]+\w+[ \t]*\(([^{]*?)\)[ \t]*(?=[{=:])", code)
    found = [part.partition("=")[0].strip() for part in parameters[1].split(",")] if parameters else []
    for match in _BINDS.finditer(code):
        found += re.findall(r"[A-Za-z_]\w*", next(filter(None, match.groups()), ""))
    return list(dict.fromkeys(name for name in found if name.isidentifier()))


def _around(text: str, offset: int) -> str:
    """The keyword of the declaration that an offset stands in."""
    last = _head(text, offset)
    if last is None:
        return ""
    inside = _code(text[last.start(1) : offset])
    opened = inside.count("{") > inside.count("}")
    single = "{" not in inside and "\n" not in inside
    goes_on = inside.rstrip(" \t")[-1:] in ("=", ",") or inside.rstrip()[-2:] == "->"
    return last[1] if opened or single or (goes_on and "{" not in inside) else ""


def _call(text: str, offset: int) -> tuple[str, int, int]:
    """The name before the innermost open parenthesis, where its arguments begin, and how many commas follow."""
    code = _code(text[max(0, offset - FARTHEST) : offset])
    for at, bracket, commas in _opened(code):
        name = _NAME_BEFORE.search(code[:at]) if bracket == "(" else None
        if bracket == "{":
            break
        if name:
            return name[1], offset - len(code) + at + 1, commas
    return "", offset, 0


def _opened(code: str) -> Iterator[tuple[int, str, int]]:
    """The brackets that are open at the end of a text, innermost first, and how many commas follow each."""
    depth = commas = 0
    for i in range(len(code) - 1, -1, -1):
        c = code[i]
        if c in ")]}":
            depth += 1
        elif c in "([{" and depth:
            depth -= 1
        elif c in "([{":
            yield i, c, commas
            commas = 0
        elif c == "," and not depth:
            commas += 1
        elif c == "\n" and not depth and _begins_line(code, i):
            break


def _begins_line(code: str, newline: int) -> bool:
    """Whether something begins in the first column after a newline."""
    return newline + 1 < len(code) and not code[newline + 1].isspace()


def _code(text: str) -> str:
    """The text with comments and the insides of texts blank, each character in its place."""
    return re.sub(r"#[^\n]*|\"[^\"\n]*\"?|'[^'\n]*'?", lambda m: " " * len(m[0]), text)
