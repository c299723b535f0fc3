"""Doubt about what was meant: a fix after which nothing is wrong may still say something else."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.fixes.calls import Call
from netdsl.fixes.proof import UNKNOWN
from netdsl.fixes.quoted import Change
from netdsl.ops import REGISTRY

_BRACKETS = ("(", ")", "[", "]", "{", "}")
SAID = 3
"""Letters of a part of a name that says something."""

NEEDLESS = ("layer", "block", "module", "act", "activation", "loss", "optimizer", "schedule", "the")
"""Parts of names that say nothing more than what they are."""

_COMPUTED = re.compile(r"\s*output\s+\w+\s*[-+*/@](?!>)")
_RANGED = re.compile(r"\s*vary\s+[\w.]+\s+from\b")
_OPERATED = re.compile(r" [-+*/@] ")
_EQUAL = re.compile(r"(?:did you mean|write|use|it is(?: called| written)?|an? [\w ]+ is(?: called)?) `([^`]+)`")
_OF_FIELD = re.compile(r"`[\w.]+` takes ")


def is_doubtful(found: tuple[Diagnostic, ...], edits: tuple[Edit, ...]) -> bool:
    """Whether edits take out a bracket whose other one may be missing instead: the head of a body, or what an operator
    is to take; change an output of which the first word may be its name or a value; or take out a layer of two alike,
    between which an arrow may be missing; or name the values of a range of which only the ends are told."""
    return any(
        _begins(_COMPUTED, edit) or _begins(_RANGED, edit) or _drops_layer(edit) or _takes_bracket(edit, len(found) > 1)
        for edit in edits
    )


def drops_a_part(mistake: Diagnostic, hint: str, edits: tuple[Edit, ...]) -> bool:
    """Whether a guess of what a layer or a component means leaves a part of it out: `SwiGLU` is no `glu`."""
    if mistake.code not in UNKNOWN or not hint.startswith("did you mean") or len(edits) != 1:
        return False
    typed, meant = (word.lower().replace("_", "") for word in (edits[0].at.text, edits[0].text))
    rest = re.sub(r"[123]d", "", typed.replace(meant, "", 1))
    return meant in typed and len(rest) >= SAID and rest not in NEEDLESS


def _begins(said: re.Pattern[str], edit: Edit) -> bool:
    return said.match(edit.at.source.line(edit.at.line)) is not None


def _drops_layer(edit: Edit) -> bool:
    words = edit.at.text.split()
    return len(words) == 2 and words[0] == words[1] == edit.text.strip() and words[0] in REGISTRY


def _takes_bracket(edit: Edit, beside_others: bool) -> bool:
    line, mark = edit.at.source.line(edit.at.line), edit.at.text
    if edit.text or mark not in _BRACKETS:
        return False
    if mark in "{}":
        return beside_others
    return line.rstrip().endswith(("[", "(")) or ("->" in line and _OPERATED.search(line) is not None)


def has_two_readings(hint: str) -> bool:
    """Whether a hint tells what PyTorch means by a call and what it would mean here, or only what may be meant: one
    word of several, a share in percent, one of the values that a field takes."""
    return (
        "` or `" in hint
        or _OF_FIELD.match(hint) is not None
        or hint.endswith(" percent")
        or "is inferred here; " in hint
        or hint.startswith(("it may mean", "usual is", "a number says how much"))
    )


def meant(mistake: Diagnostic, hint: Hint, changes: Iterable[list[Change]]) -> Iterable[list[Change]]:
    """Of changes to code that a hint quotes, for an unknown name those that write what it is said to be, and not what
    could be used beside it or instead."""
    if mistake.code != "unknown-name":
        return changes
    said = _EQUAL.match(hint.message)
    return () if said is None else (c for c in changes if any(said[1] in new for _, _, new in c))


def is_sure(changes: list[Change], code: str) -> bool:
    """Whether changes of a line keep what it says, and make a switch only of what lacks a value."""
    if code != "missing-argument" and any(new.endswith("=true") for _, _, new in changes):
        return False
    return any(new or end - start <= 2 for start, end, new in changes)


def keeps(call: Call, mistake: Diagnostic, code: str) -> bool:
    """Whether code in the place of a layer's call keeps the word that means nothing there, which was to say something,
    and the axes that it was given."""
    if code.endswith("gap") and call.name.rpartition(".")[2] == "mean":
        return (
            re.search(r"\d", "".join(a.text for a in call.given)) is not None
        )  # without axes it is one number elsewhere
    if mistake.at is None:
        return True
    start, word = mistake.at.span.start, mistake.at.text
    is_lost = call.start < start and word not in code
    is_translated = any(a.name and a.start <= start < a.end and f"{a.name}=" in code for a in call.given)
    return is_translated or not (is_lost and mistake.code in UNKNOWN and call.name in REGISTRY)
