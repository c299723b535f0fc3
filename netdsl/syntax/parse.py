"""Text to syntax tree. Never raises: what cannot be read is a diagnostic, and the rest of the file is read all the same."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.diagnostics import Diagnostic
from netdsl.source import Place, Source, Span
from netdsl.syntax import ast
from netdsl.syntax.build import Misread
from netdsl.syntax.comments import comments, doc_above, opening_doc
from netdsl.syntax.tables import parser


def parse(source: Source) -> tuple[ast.File, tuple[Diagnostic, ...]]:
    """The syntax tree of a source and the mistakes in its syntax."""
    text = source.text
    found = comments(source)
    declarations: tuple[Any, ...] = ()
    diagnostics: list[Diagnostic] = []
    from lark.exceptions import UnexpectedInput

    for _ in range(20):
        try:
            declarations = parser().parse(text)  # type: ignore[assignment]
            break
        except Misread as e:
            diagnostics.append(Diagnostic("syntax", e.message, Place(source, Span(e.start, e.end)), hint=e.hint))
            at = e.start
        except UnexpectedInput as e:
            at = min(max(e.pos_in_stream or 0, 0), len(text))
            diagnostics.append(Diagnostic("syntax", str(e).split("\n")[0], Place(source, Span(at, at))))
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if start == end:
            break
        text = text[:start] + " " * (end - start) + text[end:]
    declarations = tuple([_documented(d, found, source) for d in declarations])
    return ast.File(Span(0, len(source.text)), declarations, found, opening_doc(found, source)), tuple(diagnostics)


def _documented(declaration: Any, found: tuple[ast.Comment, ...], source: Source) -> Any:
    doc = doc_above(declaration.at.start, found, source) if hasattr(declaration, "doc") else ""
    return replace(declaration, doc=doc) if doc else declaration
