"""`# netdsl: allow CODE: reason` on a line, or above it: a warning that the author has seen and means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from netdsl.checks.lint.subject import delete_lines, warning
from netdsl.diagnostics.diagnostic import Diagnostic, did_you_mean
from netdsl.elaborate.modules import Module
from netdsl.source import Place
from netdsl.syntax.comments import ALLOW

_FORM = re.compile(ALLOW + r"\s+(?P<code>[\w-]+)\s*(?::\s*(?P<reason>.*))?$")


class Allowance(Struct, frozen=True, eq=False):
    """A comment that silences a warning. `lines`: the line it refers to."""

    code: str
    reason: str
    line: int
    at: Place


def silenced(module: Module, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The diagnostics but for the warnings that a comment allows, and a warning for each comment that has no reason or
    silences nothing."""
    allowances = list(_allowances(module))
    idle = set(allowances)
    at_lines = _at_lines(allowances)
    broken = False
    for diagnostic in found:
        by = _covering(at_lines, diagnostic, module)
        idle.difference_update(by)
        broken = broken or diagnostic.severity == "error"
        if not by:
            yield diagnostic
    for allowance in allowances:
        if allowance in idle:
            if not broken:  # else what it allows may not have been looked for
                yield _idle(allowance)
        elif not allowance.reason:
            message = f"this allows `{allowance.code}` without a reason"
            hint = f"write why it is meant: `# netdsl: allow {allowance.code}: the paper does so`"
            yield warning("allow-without-reason", message, allowance.at, hint)


def unsilenced(found: Iterable[Diagnostic], modules: Iterable[Module]) -> tuple[Diagnostic, ...]:
    """The diagnostics but for the warnings that comments of these files allow; of the comments nothing is said."""
    allowances = [(_at_lines(_allowances(module)), module) for module in dict.fromkeys(modules)]
    return tuple(d for d in found if not any(_covering(at_lines, d, module) for at_lines, module in allowances))


AtLines = dict[tuple[str, int], list[Allowance]]
"""Allowances by their code and the line they refer to."""


def _at_lines(allowances: Iterable[Allowance]) -> AtLines:
    found: AtLines = {}
    for allowance in allowances:
        found.setdefault((allowance.code, allowance.line), []).append(allowance)
    return found


def _covering(allowances: AtLines, found: Diagnostic, module: Module) -> list[Allowance]:
    """The allowances of a file that silence a diagnostic."""
    at = found.at
    if not allowances or at is None or at.source is not module.source or found.severity != "warning":
        return []
    return allowances.get((found.code, at.line), [])


def _idle(allowance: Allowance) -> Diagnostic:
    from netdsl.diagnostics.codes import TABLE

    if allowance.code not in TABLE:
        message = f"there is no warning `{allowance.code}`"
        return warning("unused-allow", message, allowance.at, did_you_mean(allowance.code, TABLE))
    message = f"nothing here gives the warning `{allowance.code}`"
    return warning("unused-allow", message, allowance.at, delete_lines("delete the comment", allowance.at))


def _allowances(module: Module) -> Iterator[Allowance]:
    """The comments of a file that allow something; one on a line of its own refers to the next statement."""
    place = module.source.position
    matched = [(c, m) for c in module.file.comments if (m := _FORM.match(c.text)) is not None]
    meant = _next_statements(module) if matched else {}
    for comment, match in matched:
        line = place(comment.at.start)[0]
        yield Allowance(match["code"], (match["reason"] or "").strip(), meant.get(line, line), module.place(comment.at))


def _next_statements(module: Module) -> dict[int, int]:
    """The line of the next statement, by that of each comment on a line of its own. From the last one on: each leads to
    the one below it."""
    source, found = module.source, dict[int, int]()
    for comment in reversed(module.file.comments):
        if comment.own_line:
            above = line = source.position(comment.at.start)[0]
            line += 1
            while line < len(source.line_starts) and source.line(line).lstrip(" \t")[:1] in ("", "#"):
                line = found.get(line, line + 1)
            found[above] = line
    return found
