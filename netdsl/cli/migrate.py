"""`netdsl check --migrate`: the lines of an older version of the language that say something else today."""

from __future__ import annotations

import sys

from netdsl.cli.failure import OK, WRONG
from netdsl.cli.files import find_specs, write
from netdsl.cli.target import open_spec, split_target
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.migrated import changed, migrated
from netdsl.render.numbers import plural
from netdsl.source import Source


def migrate(targets: list[str], fix: bool) -> int:
    """Print what changed its meaning in some files; with `fix`, write back what can be said as it was meant."""
    found: dict[str, tuple[Diagnostic, ...]] = {}
    for file in find_specs([split_target(target)[0] for target in targets]):
        source = open_spec(file).source
        found[file] = changed(_rewritten(file, source) if fix and file != "-" else source)
    return _print(found)


def _rewritten(file: str, source: Source) -> Source:
    """A file as it is said today, written back where that is not what it said."""
    text, count = migrated(source)
    if text != source.text:
        write(file, text)
        print(f"rewrote {file}: {plural(count, 'place')}", file=sys.stderr)
    return Source(text, source.name)


def _print(found: dict[str, tuple[Diagnostic, ...]]) -> int:
    from netdsl.render.diagnostics import render_all

    for diagnostics in found.values():
        if diagnostics:
            print(render_all(diagnostics, sys.stdout), end="\n\n")
    total = sum(map(len, found.values()))
    what = next(iter(found)) if len(found) == 1 else plural(len(found), "file")
    print(f"{what}: " + (f"{plural(total, 'place')} to look at" if total else "nothing changed its meaning"))
    return WRONG if total else OK
