"""The calls at a mistake: which of them are of elsewhere, and what is said of those."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import fields

from netdsl.diagnostics.diagnostic import Diagnostic, Hint, did_you_mean
from netdsl.fixes.calls import Call, closed, near
from netdsl.fixes.habits import EXACT, HABITS, WORDS, is_needless, words_for
from netdsl.fixes.proof import UNKNOWN
from netdsl.fixes.quoted import Change
from netdsl.fixes.written import as_typed
from netdsl.fixes.written import call as written
from netdsl.loader import beside, read_import, zoo
from netdsl.ops import REGISTRY
from netdsl.source import Source

FOREIGN = EXACT.keys() | WORDS.keys()
"""Names of elsewhere, whatever they are given."""

OURS = (".input", ".output")
"""How calls end that are none: the words of a spec behind the name of a net."""

_NET = re.compile(r"^net\s+(\w+)", re.MULTILINE)


def with_words(source: Source, mistake: Diagnostic, kept: list[Hint]) -> list[Hint]:
    """Hints from the table of habits for a name of another library, before all others; the specs that may be meant."""
    if mistake.code == "unknown-module" and mistake.at is not None:
        meant = _spec(mistake.at.text, (*beside(source.name), *zoo()))
        return [Hint(meant), *kept] if meant else kept
    for call in near_calls(source.text, mistake):
        if (mistake.hint or "").startswith("it is called"):
            break
        words = _words(mistake, call)
        if words is not None:
            return [Hint(words)]
    imported = _of_zoo(source, mistake)
    return kept if imported is None else [Hint(imported)]


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
    return (words_for(name) if _begins(mistake, call) else None) or _of_argument(mistake, call)


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
    return any(
        "." in c.name or c.name in FOREIGN or (c.name in HABITS and c.name not in REGISTRY) or _is_told_so(c)
        for c in near_calls(text, mistake)
    )


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
