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


def silenced(module: Module, found: Iterable[Diagnostic], known: Iterable[str]) -> Iterator[Diagnostic]:
    """The diagnostics but for the warnings that a comment allows, and a warning for each comment that has no reason or
    silences nothing. `known`: the codes that there are."""
    allowances = list(_allowances(module))
    idle = set(allowances)
    broken = False
    for diagnostic in found:
        by = [a for a in allowances if _covers(a, diagnostic, module)]
        idle.difference_update(by)
        broken = broken or diagnostic.severity == "error"
        if not by:
            yield diagnostic
    for allowance in allowances:
        if allowance in idle:
            if not broken:  # else what it allows may not have been looked for
                yield _idle(allowance, known)
        elif not allowance.reason:
            message = f"this allows `{allowance.code}` without a reason"
            hint = f"write why it is meant: `# netdsl: allow {allowance.code}: the paper does so`"
            yield warning("allow-without-reason", message, allowance.at, hint)


def unsilenced(found: Iterable[Diagnostic], modules: Iterable[Module]) -> tuple[Diagnostic, ...]:
    """The diagnostics but for the warnings that comments of these files allow; of the comments nothing is said."""
    allowances = [(a, module) for module in dict.fromkeys(modules) for a in _allowances(module)]
    return tuple(d for d in found if not any(_covers(a, d, module) for a, module in allowances))


def _covers(allowance: Allowance, found: Diagnostic, module: Module) -> bool:
    at = found.at
    own = found.severity == "warning" and at is not None and at.source is module.source
    return own and found.code == allowance.code and at is not None and at.line == allowance.line


def _idle(allowance: Allowance, known: Iterable[str]) -> Diagnostic:
    known = list(known)
    if allowance.code not in known:
        message = f"there is no warning `{allowance.code}`"
        return warning("unused-allow", message, allowance.at, did_you_mean(allowance.code, known))
    message = f"nothing here gives the warning `{allowance.code}`"
    return warning("unused-allow", message, allowance.at, delete_lines("delete the comment", allowance.at))


def _allowances(module: Module) -> Iterator[Allowance]:
    """The comments of a file that allow something; one on a line of its own refers to the next statement."""
    source = module.source
    for comment in module.file.comments:
        match = _FORM.match(comment.text)
        if match is None:
            continue
        line = source.position(comment.at.start)[0]
        if comment.own_line:
            line += 1
            while line < len(source.line_starts) and source.line(line).lstrip(" \t")[:1] in ("", "#"):
                line += 1
        yield Allowance(match["code"], (match["reason"] or "").strip(), line, module.place(comment.at))
