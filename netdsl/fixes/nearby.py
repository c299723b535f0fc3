"""The calls at a mistake: which of them are of elsewhere, and what is said of those."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import fields

from netdsl.diagnostics.diagnostic import Diagnostic, Hint, did_you_mean
from netdsl.fixes.calls import Call, closed, near
from netdsl.fixes.habits import HABITS, exact, habit_of, is_needless
from netdsl.fixes.proof import UNKNOWN
from netdsl.fixes.quoted import Change
from netdsl.fixes.words import OF_RECIPES, WORDS, words_for
from netdsl.fixes.written import as_typed
from netdsl.fixes.written import call as written
from netdsl.loader import beside, read_import, zoo
from netdsl.ops import REGISTRY
from netdsl.source import Source

OURS = (".input", ".output")
"""How calls end that are none: the words of a spec behind the name of a net."""

_GUESS = re.compile(r"did you mean `(\w+)`")
_NET = re.compile(r"^net\s+(\w+)", re.MULTILINE)


def with_words(source: Source, mistake: Diagnostic, kept: list[Hint]) -> list[Hint]:
    """Hints from the table of habits for a name of another library, before all others; the specs that may be meant."""
    if mistake.code == "unknown-module" and mistake.at is not None:
        meant = _spec(mistake.at.text, (*beside(source.name), *zoo()))
        return [Hint(meant), *kept] if meant else kept
    if _guesses_own(source.text, mistake) or _is_import(source.text, mistake):
        return kept
    for call in _others(source.text, mistake):
        words = _words(mistake, call) or _named_elsewhere(mistake, call)
        if words is not None:
            return [Hint(words)]
    imported = _of_zoo(source, mistake)
    return kept if imported is None else [Hint(imported)]


def _others(text: str, mistake: Diagnostic) -> list[Call]:
    """The calls at a mistake by names that the file gives to nothing of its own."""
    is_named = (mistake.hint or "").startswith("it is called")
    names = [(call, _name(call)) for call in near_calls(text, mistake)]
    return [c for c, name in names if not _declares(text, re.escape(name)) and (not is_named or name in OF_RECIPES)]


def _declares(text: str, name: str) -> bool:
    """Whether a file gives a name to something of its own."""
    own = rf"^(?:block|net)[ \t]+{name}\b|^[ \t]*(?:share[ \t]+)?{name}[ \t]*=(?!=)|^from\b.*\bimport\b.*\b{name}\b"
    return re.search(own, text, re.MULTILINE) is not None


def _name(call: Call) -> str:
    """The name of a call without what it is of."""
    return call.name if call.name.endswith(OURS) else call.name.rpartition(".")[2]


def _spec(module: str, specs: tuple[str, ...]) -> str | None:
    """The spec that is meant by a name, or by the last one of a package's path."""
    last = module.rpartition(".")[2]
    return f"write `{last}`" if last in specs else did_you_mean(module, specs)


def _words(mistake: Diagnostic, call: Call) -> str | None:
    """The words for a call at a mistake, or for the argument in which a name is unknown."""
    name = _name(call)
    if mistake.code == "syntax":
        return WORDS.get(name)
    if mistake.code not in UNKNOWN:
        return None
    is_said = _begins(mistake, call) and (mistake.code != "unknown-word" or name in OF_RECIPES)
    return (words_for(name) if is_said else None) or _of_argument(mistake, call)


def _is_import(text: str, mistake: Diagnostic) -> bool:
    """Whether a mistake is in the names of an import, of which there are those of the other file."""
    at = mistake.at.span.start if mistake.at is not None else 0
    return text.startswith("from", text.rfind("\n", 0, at) + 1)


def _guesses_own(text: str, mistake: Diagnostic) -> bool:
    """Whether a hint guesses that a name which the file itself declares is meant."""
    guess = _GUESS.match(mistake.hint or "")
    return (
        guess is not None
        and re.search(rf"^\s*(?:(?:net|block|share)\s+{guess[1]}\b|{guess[1]}\s*(?:=(?!=)|:))", text, re.MULTILINE)
        is not None
    )


def _named_elsewhere(mistake: Diagnostic, call: Call) -> str | None:
    """The name that a layer of elsewhere has here, as a hint."""
    name = _name(call)
    if mistake.code != "unknown-name" or not _begins(mistake, call):
        return None
    habit, code = habit_of(name), exact(name)
    if code is not None:
        return f"it is written `{code}`"
    return f"it is called `{habit.op}` here" if habit is not None and name not in REGISTRY else None


def _of_argument(mistake: Diagnostic, call: Call) -> str | None:
    """The words of an op for the argument in which a name is unknown."""
    blamed = _blamed(mistake, call) if call.name in REGISTRY else []
    return REGISTRY[call.name].hints.get(call.given[blamed[0]].name) if blamed else None


def _blamed(mistake: Diagnostic, call: Call) -> list[int]:
    """The number of the argument in which a mistake begins."""
    assert mistake.at is not None
    return [i for i, a in enumerate(call.given) if a.start <= mistake.at.span.start < a.end]


def _begins(mistake: Diagnostic, call: Call) -> bool:
    return mistake.at is not None and call.start == mistake.at.span.start


def _of_zoo(source: Source, mistake: Diagnostic) -> str | None:
    """How a net of the zoo is imported, however its name is spelt: `resnet50`; None for another name."""
    is_near = (mistake.hint or "").startswith(("did you mean", "it is called"))
    if mistake.code != "unknown-name" or mistake.at is None or is_near:
        return None
    loose = _loose(mistake.at.text)
    for module in zoo():
        spec = read_import(module, source) if loose.startswith(_loose(module)) else None
        net = next((n for n in _NET.findall(spec.text) if _loose(n) == loose), None) if spec else None
        if net is not None:
            return f"it is a net of the zoo: `from {module} import {net}` at the top, and `{net}` here"
    return None


def _loose(name: str) -> str:
    return name.lower().replace("_", "")


def is_foreign(text: str, mistake: Diagnostic) -> bool:
    """Whether a call of elsewhere stands at a mistake."""
    return any("." in c.name or _is_known_elsewhere(c.name) or _is_told_so(c) for c in near_calls(text, mistake))


def _is_known_elsewhere(name: str) -> bool:
    """Whether a name is one of elsewhere, whatever it is given."""
    return bool(exact(name) or words_for(name) or (name in HABITS and name not in REGISTRY))


def _is_told_so(call: Call) -> bool:
    """Whether a call has arguments that only frameworks of elsewhere take: a width that is inferred, an activation."""
    return any(a.name.startswith("in_") or a.name in ("activation", "act", "kernel_initializer") for a in call.given)


def near_calls(text: str, mistake: Diagnostic) -> list[Call]:
    """The calls of the line that a mistake lies in, touches or marks, the inner ones first."""
    assert mistake.at is not None
    start, end = mistake.at.span.start, mistake.at.span.end
    found = [
        c
        for c in near(text, start, end, "\n")
        if c.start <= start <= (applied_to(text, c) or c.end) or start <= c.start < end
    ]
    return found[::-1]


def applied_to(text: str, call: Call) -> int | None:
    """The end of the tensors that a layer is applied to, as in `Dense(10)(x)`; None where there are none."""
    return closed(text, call.end) if text[call.end : call.end + 1] == "(" else None


def shortened(text: str, mistake: Diagnostic) -> Iterator[list[Change]]:
    """The call around the mark without the argument there; the calls around that would lose more than is wrong."""
    assert mistake.at is not None
    for call in near_calls(text, mistake):
        blamed = [i for i in _blamed(mistake, call) if _says_nothing(mistake, call, call.given[i].name)]
        yield from ([_without(call, i)] for i in blamed)
        if call.start < mistake.at.span.start:
            return


def _says_nothing(mistake: Diagnostic, call: Call, name: str) -> bool:
    """Whether an argument may be left out: not what any other one says, nor one whose value alone is unknown."""
    if mistake.code == "unknown-argument":
        return is_needless(call.name, name)
    own = fields(REGISTRY[call.name]) if mistake.code in UNKNOWN and call.name in REGISTRY else ()
    return all(name != f.name for f in own)


def _without(call: Call, index: int) -> Change:
    """A call with one argument less."""
    kept = [as_typed(a) for i, a in enumerate(call.given) if i != index]
    return call.start, call.end, written(call.name, kept)
