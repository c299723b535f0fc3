"""Migration from version 1 of the language: the old meaning of a text that is an error now, and its new spelling.

Version 1 took the first two arguments of every op by position (words too), numbered labels of one name, put a `_`
behind labels that `nn.Module` has taken, and had fewer words of its own. Each rewriting is made and the text checked
before it is offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.fixes.calls import Call, calls
from netdsl.fixes.proof import Check, edited
from netdsl.ops import REGISTRY
from netdsl.source import Place, Source, Span

WORDS = frozenset(("as", "from", "import"))
"""Words of the language that were names in version 1."""

CHANGED = frozenset(("too-many-arguments", "unknown-name", "duplicate-name", "reserved-name"))
"""What version 1 understood may be one of these mistakes today; behind one in a line there may be others."""

POSITIONAL = 2
"""How many arguments of an op version 1 took by position."""

MOST = 100
"""How many places of one text are rewritten."""

_PROPOSED = re.compile(r"`([A-Za-z_]\w*)`$")
_SKIPPED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*|^ *from\b[^\n]*\bimport\b *(?:\([^)]*\)|[^\n]*)", re.MULTILINE)


def listed(source: Source, found: tuple[Diagnostic, ...], check: Check) -> tuple[Diagnostic, ...]:
    """The same mistakes; those that version 1 understood say first how that is written today."""
    return tuple([_explained(source, found, mistake, check) for mistake in found])


def modernised(source: Source, check: Check) -> tuple[str, int]:
    """The text with all that only version 1 understood as it is written today, and how many places that were."""
    for count in range(MOST):
        found = check(source)
        edits = next(filter(None, (_edits(source, found, mistake, check) for mistake in found)), ())
        if not edits:
            return source.text, count
        source = Source(edited(source.text, edits), source.name)
    return source.text, MOST


def _explained(source: Source, found: tuple[Diagnostic, ...], mistake: Diagnostic, check: Check) -> Diagnostic:
    edits = _edits(source, found, mistake, check)
    if not edits:
        return mistake
    after, line = Source(edited(source.text, edits)), edits[0].at.line
    hint = Hint(f"version 1 understood `{after.line(line).strip()}`", edits)
    return replace(mistake, hints=(hint, *mistake.hints))


def _edits(source: Source, found: tuple[Diagnostic, ...], mistake: Diagnostic, check: Check) -> tuple[Edit, ...]:
    """The edits that say today what version 1 understood; none where it did not, or where they do not fix."""
    at = mistake.at
    if at is None or at.source.name != source.name or mistake.severity != "error":
        return ()
    if mistake.code == "syntax" and at.text in WORDS:
        edits = tuple(_renamed(source, at.text))
        return edits if _reads(source, found, edits, check) else ()
    if mistake.code in ("too-many-arguments", "unknown-name"):
        edits = tuple(_named(source, at))
    elif mistake.code in CHANGED:
        edits = tuple(_relabelled(source, mistake, at))
    else:
        return ()
    return edits if edits and _mends(source, found, mistake, edits, check) else ()


def _mends(
    source: Source, found: tuple[Diagnostic, ...], mistake: Diagnostic, edits: tuple[Edit, ...], check: Check
) -> bool:
    """Whether edits take away a mistake at its place; new ones behind it may only be of what changed too."""
    after = [d for d in check(Source(edited(source.text, edits), source.name)) if d.severity == "error"]
    assert mistake.at is not None
    start = _shifted(mistake.at.span.start, edits)
    still = any(d.code == mistake.code and d.at is not None and d.at.span.start == start for d in after)
    known = {(d.code, d.message) for d in found}
    return not still and all(d.code in CHANGED or (d.code, d.message) in known for d in after)


def _shifted(offset: int, edits: tuple[Edit, ...]) -> int:
    """Where an offset of a text lies after edits."""
    before = [e for e in edits if e.at.span.start <= offset]
    return offset + sum(len(e.text) - (e.at.span.end - e.at.span.start) for e in before)


def _reads(source: Source, found: tuple[Diagnostic, ...], edits: tuple[Edit, ...], check: Check) -> bool:
    """Whether a text is read further with these edits; what is wrong with what it says may show only then."""
    after = [d.code for d in check(Source(edited(source.text, edits), source.name))]
    return after.count("syntax") < sum(d.code == "syntax" for d in found) and "unknown-name" not in after


def _renamed(source: Source, word: str) -> Iterator[Edit]:
    """A word that has become the language's, wherever it is a name."""
    skipped = [m.span() for m in _SKIPPED.finditer(source.text)]
    for match in re.finditer(rf"(?<![\w.]){word}\b", source.text):
        if not any(a <= match.start() < b for a, b in skipped):
            yield Edit(Place(source, Span(*match.span())), f"{word}_")


def _named(source: Source, at: Place) -> Iterator[Edit]:
    """The names of the arguments of an op that version 1 took by position, from the one that is refused on."""
    for call in calls(source.text):
        given = [a for a in call.given if not a.name]
        refused = next((i for i, a in enumerate(given) if a.start == at.span.start), None)
        if call.name in REGISTRY and refused is not None and len(given[refused:]) <= len(_fields(call)):
            for argument, field in zip(given[refused:], _fields(call), strict=False):
                yield Edit(Place(source, Span(argument.start, argument.start)), f"{field}=")


def _fields(call: Call) -> list[str]:
    """The names that version 1 had for those arguments of an op that are not taken by position today."""
    op = REGISTRY[call.name]
    named = {a.name for a in call.given}
    today = sum(f not in named for f in op.__struct_fields__[: op.positional])
    return [f for f in op.__struct_fields__ if f not in named][today:POSITIONAL]


def _relabelled(source: Source, mistake: Diagnostic, at: Place) -> Iterator[Edit]:
    """Another name for a label, as the mistake proposes it."""
    proposed = _PROPOSED.search(mistake.hint or "")
    if proposed and source.text[at.span.end :].lstrip(" ").startswith(":"):
        yield Edit(at, proposed[1])
