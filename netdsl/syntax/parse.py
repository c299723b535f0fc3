"""Text to syntax tree, never an exception: what cannot be read is a diagnostic, and the rest is read all the same."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from netdsl.cache import remember, remembered
from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint, diagnostic
from netdsl.source import Place, Source, Span
from netdsl.syntax import ast
from netdsl.syntax.comments import comments, doc_above, opening_doc
from netdsl.syntax.grammar import grammar
from netdsl.syntax.limits import tokens, too_large
from netdsl.syntax.words import blank

MOST_MISTAKES = 20
MOST_READ = 300_000
"""How many tokens are read in all: a text is read again after each mistake, so fewer are found in a long one."""


def parse(source: Source) -> tuple[ast.File, tuple[Diagnostic, ...]]:
    """The syntax tree of a source, and the mistakes in its syntax (code `syntax`).

    Where there are mistakes, the tree holds all that could be read. Trees of stored files without mistakes are kept in
    the cache folder, and reading one from there does not import lark; texts that are being edited come and go.
    """
    name = _name(source.text)
    kept = _decoded(remembered(name))
    if kept is not None:
        return kept, ()
    file, diagnostics = read(source)
    if source.stored and not diagnostics:
        with suppress(OverflowError, RecursionError):  # MessagePack has no whole numbers from 2**64 on
            remember(name, msgspec.msgpack.encode(file))
    return file, diagnostics


def read(source: Source) -> tuple[ast.File, tuple[Diagnostic, ...]]:
    """As `parse`, from the text alone."""
    refused = _junk(source) or too_large(source)
    if refused is not None:
        return ast.File(Span(0, len(source.text)), (), (), ""), (refused,)
    declarations, diagnostics, _ = _declarations(source)
    found = comments(source)
    documented = tuple([_documented(d, found, source) for d in declarations])
    return ast.File(Span(0, len(source.text)), documented, found, opening_doc(found, source)), diagnostics


def left_out(source: Source) -> tuple[Span, ...]:
    """The parts of a text that could not be read, each with a mistake in its syntax."""
    refused = _junk(source) or too_large(source)
    return (Span(0, len(source.text)),) if refused is not None else _declarations(source)[2]


@lru_cache(maxsize=8)
def _declarations(source: Source) -> tuple[tuple[Any, ...], tuple[Diagnostic, ...], tuple[Span, ...]]:
    """All declarations that can be read, the mistakes, and what was left out for each.

    A statement with a mistake is left out, and the rest is read again.
    """
    from lark.exceptions import UnexpectedInput

    from netdsl.syntax.build import Misread
    from netdsl.syntax.pieces import read_declarations

    text = source.text
    diagnostics: list[Diagnostic] = []
    regions: list[Span] = []
    for _ in range(_attempts(text)):
        try:
            declarations, deep = read_declarations(text)
            if deep is None:
                return declarations, tuple(diagnostics), tuple(regions)
            at = Place(source, deep)
            found = diagnostic("syntax", "this is nested too deeply", at, "name a part of it")
            region = next(d.at for d in declarations if d.at.start <= deep.start < d.at.end)
        except (UnexpectedInput, Misread) as error:
            from netdsl.syntax.mistakes import mistake

            found, region = mistake(source, text, error)
        gap = _before_brace(text, found)
        if gap is not None:
            source_gap = Place(source, Span(*gap.span()))
            diagnostics.append(replace(found, hints=(Hint("`{` ends the line of its head", (Edit(source_gap, " "),)),)))
            text = text[: gap.start()] + " " * len(gap[0]) + text[gap.end() :]
            continue
        diagnostics.append(found)
        if found.at is not None and found.at.text == ";":
            text = _SEMICOLON.sub(_without_semicolon, text)
            continue
        regions.append(region)
        text = _without(text, region)
    return (), tuple(diagnostics), (Span(0, len(text)),)


def _before_brace(text: str, found: Diagnostic) -> re.Match[str] | None:
    """The end of the line between the head of a body and its brace, where that begins one."""
    return GAP.match(text, found.at.span.start) if found.code == "syntax" and found.at is not None else None


def _without_semicolon(found: re.Match[str]) -> str:
    """The text that a `;` was meant to be: a comma inside brackets, the end of a statement elsewhere."""
    if found[0] != ";":
        return found[0]
    line = found.string[found.string.rfind("\n", 0, found.start()) + 1 : found.start()]
    return "," if sum(map(line.count, "([")) > sum(map(line.count, ")]")) else "\n"


GAP = re.compile(r"[^\S\n]*\n\s*(?=\{[^\S\n]*(?:#[^\n]*)?\n)")
"""The end of a line before one that is nothing but a brace."""

_SEMICOLON = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*|;")
"""Semicolons, and what may hold some without a mistake."""


def _attempts(text: str) -> int:
    """How often a text may be read: until all its mistakes are found, or many, or it was long enough to read it."""
    return max(2, min(MOST_MISTAKES, MOST_READ // (tokens(text) + 1)))


def _without(text: str, region: Span) -> str:
    """The text with a region blank, so that offsets stay as they are; all of it, where the region is blank already."""
    part = text[region.start : region.end]
    if not part.strip():
        return " " * len(text)
    return text[: region.start] + blank(part) + text[region.end :]


def _junk(source: Source) -> Diagnostic | None:
    """The diagnostic of what is no text at all."""
    at = source.text.find("\0")
    if at < 0:
        return None
    return Diagnostic("syntax", "this is not text: it holds the character U+0000", Place(source, Span(at, at + 1)))


def _documented(declaration: Any, found: tuple[ast.Comment, ...], source: Source) -> Any:
    doc = doc_above(declaration.at.start, found, source) if isinstance(declaration, ast.Named) else ""
    return replace(declaration, doc=doc) if doc else declaration


@cache
def _edition() -> bytes:
    """A digest of what a tree depends on besides its text: the grammar and the code that makes the tree."""
    code = ("ast", "node", "build", "comments", "depth", "layout", "limits", "parse", "pieces")
    return grammar().encode() + b"".join(map(_own_file, code))


def _own_file(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(__file__), f"{name}.py"), "rb") as file:
        return file.read()


def _name(text: str) -> str:
    digest = sha256(_edition())
    digest.update(text.encode("utf-8", "surrogatepass"))
    return f"{digest.hexdigest()}.ast"


def _decoded(content: bytes | None) -> ast.File | None:
    """The tree that was kept, or None. Building it from plain lists spares resolving fifty classes' annotations."""
    if content is None:
        return None
    try:
        file = _built(msgspec.msgpack.decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, LookupError):
        return None
    return file if isinstance(file, ast.File) else None


def _built(data: Any) -> Any:
    """Nodes from `[class, span, fields...]`, spans from `[start, end]`, tuples from all other lists."""
    if type(data) is not list:
        return data
    if data and type(data[0]) is str and data[0] in NODES:
        return NODES[data[0]](*[_built(field) for field in data[1:]])
    if len(data) == 2 and type(data[0]) is int:
        return Span(*data)
    return tuple([_built(item) for item in data])


NODES: dict[str, Any] = {name: kind for name, kind in vars(ast).items() if isinstance(kind, type)}
