"""Arguments of a component that are fields of the recipe: taken out of the call, on a line of their own."""

from __future__ import annotations

import re

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.calls import Argument, Call, near
from netdsl.fixes.quoted import Change
from netdsl.fixes.written import as_typed, call
from netdsl.recipe.aliases import OWN_FIELD

_CODE = re.compile(re.escape(OWN_FIELD).replace(r"\{\}", "(.*)"))
_OPEN = re.compile(r"(\w+)( ?= ?)\.\.\.")
_FIELD = re.compile(r"[^\S\n]*(?=\w+[^\S\n]*=)")


def moved(text: str, mistake: Diagnostic) -> list[Change]:
    """The changes that a hint of a field of its own tells of, with the values that the call gives."""
    code = _CODE.fullmatch(mistake.hint or "")
    if mistake.at is None or mistake.code != "unknown-argument" or code is None:
        return []
    at = mistake.at.span.start
    around = [c for c in near(text, at, mistake.at.span.end, "\n\n") if any(a.start <= at < a.end for a in c.given)]
    line = _statement(text, around[-1].start) if around else None
    return _moved(around[-1], at, code[1], line) if line is not None else []


def _statement(text: str, at: int) -> re.Match[str] | None:
    """The indentation of the field that an offset lies in: of the last line before it that begins one."""
    starts = [0, *(m.end() for m in re.finditer("\n", text[:at]))]
    return next((m for start in reversed(starts) if (m := _FIELD.match(text, start))), None)


def _moved(around: Call, at: int, code: str, line: re.Match[str]) -> list[Change]:
    """The call without the arguments that the code names, and the code with their values before the line."""
    blamed = next(a for a in around.given if a.start <= at < a.end)
    named = {a.name: a for a in around.given}
    used: list[Argument] = []

    def filled(place: re.Match[str]) -> str:
        argument = blamed if place[2] == " = " else named.get(place[1])
        if argument is None:
            return place[0]
        used.append(argument)
        return f"{place[1]}{place[2]}{argument.text}"

    said = _OPEN.sub(filled, code)
    if "..." in said:
        return []
    kept = [as_typed(a) for a in around.given if a not in used]
    return [(line.start(), line.start(), f"{line[0]}{said}\n"), (around.start, around.end, call(around.name, kept))]
