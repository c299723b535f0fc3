"""Diagnostics are values: passes make them, tests assert them, the CLI prints them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from netdsl.source import Place


class Note(Struct, frozen=True):
    """A second place that a diagnostic speaks of."""

    message: str
    at: Place


class Diagnostic(Struct, frozen=True):
    """One mistake: what is wrong, where, where that came from, and what would mend it.

    `code` is a word such as `shape-mismatch`; `path` is the dotted path of the block instance in which the mistake
    was found; `at` is None only where there is no text to point at (a missing file).
    """

    code: str
    message: str
    at: Place | None = None
    also: tuple[Note, ...] = ()
    hint: str | None = None
    path: str = ""
    severity: str = "error"


class Fault(Exception):  # noqa: N818 - it carries a diagnostic to the statement that records it
    """Carries one diagnostic from where a mistake is found up to the statement that records it.

    Never crosses a pass: every pass turns it into a value.
    """

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def fault(code: str, message: str, at: Place | None, hint: str | None = None, *also: Note) -> Fault:
    """A `Fault` with a new diagnostic, ready to be raised."""
    return Fault(Diagnostic(code, message, at, also, hint))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known words nearest to a misspelt one, or None."""
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), [k for k in known if not k.startswith("_")], n=2, cutoff=0.6)
    near = near or [k for k in known if k.lower() == word.lower()]
    return f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else None
