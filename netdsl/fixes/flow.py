"""Statements of a `forward`: `x = F.relu(x)`, `x += y`, `return x`, where what flows here has no name; several names
in brackets before a value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.calls import NEAR, calls
from netdsl.fixes.quoted import Change
from netdsl.fixes.slips import line_of, part_of_tensor
from netdsl.fixes.ways import ways, whole_line

TENSORS = ("x", "y", "h", "z", "out", "outputs", "inputs", "hidden", "hidden_states", "features")
"""What tensors are called elsewhere that flow from layer to layer."""

_CHANGED = re.compile(r"\s*((\w+)\s*([-+*/@])=\s*(?P<value>[^#\n]*[^#\s]))")
_ASSIGNED = re.compile(r"\s*((\w+)\s*=(?!=)\s*(?P<value>[^#\n]*[^#\s]))")
_NAMING = re.compile(r"\s*(\w+(?:\s*,\s*\w+)*\s*=(?!=)\s*(?P<value>[^#\n]*[^#\s]))")
_RETURNED = re.compile(r"\s*return\s+(\w+)\s*")
_BARE = re.compile(r"\s*((?P<value>[^#\n=]*[^#\s=]))")
_NUMBERED = re.compile(r"\b([a-z]+)_?\d+\b(?!\()")
_BEGUN = re.compile(r"\(?it(?: -> |\)$)")

_NAMES = r"(?P<names>\w+(?:\s*,\s*\w+)+)"
_BRACKETED = (
    re.compile(rf"\s*(?P<all>(?P<value>[^#\n]*\S)\s+as\s+[\[(]\s*{_NAMES}\s*[\])])"),
    re.compile(rf"\s*(?P<all>[\[(]\s*{_NAMES}\s*[\])]\s*=\s*(?P<value>[^#\n]*[^#\s]))"),
    re.compile(r"\s*(?P<all>(?P<first>\w+\s*,\s*)[\[(](?P<names>[\w\s,]+)[\])]\s*=\s*(?P<value>[^#\n]*[^#\s]))"),
)
"""Statements that name several values in brackets."""


def flowing(text: str, mistake: Diagnostic) -> Iterator[list[Change]]:
    """A statement of what flows under a name that the file gives to nothing, without that name."""
    assert mistake.at is not None
    first, last = line_of(text, mistake.at.span.start)
    if last - first > NEAR:
        return
    returned = _RETURNED.fullmatch(text, first, last)
    if returned is not None and not _is_declared(text[:first], returned[1]):
        yield [(first, last, "")]
    for pattern in (_CHANGED, _ASSIGNED, _NAMING, _BARE):
        said = pattern.match(text, first, last)
        if said is not None:
            yield from _without_name(text, said, (said[2],) if pattern in (_CHANGED, _ASSIGNED) else TENSORS)


def _without_name(text: str, said: re.Match[str], names: tuple[str, ...]) -> Iterator[list[Change]]:
    """The value of a statement with `it` for the one of these names in it that is given to nothing."""
    sign = said[3] if said.re is _CHANGED else ""
    read = said[1] if sign else said["value"]
    used = [n for n in names if re.search(rf"(?<![\w.\"']){n}\b(?!\s*(?:=(?!=)|\())", read) or (sign and n == said[2])]
    if len(used) != 1 or _is_declared(text[: said.start(1)], used[0]):
        return
    start, end = said.span("value")
    code = _as_it(_changed(text, start, end), used[0])
    plain = _NUMBERED.sub(r"\1", code) if "self." in said["value"] else code  # `self.bn1` is a `bn`
    first = start if said.re is _NAMING else said.start(1)
    yield from ([(first, end, _after_it(sign, way))] for way in dict.fromkeys((code, plain)))


def _as_it(code: str, name: str) -> str:
    """Code with `it` for a name, but in texts and where it names an argument."""
    word = re.compile(rf"(\"[^\"]*\"|'[^']*')|(?<![\w.]){name}\b(?!\s*=(?!=))")
    return word.sub(lambda found: found[1] or "it", code)


def _after_it(sign: str, code: str) -> str:
    """The value that flows, and another one behind an operator; without one, what is done to it."""
    if not sign:
        return _BEGUN.sub("", code, count=1) or "it"
    return f"it {sign} ({code})" if " " in code else f"it {sign} {code}"


def _changed(text: str, start: int, end: int) -> str:
    """A part of a line with its calls of elsewhere as they are written here."""
    parts = next(part_of_tensor(text, start), []) if "[" in text[start:end] else []
    for a, b, new in sorted(parts or whole_line(text, start), reverse=True):
        if start <= a and b <= end:
            text, end = text[:a] + new + text[b:], end + len(new) - (b - a)
    return text[start:end]


def _is_declared(before: str, name: str) -> bool:
    """Whether a text gives a name to something; a statement that changes what nothing is called gives it to none."""
    own = re.escape(name)
    given = rf"\binput\s+{own}\b|\bas\s+{own}\b|\bfor\b[^\n]*\b{own}\b[^\n]*\bin\b|[(,]\s*{own}\s*[,)=]"
    if re.search(given, before):
        return True
    stated = re.finditer(rf"^[^\S\n]*(?:share\s+|(?:\w+,\s*)+)?{own}(?:\s*,\s*\w+)*\s*=(?!=)([^\n]*)", before, re.M)
    return any(not re.search(rf"(?<![\w.]){own}\b", statement[1]) for statement in stated)


def unpacked(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """`value as [a, b]` and `(a, b) = value`: several names stand before the value, without brackets."""
    for pattern in _BRACKETED:
        match = pattern.match(text, first, last)
        if match is not None:
            names = match.groupdict().get("first", "") + match["names"]
            said = f"{names} = {match['value']}"
            start, end = match.span("all")
            yield [(start, end, said)]
            calling = next((c for c in calls(said) if c.arguments is not None), None)
            for a, b, way in ways(said, calling) if calling is not None else ():
                value = (said[:a] + way + said[b:]).removeprefix(f"{names} = ")
                unnamed = [n for n in TENSORS if not _is_declared(text[:first], n)]
                for code in dict.fromkeys((value, *(_as_it(value, n) for n in unnamed))):
                    yield [(start, end, f"{names} = {_BEGUN.sub('', code, count=1)}")]
