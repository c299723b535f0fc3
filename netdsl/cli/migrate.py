"""Specs of an older version of the language: the lines that say something else today, and their rewriting."""

from __future__ import annotations

import sys

from netdsl.cli.failure import OK, WRONG
from netdsl.cli.files import find_specs, write
from netdsl.cli.target import open_spec, split_target
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.migrate import followed, moved, rewritten
from netdsl.fixes.migration import listed, modernised
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.render.numbers import plural
from netdsl.source import Source


def migrate(targets: list[str], fix: bool) -> int:
    """Print what changed its meaning in some files; with `fix`, write back what can be said as it was meant."""
    found: dict[str, tuple[Diagnostic, ...]] = {}
    for file in find_specs([split_target(target)[0] for target in targets]):
        source = open_spec(file).source
        if fix and file != "-":
            source = _rewritten(file, source)
        spec, errors = _errors(source)
        found[file] = listed(source, errors, _everything) + _moved(spec)
    return _print(found)


def _rewritten(file: str, source: Source) -> Source:
    """A file as it is said today, written back where that is not what it said."""
    text, count = modernised(source, _everything)
    spec, _ = _errors(Source(text, source.name))
    notes = _moved(spec)
    text = rewritten(text, notes)
    if text != source.text:
        write(file, text)
        print(f"rewrote {file}: {plural(count + len(notes), 'place')}", file=sys.stderr)
    return Source(text, source.name)


def _everything(source: Source) -> tuple[Diagnostic, ...]:
    return Spec(source, read_import).diagnostics


def _errors(source: Source) -> tuple[Spec, tuple[Diagnostic, ...]]:
    spec = Spec(source, read_import)
    return spec, tuple(d for d in spec.diagnostics if d.severity == "error")


def _moved(spec: Spec) -> tuple[Diagnostic, ...]:
    """Hints for what is evaluated elsewhere today, or along other axes, in a spec whose diagnostics were asked for."""
    computed, along = spec.elaborator.computed, spec.elaborator.followed
    return moved(at for at in computed if at.source is spec.source) + followed(
        (at, axis) for at, axis in along if at.source is spec.source
    )


def _print(found: dict[str, tuple[Diagnostic, ...]]) -> int:
    from netdsl.render.diagnostics import render_all

    for diagnostics in found.values():
        if diagnostics:
            print(render_all(diagnostics, sys.stdout), end="\n\n")
    total = sum(map(len, found.values()))
    what = next(iter(found)) if len(found) == 1 else plural(len(found), "file")
    print(f"{what}: " + (f"{plural(total, 'place')} to look at" if total else "nothing changed its meaning"))
    return WRONG if total else OK
