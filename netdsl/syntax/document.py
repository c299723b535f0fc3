"""Text that can be laid out in more than one way, and the printer that picks one (after Oppen 1980 and Wadler 2003).

A document is a string without newlines, a list of documents, or one of the classes below, made by the functions below
them. `hard`: it has a newline however it is laid out. `spread`: the brackets around it are broken because of that.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import groupby
from typing import Any

from msgspec import Struct

WIDTH = 120
STEP = 2

Doc = Any
"""`str | list[Doc] | Line | Hard | Either | Aside | Nest | Box | Group | Fill | Hang`."""


class Line(Struct, frozen=True):
    """A newline where the group around it is broken, otherwise `flat`."""

    flat: str = " "
    hard = spread = False


class Hard(Struct, frozen=True):
    """A newline, always."""

    hard, spread = True, False


class Either(Struct, frozen=True):
    """One document in a broken group, another in a flat one."""

    broken: Doc
    flat: Doc
    hard = spread = False


class Aside(Struct, frozen=True):
    """A comment: it goes to the end of its line, whatever follows there."""

    text: str
    hard = spread = True


class Nest(Struct, frozen=True):
    """`doc` with its newlines indented further."""

    doc: Doc
    hard: bool
    spread: bool


class Box(Struct, frozen=True):
    """`doc`, which breaks nothing around it: braces begin on the line of what they belong to."""

    doc: Doc
    hard: bool
    spread = False


class Group(Struct, frozen=True):
    """`doc` on one line where it fits, otherwise with all its lines broken; `broken` breaks them anyway."""

    doc: Doc
    broken: bool
    hard: bool
    spread: bool


class Fill(Struct, frozen=True):
    """Items with blanks between them, and a newline instead where the next one does not fit or is among `starts`.

    After the first newline the items are indented by `indent`. Those before `first` are printed already.
    """

    items: tuple[Doc, ...]
    starts: frozenset[int]
    indent: int
    hard: bool
    spread: bool
    first: int = 0

    @property
    def last(self) -> bool:
        """Whether one item is left."""
        return self.first == len(self.items) - 1

    def rest(self, indent: int) -> Fill:
        """All but the first item that is left. The items are shared: a list of any length costs its items once."""
        return Fill(self.items, self.starts, indent, self.hard, self.spread, self.first + 1)

    def flat(self) -> list[Doc]:
        """The items that are left on one line, as far as they can matter to one: a gap takes a column at least."""
        parts: list[Doc] = []
        for i in range(self.first, min(self.first + WIDTH + 2, len(self.items))):
            parts += [Hard() if i in self.starts else Line()] * bool(i) + [self.items[i]]
        return parts


class Hang(Struct, frozen=True):
    """`= doc` after a name: beside it, or on the next line where `doc` fits there and not here.

    `under` puts the sign itself on the next line.
    """

    doc: Doc
    under: bool
    hard: bool
    spread: bool


def hard(doc: Doc) -> bool:
    """Whether a document has a newline however it is laid out."""
    return any(map(hard, doc)) if isinstance(doc, list) else not isinstance(doc, str) and doc.hard


def spread(doc: Doc) -> bool:
    """Whether a document breaks the brackets around it."""
    return any(map(spread, doc)) if isinstance(doc, list) else not isinstance(doc, str) and doc.spread


def nest(doc: Doc) -> Nest:
    return Nest(doc, hard(doc), spread(doc))


def box(doc: Doc) -> Box:
    return Box(doc, hard(doc))


def group(doc: Doc, broken: bool = False) -> Group:
    """A group that is broken where something in it is spread."""
    broken = broken or spread(doc)
    return Group(doc, broken, broken or hard(doc), broken)


def fill(items: list[Doc], starts: Set[int] = frozenset(), indent: int = STEP) -> Fill:
    return Fill(tuple(items), frozenset(starts), indent, bool(starts) or hard(items), bool(starts) or spread(items))


def hang(doc: Doc, under: bool = False) -> Hang:
    return Hang(doc, under, hard(doc), spread(doc))


def joined(separator: Doc, docs: list[Doc]) -> list[Doc]:
    return [part for i, doc in enumerate(docs) for part in ((separator, doc) if i else (doc,))]


def render(doc: Doc) -> str:
    """The lines of a document, each ended by a newline, with the comments at the ends of neighbouring lines aligned."""
    return _aligned(_Printer(doc).lines())


class _Printer:
    def __init__(self, doc: Doc) -> None:
        self.todo: list[tuple[int, bool, Doc]] = [(0, False, doc)]
        self.done: list[tuple[str, str]] = []
        self.line = ""
        self.aside = ""

    def lines(self) -> list[tuple[str, str]]:
        """The code and the comment of each line."""
        while self.todo:
            indent, flat, doc = self.todo.pop()
            if isinstance(doc, str):
                self.line += doc
            elif isinstance(doc, Hard) or (isinstance(doc, Line) and not flat):
                self.newline(indent)
            elif isinstance(doc, Line):
                self.line += doc.flat
            elif isinstance(doc, Aside):
                self.aside = doc.text
            elif isinstance(doc, Nest):
                self.todo.append((indent + STEP, flat, doc.doc))
            elif isinstance(doc, Group):
                self.todo.append((indent, not doc.broken and (flat or self.fits(doc.doc)), doc.doc))
            elif isinstance(doc, Fill):
                self.fill(indent, flat, doc)
            elif isinstance(doc, Hang):
                self.hang(indent, flat, doc)
            else:
                self.todo.extend((indent, mode, part) for mode, part in reversed(_parts(doc, flat)))
        self.newline(0)
        return self.done

    def newline(self, indent: int) -> None:
        self.done.append((self.line.rstrip(), self.aside))
        self.line, self.aside = " " * indent, ""

    def fill(self, indent: int, flat: bool, doc: Fill) -> None:
        """Print one item of a fill, on this line or on the next; the rest waits until that is known."""
        item, step = doc.items[doc.first], doc.indent
        if doc.first:
            if doc.first not in doc.starts and (flat or self.fits([" ", item], alone=not doc.last)):
                self.line += " "
            else:
                indent, step = indent + step, 0
                self.newline(indent)
        if not doc.last:
            self.todo.append((indent, flat, doc.rest(step)))
        self.todo.append((indent, flat, item))

    def hang(self, indent: int, flat: bool, doc: Hang) -> None:
        sign = "= " if doc.under else ""
        beside = flat or doc.hard or self.fits([" = ", doc.doc])
        if beside or not self.fits([sign, doc.doc], column=indent + STEP):
            self.line += " = "
        else:
            self.line += "" if doc.under else " ="
            indent += STEP
            self.newline(indent)
            self.line += sign
        self.todo.append((indent, flat, doc.doc))

    def fits(self, doc: Doc, alone: bool = False, column: int | None = None) -> bool:
        """Whether a document fits flat into the line, with what follows it up to the next newline (not if `alone`)."""
        room = WIDTH - (len(self.line) if column is None else column)
        todo: list[tuple[bool, Doc]] = [(True, doc)]
        after = 0 if alone else len(self.todo)
        while room >= 0:
            if not todo:
                if not after:
                    return True
                after -= 1
                todo.append(self.todo[after][1:])
            flat, part = todo.pop()
            if isinstance(part, str):
                room -= len(part)
            elif isinstance(part, Hard) or (isinstance(part, Line) and not flat):
                return True
            elif isinstance(part, Line):
                room -= len(part.flat)
            else:
                todo.extend(reversed(_parts(part, flat)))
        return False


def _parts(doc: Doc, flat: bool) -> list[tuple[bool, Doc]]:
    """The parts of a composite document, and whether each is flat."""
    if isinstance(doc, list):
        return [(flat, part) for part in doc]
    if isinstance(doc, Nest | Box):
        return [(flat, doc.doc)]
    if isinstance(doc, Either):
        return [(flat, doc.flat if flat else doc.broken)]
    if isinstance(doc, Group):
        return [(flat and not doc.broken, doc.doc)]
    if isinstance(doc, Hang):
        return [(flat, " = "), (flat, doc.doc)]
    return [(flat, part) for part in doc.flat()] if isinstance(doc, Fill) else []


def _aligned(lines: list[tuple[str, str]]) -> str:
    """The text of lines; the comments of neighbouring lines begin in one column."""
    written: list[str] = []
    for has_aside, run in groupby(lines, key=lambda line: bool(line[1])):
        neighbours = list(run)
        column = max(len(code) for code, _ in neighbours) + 2
        written += [f"{code:{column}}{aside}" if has_aside else code for code, aside in neighbours]
    return "".join(f"{line}\n" for line in written)
