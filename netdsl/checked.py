"""A cache of check results: a file is checked again only when something that the result depends on has changed.

A result is kept under a hash of the file's name and text and of the package's own files. It holds the imports that were
looked up and the hash of what each gave, so a changed import, or a new file in its place, checks the spec again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, Struct, msgpack
from msgspec.structs import replace

from netdsl.budget import UNITS
from netdsl.cache import remember, remembered
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint, Label
from netdsl.loader import LoadError, read_import
from netdsl.plugins.known import stamp
from netdsl.source import Place, Source, Span

if TYPE_CHECKING:
    from netdsl.pipeline import Spec

SHOWN = 50
"""How many diagnostics of one file are shown; the rest are counted."""


class Checked(Struct, frozen=True):
    """The result of checking a file. `nets`, `recipes`, `experiments`: those that were checked; `empty`: the file
    declares nothing; `spent`: units of the budget of work."""

    file: str
    nets: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    recipes: tuple[str, ...] = ()
    empty: bool = False
    experiments: tuple[str, ...] = ()
    spent: int = 0

    @property
    def errors(self) -> int:
        return sum(d.severity == "error" for d in self.diagnostics)

    @property
    def warnings(self) -> int:
        return sum(d.severity == "warning" for d in self.diagnostics)

    @property
    def more(self) -> int:
        """How many diagnostics are counted and not shown."""
        return max(0, len(self.diagnostics) - SHOWN)


class Dependency(Struct, frozen=True, array_like=True):
    """An import that was looked up, and what it gave: a file and the hash of its text, or nothing."""

    module: str
    importer: str
    file: str | None
    text: str | None


class Reported:
    """The mistakes reported so far: one of a file that several others import is reported once."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, int, str]] = set()

    def new(self, checked: Checked) -> Checked:
        """A checked file with the diagnostics that are new."""
        fresh = tuple(d for d in checked.diagnostics if _identity(d) not in self.seen)
        self.seen.update(map(_identity, fresh))
        return replace(checked, diagnostics=fresh)


def _identity(found: Diagnostic) -> tuple[str, str, int, str]:
    at = found.at
    return found.code, os.path.normpath(at.source.name) if at else "", at.span.start if at else 0, found.message


At = tuple[str, int, int]
"""A place in a form that can be stored: the name of its source, start and end."""


class StoredHint(Struct, frozen=True, array_like=True):
    message: str
    edits: tuple[tuple[At, str], ...]
    safe: bool


class StoredDiagnostic(Struct, frozen=True, array_like=True):
    """A diagnostic with its places in a form that can be stored; `plain` has none."""

    plain: Diagnostic
    at: At | None
    labels: tuple[tuple[str, At], ...]
    hints: tuple[StoredHint, ...]


class Stored(Struct, frozen=True, array_like=True):
    """A remembered result."""

    nets: tuple[str, ...]
    recipes: tuple[str, ...]
    empty: bool
    dependencies: tuple[Dependency, ...]
    diagnostics: tuple[StoredDiagnostic, ...]
    experiments: tuple[str, ...] = ()
    spent: int = 0


def check_source(source: Source) -> Checked:
    """Everything that is wrong with a spec, remembered from an earlier check where nothing has changed."""
    decides = f"{_package()} {stamp()} {source.name} {source.text}"
    name = f"checked-{sha256(decides.encode(errors='surrogatepass')).hexdigest()}"
    return _recalled(name, source) or _check(name, source)


def check_named(
    file: str, spec: Spec, name: str | None, arguments: Mapping[str, Any], sizes: Mapping[str, int]
) -> Checked:
    """Check one net or recipe of a file, with its arguments and sizes."""
    if name is not None and spec.module.is_recipe(name):
        from netdsl.selection import select

        found = select(spec, name, None, {}, arguments, sizes)
        return Checked(file, (found.net.name,) if found.net else (), found.diagnostics, (name,))
    one = spec.net(name, arguments, sizes)
    return Checked(file, (one.name,), one.diagnostics)


def _recalled(name: str, source: Source) -> Checked | None:
    content = remembered(name)
    if content is None:
        return None
    try:
        stored = msgpack.decode(content, type=Stored)
    except DecodeError:
        return None
    sources = {source.name: source}
    for known in stored.dependencies:
        try:
            found = read_import(known.module, Source("", known.importer))
        except LoadError:
            return None
        if (found.name if found else None, _text_hash(found)) != (known.file, known.text):
            return None
        if found:
            sources[found.name] = found
    diagnostics = tuple(_restored(d, sources) for d in stored.diagnostics)
    return Checked(
        source.name, stored.nets, diagnostics, stored.recipes, stored.empty, stored.experiments, stored.spent
    )


def _check(name: str, source: Source) -> Checked:
    from netdsl.pipeline import Spec

    looked_up: dict[tuple[str, str], Dependency] = {}
    sources = {source.name: source}

    unreadable = False

    def read(module: str, importer: Source) -> Source | None:
        nonlocal unreadable
        try:
            found = read_import(module, importer)
        except LoadError:
            unreadable = True
            raise
        file = found.name if found else None
        looked_up[module, importer.name] = Dependency(module, importer.name, file, _text_hash(found))
        if found:
            sources[found.name] = found
        return found

    spec = Spec(source, read)
    found = spec.diagnostics
    empty = not spec.module.file.declarations and not found
    module = spec.module
    spent = UNITS - spec.elaborator.budget.left
    checked = Checked(source.name, spec.nets, found, tuple(module.recipes), empty, tuple(module.experiments), spent)
    if not unreadable and all(place.source.name in sources for place in _places(found)):
        stored = tuple(map(_storable, found))
        imports = tuple(looked_up.values())
        kept = Stored(checked.nets, checked.recipes, empty, imports, stored, checked.experiments, spent)
        with suppress(UnicodeEncodeError):  # names of files may hold bytes that are no text
            remember(name, msgpack.encode(kept))
    return checked


@cache
def _package() -> str:
    """The names, sizes and times of the package's own files: another version may find other mistakes."""
    root = os.path.dirname(os.path.abspath(__file__))
    return sha256("\n".join(sorted(_stamps(root))).encode()).hexdigest()


def _stamps(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name != "__pycache__":
                yield from _stamps(entry.path)
            elif entry.name.endswith((".py", ".lark")):
                found = entry.stat()
                yield f"{entry.path} {found.st_size} {found.st_mtime_ns}"


def _text_hash(source: Source | None) -> str | None:
    return sha256(source.text.encode()).hexdigest() if source else None


def _places(found: tuple[Diagnostic, ...]) -> Iterator[Place]:
    for diagnostic in found:
        if diagnostic.at:
            yield diagnostic.at
        yield from (label.at for label in diagnostic.labels)
        yield from (edit.at for hint in diagnostic.hints for edit in hint.edits)


def _storable(found: Diagnostic) -> StoredDiagnostic:
    labels = tuple((label.message, _stored(label.at)) for label in found.labels)
    hints = tuple(StoredHint(h.message, tuple((_stored(e.at), e.text) for e in h.edits), h.safe) for h in found.hints)
    plain = replace(found, at=None, labels=(), hints=())
    return StoredDiagnostic(plain, _stored(found.at) if found.at else None, labels, hints)


def _restored(stored: StoredDiagnostic, sources: dict[str, Source]) -> Diagnostic:
    def place(at: At) -> Place:
        return Place(sources[at[0]], Span(at[1], at[2]))

    labels = tuple(Label(message, place(at)) for message, at in stored.labels)
    hints = tuple(Hint(h.message, tuple(Edit(place(at), text) for at, text in h.edits), h.safe) for h in stored.hints)
    return replace(stored.plain, at=place(stored.at) if stored.at else None, labels=labels, hints=hints)


def _stored(at: Place) -> At:
    return at.source.name, at.span.start, at.span.end
