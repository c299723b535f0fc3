"""Hints that fix: what a mistake could have meant is tried, and what fixes it is offered as edits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

from msgspec.structs import replace

from netdsl.budget import paid
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.fixes.calls import closed, parts
from netdsl.fixes.doubt import drops_a_part, has_two_readings, is_doubtful, is_sure, keeps, meant
from netdsl.fixes.entries import completed
from netdsl.fixes.flow import flowing, unpacked
from netdsl.fixes.lacking import lacking
from netdsl.fixes.moved import moved
from netdsl.fixes.nearby import is_foreign, near_calls, shortened, with_words
from netdsl.fixes.operators import among
from netdsl.fixes.places import bracketed, labelled, methods, named, projected, relabelled, shared
from netdsl.fixes.proof import UNKNOWN, Check, edited, mends, uses
from netdsl.fixes.quoted import Candidate, Change, quoted, value_changes
from netdsl.fixes.rewrite import chained
from netdsl.fixes.shapes import of_shapes
from netdsl.fixes.slips import line_of, other_slips, part_of_tensor, slips
from netdsl.fixes.spelt import spelt
from netdsl.fixes.ways import ways, whole_line
from netdsl.loader import read_import
from netdsl.ops import REGISTRY
from netdsl.source import Place, Source, Span
from netdsl.syntax.words import words as words_of

TRIED = 60
"""How many changes are tried for one mistake."""

MISTAKES = 50
"""For how many mistakes of one file fixes are sought."""

WORK = 1_500_000
"""Units of work after which no more changes of a file are tried: a second or two. It is no time, so that a busy machine
finds the same fixes."""

CHECK = 3_000
"""Units of work that the check of a text takes beside what is paid for."""

CHARACTER = 6
"""Units of work that reading a character takes."""

LARGEST = 64 * 1024
"""Characters of a text that is checked again and again."""

_FIELD = re.compile(r"\w+\s*=\s*([^#\n]*[^#\s])")
_LISTED = re.compile(r"^[\[(]\s*(.*?)\s*[\])]$")
_STAR = re.compile(r"\s*(?:from\s+(\w+)\s+import\s*\*|import\s+(\w+)[^\S\n]*$)", re.MULTILINE)
_DECLARED = re.compile(r"^(?:net|block)\s+(\w+)|^([A-Z]\w*)(?=\s*=)", re.MULTILINE)
_NAMED = re.compile(r"[A-Za-z_]\w*\s*=(?!=)\s*")
_WORD = re.compile(r"\s*([A-Za-z_]\w*)")
_QUOTED_WORD = re.compile(r"`([A-Za-z_]\w*)`")

OF_NAMES = ("duplicate-name", "endless-recursion")
"""Mistakes of what a name stands for: another spelling of it only hides them."""

OF_WORDS = ("syntax", *UNKNOWN, "unknown-field", "unknown-argument", "not-a-list")
"""Mistakes whose hints are not made for the numbers of their line: those that they quote are an example's."""

OF_THE_WORD = ("it is called `", "write `")
"""How a hint begins that says what is written here, with all that belongs to it."""

INSTEAD = ("use `", "did you mean")
"""How a hint begins that names what belongs in the place of the marked words."""

SAID_LINES = 3
"""How many lines of a fix its hint shows."""

GUESSES = ("did you mean", "an argument is declared by")
"""How hints begin that only guess: where a fix says something else, they are wrong."""

NAMED = "it is called `"
"""How a hint begins that says less than a fix."""

UNSAFE = frozenset(("randn", "rand", "zeros", "ones", "Parameter", "split", "Concatenate", "concatenate"))


class Limit:
    """The work that may still go into trying changes."""

    def __init__(self) -> None:
        self.left = WORK

    @property
    def is_spent(self) -> bool:
        return self.left <= 0

    def over(self, check: Check) -> Check:
        """A check whose work is paid from what is left."""

        def counted(source: Source) -> tuple[Diagnostic, ...]:
            before = paid()
            found = check(source)
            self.left -= CHECK + CHARACTER * len(source.text) + paid() - before
            return found

        return counted


def suggest(
    source: Source, found: tuple[Diagnostic, ...], check: Check, first_only: bool = False, unsafe: bool = True
) -> tuple[Diagnostic, ...]:
    """The same diagnostics; the first hint of each has edits where a change is verified to fix it.

    `first_only` ends at the first that can be fixed, safely where `unsafe` is not allowed.
    """
    if is_beyond(source, found):
        return untried(found)
    limit = Limit()
    told: list[Diagnostic] = []
    for mistake in found[:MISTAKES]:
        told.append(suggested(source, found, mistake, check, limit))
        if first_only and any(h.edits and (h.safe or unsafe) for h in told[-1].hints):
            break
    return (*told, *found[len(told) :])


def untried(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """The same diagnostics with hints in words alone."""
    return tuple([replace(d, hints=tuple([replace(h, edits=()) for h in d.hints])) for d in found])


def is_beyond(source: Source, found: tuple[Diagnostic, ...]) -> bool:
    """Whether no fix is sought: the text is too large to be read, or takes too much work to be checked again."""
    return len(source.text) > LARGEST or any(d.code == "too-much-work" for d in found)


def suggested(
    source: Source, found: tuple[Diagnostic, ...], mistake: Diagnostic, check: Check, limit: Limit
) -> Diagnostic:
    """One mistake with edits in its first hint, if a change is verified to fix it within the limit. The text is not
    one that `is_beyond`."""
    at = mistake.at
    if at is None or at.source.name != source.name:
        return mistake
    own = _own(source, mistake)
    kept = with_words(source, mistake, [replace(h, edits=()) for h in mistake.hints])
    mistake = replace(mistake, hints=tuple(kept))
    tried = ((words, _edits(source, changes), safe) for words, changes, safe in _candidates(source.text, mistake))
    for words, edits, safe in islice(chain(own, tried), TRIED):
        if limit.is_spent:
            break
        if edits and mends(source, found, mistake, edits, limit.over(check)):
            sure = safe and not is_doubtful(found, edits) and not drops_a_part(mistake, words, edits)
            return replace(mistake, hints=_offered(source, edits, words, sure, kept))
    return replace(mistake, hints=tuple(kept))


def _own(source: Source, mistake: Diagnostic) -> list[tuple[str, tuple[Edit, ...], bool]]:
    """The edits that a mistake comes with, and before them those of a statement elsewhere which it follows from."""
    told = [(h.message, h.edits, h.safe) for h in mistake.hints if h.edits]
    return [(words, _edits(source, changes), True) for words, changes in relabelled(source.text, mistake)] + told


def _edits(source: Source, changes: list[Change]) -> tuple[Edit, ...]:
    return tuple([Edit(Place(source, Span(a, b)), text.replace("\n", source.newline)) for a, b, text in changes])


def _offered(source: Source, edits: tuple[Edit, ...], words: str, safe: bool, kept: list[Hint]) -> tuple[Hint, ...]:
    """The hints with the edits in the one that says them, or in a new one before them."""
    if any(h.message == words for h in kept):
        return tuple([replace(h, edits=edits, safe=safe) if h.message == words else h for h in kept])
    guesses, said = (*GUESSES, NAMED) if safe else GUESSES, words or _said(source, edits)
    again = (said, said.replace("write", "it is written", 1))
    rest = [h for h in kept if h.message not in again and not h.message.startswith(guesses)]
    return (Hint(said, edits, safe), *rest)


def _said(source: Source, edits: tuple[Edit, ...]) -> str:
    """Describe edits in words."""
    lines = {edit.at.line for edit in edits}
    if len(lines) > 1 or "\n" in "".join(e.text for e in edits):
        return _said_lines(source, edits)
    new, old = edits[0].text.strip(), edits[0].at.text.strip()
    if len(edits) > 1 or (new and not (old and _tells(new))):
        return f"write `{Source(edited(source.text, edits)).line(lines.pop()).strip()}`"
    if new:
        return f"write `{new}`"
    return f"leave out `{old}`" if old and "\n" not in old else "it can be left out"


def _said_lines(source: Source, edits: tuple[Edit, ...]) -> str:
    """Describe edits that put a few lines in the place of one."""
    before, after = source.text.splitlines(), edited(source.text, edits).splitlines()
    first = edits[0].at.line - 1
    new = [line.strip() for line in after[first : len(after) - len(before) + first + 1]]
    if (
        not 1 < len(new) <= SAID_LINES
        or before[first + 1 :] != after[first + len(new) :]
        or not all(line.strip("}") for line in new)
    ):
        return "it can be rewritten"
    return f"write {', then '.join(f'`{line}`' for line in new)} on lines of their own"


def _tells(new: str) -> bool:
    """Whether a piece of new text says enough without its line."""
    return (len(new) > 2 or new in REGISTRY) and not new.endswith((":", "="))


def _candidates(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """Changes to try: the words of the hint they do ("" for none), and whether the meaning is not in doubt."""
    assert mistake.at is not None
    seen: set[tuple[Change, ...]] = set()
    habits: Iterable[Candidate] = _habits(text, mistake)
    hints: Iterable[Candidate] = chain(_filled(text, mistake), _at_uses(text, mistake), _told(text, mistake))
    if mistake.code in OF_NAMES:
        habits = ()
    first, second = (habits, hints) if is_foreign(text, mistake) else (hints, habits)
    of_values = chain(
        [(mistake.hint or "", moved(text, mistake), True)],
        (("", changes, True) for changes in chain(flowing(text, mistake), projected(text, mistake))),
        of_shapes(text, mistake),
        labelled(text, mistake),
        lacking(text, mistake),
        completed(text, mistake),
        ((words, changes, True) for words, changes in bracketed(text, mistake)),
        (("", changes, True) for changes in chain(named(text, mistake), shared(text, mistake))),
    )
    sources = [hints] if mistake.severity == "warning" else [of_values, first, second, _others(text, mistake)]
    for words, changes, safe in chain.from_iterable(sources):
        key = tuple(changes)
        if key not in seen:
            seen.add(key)
            yield words, changes, safe


def _told(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """The candidates that the hints quote. Of a warning, only what to use in the place of the marked words: other hints
    tell what could be done elsewhere."""
    assert mistake.at is not None
    line = text[slice(*line_of(text, mistake.at.span.start))] if mistake.code in OF_WORDS else None
    for hint in [h for h in mistake.hints if mistake.severity == "error" or h.message.startswith(INSTEAD)]:
        own = None if hint.message.startswith(OF_THE_WORD) else line
        changes = quoted(text, mistake.at.span.start, mistake.at.span.end, hint.message, own)
        if mistake.code == "not-a-list":
            changes = ([(a, b, among(text, a, b, new)) for a, b, new in c] for c in changes)
        yield from ((hint.message, c, not has_two_readings(hint.message)) for c in meant(mistake, hint, changes))


def _at_uses(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """The value that a hint gives to an argument of a layer, where the block around that is given one of this name."""
    hint = mistake.hint or ""
    for use in uses(mistake):
        single = [changes[0] for changes in quoted(text, use.span.start, use.span.end, hint) if len(changes) == 1]
        yield from ((hint, [c], True) for c in single if text.startswith(c[2].partition("=")[0] + "=", c[0]))


def _filled(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """A field of a recipe that is an argument of another: `optimizer = adamw(lr=...)` with the value that it has."""
    assert mistake.at is not None
    start = mistake.at.span.start
    field = _FIELD.match(text, start, line_of(text, start)[1]) if mistake.code == "unknown-field" else None
    if field is not None:
        for code in re.findall(r"`(\w+ [^`]*\.\.\.[^`]*)`", mistake.hint or ""):
            value = field[1] if "=" in code.partition("...")[0] else _LISTED.sub(r"\1", field[1])
            yield mistake.hint or "", [(start, field.end(), code.replace("...", value))], True
        for code in re.findall(r"^it is written `(\w+ = [^`.]*)`$", mistake.hint or ""):
            yield mistake.hint or "", [(start, field.end(), code)], False


def _habits(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """Calls of elsewhere as they are written here: the one at the mark, and all of the line."""
    assert mistake.at is not None
    for call in near_calls(text, mistake):
        safe = call.name.rpartition(".")[2] not in UNSAFE
        yield from (("", [change], safe and keeps(call, mistake, change[2])) for change in ways(text, call))
    yield "", whole_line(text, mistake.at.span.start), True
    yield "", methods(text, *line_of(text, mistake.at.span.start)), True


def _others(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """Other ways to write the marked value, slips of the line, and the argument left out."""
    assert mistake.at is not None
    start, end = mistake.at.span.start, mistake.at.span.end
    named = _NAMED.match(text, start, end) if mistake.code != "syntax" else None
    begin = named.end() if named else start
    yield from (("", changes, True) for changes in spelt(text, *line_of(text, start), mistake))
    yield from (("", [(begin, end, value)], True) for value in _values(text, begin, end, mistake.code))
    if mistake.code == "syntax":
        yield from _first_word(text, mistake)
        yield from _imported(text, mistake)
        yield from (("", changes, True) for changes in unpacked(text, *line_of(text, start)))
    of_line = slips(text, start, end) if mistake.code == "syntax" else other_slips(text, start)
    for changes in chain(part_of_tensor(text, start), of_line):
        yield "", changes, is_sure(changes, mistake.code)
    if mistake.code != "syntax":
        yield from _percent(mistake)
        yield from zip(repeat(""), shortened(text, mistake), repeat(False))


def _imported(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """`from resnet import *`, or `import resnet`, with the names that are used."""
    assert mistake.at is not None
    line = _STAR.match(text, line_of(text, mistake.at.span.start)[0])
    module = (line[1] or line[2]) if line is not None else ""
    other = read_import(module, mistake.at.source) if line is not None else None
    if line is not None and other is not None:
        declared = ["".join(names) for names in _DECLARED.findall(other.text)]
        used = words_of(text[: line.start()] + text[line.end() :])
        names = ", ".join(n for n in declared if n in used)
        yield "", [(line.start(), line.end(), f"from {module} import {names}")] if names else [], True


def _values(text: str, start: int, end: int, code: str) -> Iterator[str]:
    """Other ways to write a value: a list as components one after another, and what stands in no name's place."""
    if code in OF_NAMES or code == "operator-types":  # a tensor that is no condition is none in quotes either
        return
    if code == "not-a-list":
        yield f"range({text[start:end]})"
    if text[start : start + 1] in ("[", "(") and closed(text, start) == end - 1:
        items = [text[a:b].strip() for a, b in parts(text, start + 1, end - 1, ",")]
        if "it" not in items:  # values side by side are none after another
            yield chained(items)
            yield " | ".join(items)
    if code != "unknown-name":
        yield from value_changes(text, start, end)


def _percent(mistake: Diagnostic) -> Iterator[Candidate]:
    """A share that is said in percent: `dropout(50)`."""
    said = re.search(r"(?<![\w.])[1-9]\d$", mistake.at.text) if mistake.at and mistake.code == "argument-type" else None
    if said and mistake.at:
        end = mistake.at.span.end
        yield "", [(end - 2, end, f"{int(said[0]) / 100:g}")], False


def _first_word(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """The word that a line begins with, as a hint spells it."""
    assert mistake.at is not None
    first, last = line_of(text, mistake.at.span.start)
    word = _WORD.match(text, first, last)
    for code in _QUOTED_WORD.findall(mistake.hint or "") if word else ():
        assert word is not None
        yield mistake.hint or "", [(word.start(1), word.end(1), code)], True
