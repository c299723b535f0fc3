"""Diagnostics are values: stages make them, tests assert them, the command line, the editor and the page show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from netdsl.budget import affords_suggestion
from netdsl.source import Place

Severity = Literal["error", "warning", "note"]


class Label(Struct, frozen=True):
    """Words beside the marks under a span of the source."""

    message: str
    at: Place


class Edit(Struct, frozen=True):
    """The text at a place, replaced; an empty place is an insertion."""

    at: Place
    text: str


class Hint(Struct, frozen=True):
    """How to fix a mistake. With `edits` a machine can apply it; `safe` where the meaning is not in doubt."""

    message: str
    edits: tuple[Edit, ...] = ()
    safe: bool = True


class Diagnostic(Struct, frozen=True):
    """One mistake: what is wrong, where, where that came from, and how to fix it.

    `code` names an entry of `netdsl.diagnostics.codes`. `at` is the primary span and `label` the words beside its
    marks; it is None only where there is no text to point at (a missing file). `labels` mark further spans, `notes`
    add facts without a place. `path` is the dotted path of the block instance in which the mistake was found.
    """

    code: str
    message: str
    at: Place | None = None
    labels: tuple[Label, ...] = ()
    hints: tuple[Hint, ...] = ()
    notes: tuple[str, ...] = ()
    path: str = ""
    severity: Severity = "error"
    label: str = ""

    @property
    def hint(self) -> str | None:
        """The words of the first hint."""
        return self.hints[0].message if self.hints else None


class Fault(Exception):  # noqa: N818 - it carries a diagnostic to the statement that records it
    """Carries one diagnostic from where a mistake is found up to the statement that records it.

    Never crosses a stage: every stage turns it into a value.
    """

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def diagnostic(
    code: str,
    message: str,
    at: Place | None = None,
    hint: str | Hint | None = None,
    *labels: Label,
    severity: Severity = "error",
) -> Diagnostic:
    """A diagnostic with at most one hint, given as words or with edits."""
    hints = () if hint is None else (Hint(hint) if isinstance(hint, str) else hint,)
    return Diagnostic(code, message, at, labels, hints, severity=severity)


LONGEST = 600
"""Characters of a message; sizes and names that a spec makes can be longer."""


def shortened(found: Diagnostic) -> Diagnostic:
    """A diagnostic whose words are cut where they are too long to be read."""
    labels = tuple([replace(n, message=_cut(n.message)) for n in found.labels])
    hints = tuple([h if len(h.message) <= LONGEST else Hint(_cut(h.message)) for h in found.hints])
    return replace(found, message=_cut(found.message), labels=labels, hints=hints, notes=tuple(map(_cut, found.notes)))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def fault(code: str, message: str, at: Place | None, hint: str | Hint | None = None, *labels: Label) -> Fault:
    """A `Fault` with a new diagnostic, ready to be raised."""
    return Fault(diagnostic(code, message, at, hint, *labels))


class UserError(Fault):
    """A mistake that has no place in a spec: in data, weights, or files, or in what a machine is asked for."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(diagnostic(code, message, None, hint))

    @classmethod
    def of(cls, found: Diagnostic) -> Self:
        """The same mistake in this process, of which another process has sent the diagnostic."""
        error = cls(found.code, found.message)
        error.diagnostic = found
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).of, (self.diagnostic,)

    @property
    def message(self) -> str:
        """The message, in one line."""
        return self.diagnostic.message

    @property
    def hint(self) -> str | None:
        """How to fix it."""
        return "; ".join(h.message for h in self.diagnostic.hints) or None

    def advise(self, *hints: str, more: bool = False) -> None:
        """Replace the hints, or add to them if `more`."""
        kept = self.diagnostic.hints if more else ()
        self.diagnostic = replace(self.diagnostic, hints=(*kept, *map(Hint, hints)))


def first_line(error: BaseException) -> str:
    """The first line of what another package says of its error; the name of its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


LONGEST_WORD = 80
"""Characters of a word that is compared with known ones: that takes the square of its length."""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known words nearest to a misspelt one, or None."""
    known = list(known)
    if len(word) > LONGEST_WORD or not affords_suggestion(len(known)):
        return None
    near = _near(word, known)
    return f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else None


def _near(word: str, known: list[str]) -> list[str]:
    """The known words that may be meant by one: spelt otherwise, cut short or in full, or with a slip."""
    close = _close(word, known)
    return (
        [k for k in close if _loose(k) == _loose(word)]
        or [k for k in close if _shortens(k, word)]
        or _abbreviated(word, known)[:2]
        or _nearest(word, [k for k in close if is_slip(word, k)][:2])
    )


def _nearest(word: str, known: list[str]) -> list[str]:
    """The known words that a slip leads from; one alone where it differs by a single letter."""
    single = [k for k in known if _slips(_loose(word), _loose(k)) == 1]
    return single if len(single) == 1 else known


def _abbreviated(word: str, known: list[str]) -> list[str]:
    """The known words that begin with a word, part by part (`lab_smooth`, `label_smoothing`), the shortest first."""
    parts = word.lower().split("_")
    if len(parts[0]) < SHORTEST:
        return []
    begun = {k for k in known if k != word and _begins(parts, k.lower().split("_"))}
    whole = [k for k in begun if not any(k.startswith(f"{b}_") for b in begun)]  # `padding`, not `padding_mode`
    return sorted(whole, key=lambda k: (len(k), k))


def _shortens(known: str, word: str) -> bool:
    """Whether a known word is another one with its parts cut short: `trunc_normal`, `truncated_normal`."""
    short, long = known.lower().split("_"), word.lower().split("_")
    return len(short) == len(long) > 1 and min(map(len, short)) >= SHORTEST and _begins(short, long)


def _begins(parts: list[str], whole: list[str]) -> bool:
    return len(parts) <= len(whole) and all(w.startswith(p) for p, w in zip(parts, whole, strict=False))


def _close(word: str, known: list[str]) -> list[str]:
    """The words that share most letters with one, the nearest first."""
    from difflib import get_close_matches

    capital = word[:1].isupper()
    spelt = {k.lower(): k for k in sorted(known, key=lambda k: k[:1].isupper() == capital) if not k.startswith("_")}
    return [spelt[n] for n in get_close_matches(word.lower(), spelt, n=6, cutoff=0.5) if spelt[n] != word]


def is_slip(word: str, known: str) -> bool:
    """Whether one word may be another one misspelt or shortened, rather than one that only looks like it."""
    if word.startswith("no_") != known.startswith("no_"):
        return False
    a, b = sorted((_loose(word), _loose(known)), key=len)
    is_part = b.startswith(a) or b.endswith(a) or (a in b and 2 * len(a) > len(b))
    return (len(a) >= SHORTEST and is_part) or _slips(a, b) <= max(1, len(a) // 4)


SHORTEST = 3
"""Characters of a word that stands for a longer one that it is a part of."""


def _loose(word: str) -> str:
    return word.lower().replace("_", "").replace(".", "")


def _slips(a: str, b: str) -> int:
    """How many letters were left out, put in, changed or exchanged with the next (Damerau 1964)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        new = [i + 1]
        for j, y in enumerate(b):
            new.append(min(row[j] + (x != y), row[j + 1] + 1, new[j] + 1))
            if i and j and (x, y) == (b[j - 1], a[i - 1]):
                new[-1] = min(new[-1], before[j - 1] + 1)
        before, row = row, new
    return row[-1]
