"""A whole spec of an older version of the language: what it says otherwise today, and its text as it was meant."""

from __future__ import annotations

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.migrate import followed, moved, rewritten
from netdsl.fixes.hinted import everything_wrong
from netdsl.fixes.migration import listed, modernised
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source


def changed(source: Source) -> tuple[Diagnostic, ...]:
    """A hint for each line whose meaning has changed."""
    spec = Spec(source, read_import)
    errors = tuple(d for d in spec.diagnostics if d.severity == "error")
    return listed(source, errors, everything_wrong) + _moved(spec)


def migrated(source: Source) -> tuple[str, int]:
    """The text with all that can be said as it was meant, and in how many places it was rewritten."""
    text, count = modernised(source, everything_wrong)
    notes = _moved(Spec(Source(text, source.name), read_import))
    return rewritten(text, notes), count + len(notes)


def _moved(spec: Spec) -> tuple[Diagnostic, ...]:
    """Hints for what is evaluated elsewhere today, or along other axes."""
    spec.diagnostics  # noqa: B018 - evaluates it
    computed, along = spec.elaborator.computed, spec.elaborator.followed
    return moved(at for at in computed if at.source is spec.source) + followed(
        (at, axis) for at, axis in along if at.source is spec.source
    )
