"""Specs of an older version of the language: the lines that say something else today, and their rewriting."""

from __future__ import annotations

import sys

from netdsl.cli.failure import OK, WRONG
from netdsl.cli.files import find_specs, write
from netdsl.cli.target import open_spec, split_target
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.migrate import moved, rewritten
from netdsl.render.numbers import plural


def migrate(targets: list[str], fix: bool) -> int:
    """Print what changed its meaning in some files; with `fix`, write back what can be said as it was meant."""
    found: dict[str, tuple[Diagnostic, ...]] = {}
    for file in find_specs([split_target(target)[0] for target in targets]):
        spec = open_spec(file)
        errors = tuple(d for d in spec.diagnostics if d.severity == "error")
        notes = moved(at for at in spec.elaborator.computed if at.source is spec.source)
        if fix and notes and file != "-":
            write(file, rewritten(spec.source.text, notes))
            print(f"rewrote {file}: {plural(len(notes), 'place')}", file=sys.stderr)
            notes = ()
        found[file] = errors + notes
    return _print(found)


def _print(found: dict[str, tuple[Diagnostic, ...]]) -> int:
    from netdsl.render.diagnostics import render_all

    for diagnostics in found.values():
        if diagnostics:
            print(render_all(diagnostics, sys.stdout), end="\n\n")
    total = sum(map(len, found.values()))
    what = next(iter(found)) if len(found) == 1 else plural(len(found), "file")
    print(f"{what}: " + (f"{plural(total, 'place')} to look at" if total else "nothing changed its meaning"))
    return WRONG if total else OK
