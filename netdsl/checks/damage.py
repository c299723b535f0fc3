"""Suppression of follow-up diagnostics: those that only follow from text with a syntax error are not reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.modules import Module
from netdsl.source import Place, Span
from netdsl.syntax import ast
from netdsl.syntax.parse import left_out
from netdsl.syntax.words import WORD, words

INDEPENDENT = frozenset((
    "unknown-name", "unknown-argument", "unknown-word", "unknown-field", "duplicate-field", "duplicate-name",
    "too-many-arguments", "argument-type", "argument-value", "argument-conflict", "field-value", "bad-value",
    "bad-unit", "unknown-module", "cyclic-import", "conflicting-fields", "unreachable-phase", "schedule-too-long",
    "late-warmup",
))  # fmt: skip
"""Codes of mistakes that are one whatever stands before them."""

OF_VALUES = ("argument-type", "argument-value", "not-a-list", "not-a-number", "unpack")
"""Codes of values that do not fit where they are used: perhaps those of a constant that could not be read."""

OF_RESULT = ("unfit-loss", "unfit-metric", "unfit-data", "wrong-count", "no-value")
"""Codes of what a net gives as a whole."""

MISSING = ("unknown-name", "unknown-net")

_STAR = re.compile(r"\s*(?:from\b[^\n]*\bimport\s*\*|import\s+[\w.]+\s*(?:#.*)?$)", re.MULTILINE)
"""An import of everything: any name may come from it."""

_SAID = re.compile(r"(?<=[\w\]) ])=(?!=)(?:(?!\bas\b)[^=])*$")
"""What stands behind the last `=` of a line, as far as it gives no name."""

_DECLARES = re.compile(r"^(?:net|block|recipe|experiment|from|import)\b", re.MULTILINE)

_CALLED = re.compile(r"\.\s*\w+|\b\w+\s*\(")


def unaffected(module: Module, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The diagnostics that do not follow from parts of the file, or of a file it imports, that could not be read."""
    spans = left_out(module.source)
    follow = (_of_lost_names(module, spans), _of_constants(module, spans))
    tainted = _tainted(module, spans)
    for mistake in found:
        at = mistake.at
        if at is None or at.source is not module.source or any(follows(mistake.code, at) for follows in follow):
            continue
        if mistake.code in INDEPENDENT or _stands_clear(module, mistake.code, at.span, tainted, spans):
            yield mistake


def _of_lost_names(module: Module, spans: tuple[Span, ...]) -> Callable[[str, Place], bool]:
    """Whether a mistake is a name's that may have got its meaning from text that could not be read."""
    lost = {word: span.start for span in reversed(spans) for word in _lost(module, span)}
    lost |= dict.fromkeys(_of_damaged_imports(module), 0)
    takes_all = any(_STAR.match(module.source.text, span.start) for span in spans)
    return lambda code, at: code in MISSING and (takes_all or _is_after(module, at.span, lost.get(at.text)))


def _of_constants(module: Module, spans: tuple[Span, ...]) -> Callable[[str, Place], bool]:
    """Whether a mistake of a value is perhaps that of a constant which could not be read whole."""
    damaged = {d.name.id for s in spans if isinstance(d := _around(module, s), ast.Constant)}
    return lambda code, at: code in OF_VALUES and not damaged.isdisjoint(words(at.source.line(at.line)))


def _lost(module: Module, span: Span) -> Iterable[str]:
    """Words that text which could not be read may have given a meaning: in a body, no call, no attribute, and nothing
    that stands behind the `=` of its line."""
    text = module.source.text[span.start : span.end]
    if _around(module, span) is None or _DECLARES.search(text):
        return words(text)
    named = [_SAID.sub("", line) for line in text.splitlines()]
    return words(_CALLED.sub("", "\n".join(named)))


def _is_after(module: Module, span: Span, start: int | None) -> bool:
    """Whether a name may have got its meaning from lost text: in a body, only from what stands before it."""
    if start is None:
        return False
    return span.start >= start or _around(module, Span(start, start)) is not _around(module, span)


def _stands_clear(
    module: Module, code: str, span: Span, tainted: set[ast.Declaration], spans: tuple[Span, ...]
) -> bool:
    """Whether a mistake is in a declaration that could be read, or before all that could not."""
    inside = _around(module, span)
    signature = inside.signature if isinstance(inside, ast.Block) else None
    if (code in OF_RESULT or _says(signature, span, of_result=False)) and _is_part(module, inside, tainted):
        return False
    if inside is None or inside not in tainted:
        return True
    if isinstance(inside, ast.Experiment) or code in OF_RESULT or _says(signature, span, of_result=True):
        return False  # an entry that could not be read is missing where its name stands; what a body gives is not known
    own = [s.start for s in spans if inside.at.start <= s.start < inside.at.end]
    return span.end <= min(own, default=-1)


def _is_part(module: Module, block: ast.Declaration | None, tainted: set[ast.Declaration]) -> bool:
    """Whether what a net gives may come from a block only because the statements behind it could not be read."""
    name = block.name.id if isinstance(block, ast.Block) else None
    return any(name in words(module.place(d.at).text) for d in tainted if d is not block)


def _says(signature: ast.Signature | None, span: Span, of_result: bool) -> bool:
    """Whether a mistake is in what a signature says of what a block is given, or of its result."""
    if signature is None:
        return False
    said = signature.outputs if of_result else signature.inputs
    return any(part.at.start <= span.start < part.at.end for part in said)


def _of_damaged_imports(module: Module) -> set[str]:
    return {name for other in module.imports.values() if left_out(other.source) for name in other.names}


def _tainted(module: Module, spans: tuple[Span, ...]) -> set[ast.Declaration]:
    """Declarations with a part that could not be read, and those that use one."""
    tainted = {d for s in spans if (d := _around(module, s)) is not None}
    names = {name for s in spans if _around(module, s) is None for name in _declared(module.source.text, s)}
    names |= _named(tainted) | _of_damaged_imports(module)
    written = [(d, words(module.place(d.at).text)) for d in module.file.declarations]
    while True:
        more = {d for d, found in written if _uses(d, found, names)} - tainted
        if not more:
            return tainted
        tainted |= more
        names = _named(more)


def _uses(declaration: ast.Declaration, written: frozenset[str], names: set[str]) -> bool:
    """Whether a declaration names one of these. `written`: the words of its text, which is known sooner."""
    return not names.isdisjoint(written) and not names.isdisjoint(ast.names(declaration))


def _named(declarations: Iterable[ast.Declaration]) -> set[str]:
    return {d.name.id for d in declarations if isinstance(d, ast.Block | ast.Variant | ast.Constant | ast.Recipe)}


def _declared(text: str, span: Span) -> list[str]:
    """The names that a declaration may have given, where it could not be read."""
    found = WORD.findall(text[span.start : span.end])
    return found if found[:1] in (["from"], ["import"]) else found[:2]


def _around(module: Module, span: Span) -> ast.Declaration | None:
    return next((d for d in module.file.declarations if d.at.start <= span.start < d.at.end), None)
