"""The formatter of specs. It checks its result, as black does: same tree, same comments, nothing left to format."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.source import Place, Source, Span
from netdsl.syntax import ast
from netdsl.syntax.document import render
from netdsl.syntax.format_expressions import comment_text
from netdsl.syntax.format_statements import Declarations
from netdsl.syntax.parse import parse
from netdsl.syntax.placement import Placement

MOST_PASSES = 4
"""Line breaks made in one pass are the author's in the next; that settles at once, or after a second pass."""


def format_source(source: Source) -> tuple[str | None, tuple[Diagnostic, ...]]:
    """The text of a source in the standard style, its lines ended as its first; None where its syntax has mistakes.

    A text that would not say the same, lose a comment or change when formatted again is not given out: the diagnostic
    is `format-unsafe`, and it is a defect of the formatter.
    """
    file, diagnostics = parse(source)
    if diagnostics:
        return None, diagnostics
    text, fault = source.text, "it would never settle"
    current = file
    for _ in range(MOST_PASSES):
        settled = format_file(current, text)
        current, mistakes = parse(Source(settled))
        fault = "it could not be read again" if mistakes else _difference(file, current)
        if fault or settled == text:
            break
        text, fault = settled, "it would change again"
    if fault:
        message = f"this file cannot be formatted safely: {fault}"
        hint = "it is left as it is; this is a defect of the formatter, please report it"
        return None, (diagnostic("format-unsafe", message, Place(source, Span(0, 0)), hint),)
    return text.replace("\n", source.newline), ()


def format_file(file: ast.File, text: str = "") -> str:
    """The text of a tree. `text` is what the tree was read from: blank lines and line breaks are kept from there."""
    return render(Declarations(text, Placement(file)).file(file)) if file.declarations or file.comments else ""


def canonical_text(file: ast.File) -> str:
    """The text of a file in one layout, without comments: equal for files that say the same."""
    return format_file(replace(file, comments=()))


def same(a: Any, b: Any) -> bool:
    """Whether two trees, or tuples of them, say the same: wherever they stand, and whatever the comments."""
    return bool(_bare(a) == _bare(b))


def _bare(value: Any) -> Any:
    if isinstance(value, ast.File):
        return _bare(value.declarations)
    if isinstance(value, ast.Node):
        fields = [f for f in value.__struct_fields__ if f not in ("at", "module_at", "doc")]
        return type(value), *[_bare(getattr(value, f)) for f in fields]
    return tuple([_bare(item) for item in value]) if isinstance(value, tuple) else value


def _difference(file: ast.File, again: ast.File) -> str:
    """Describe what a formatted file has lost of the file that it was made from; "" where that is nothing."""
    if not same(file, again):
        return "it would say something else"
    if _docs(file) != _docs(again):
        return "a declaration would get another documentation"
    if sorted(map(comment_text, file.comments)) != sorted(map(comment_text, again.comments)):
        return "a comment would be lost"
    return ""


def _docs(file: ast.File) -> list[str]:
    return [file.doc, *(d.doc for d in file.declarations if isinstance(d, ast.Named))]
