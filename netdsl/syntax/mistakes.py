"""Syntax errors in human words: what was found, what was expected, what was probably meant, and what it spoils."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from netdsl.diagnostics.diagnostic import Diagnostic, Label, diagnostic
from netdsl.source import Place, Source, Span
from netdsl.syntax.build import Misread
from netdsl.syntax.skeleton import CLOSER, Pair, Skeleton
from netdsl.syntax.slips import BRACES, NO_LAYER, slip

if TYPE_CHECKING:
    from lark.exceptions import UnexpectedInput

_OPERATORS = frozenset(
    {"ARROW", "VBAR", "IF", "OR", "AND", "COMPARATOR", "PLUS", "MINUS", "STAR", "TIMES", "POWER", "UNIT", "FOR"}
)
_ENDS = frozenset({"_NEWLINE", "RBRACE", "LBRACE", "COMMA", "RPAR", "RSQB", "_ELSE"})
_WORDS = {
    "NAME": "a name", "MODULE": "the name of a spec", "SELECTOR": "a label, a kind or a path", "LBRACE": "`{`",
    "_EQUAL": "`=`", "COLON": "`:`", "COMMA": "`,`", "LPAR": "`(`", "LSQB": "`[`", "RPAR": "`)`", "RSQB": "`]`",
    "ARROW": "`->`", "FOR": "`for`", "TRAINING": "`training`", "_IN": "`in`", "_ELSE": "`else`", "WHEN": "`when`",
    "_IMPORT": "`import`", "PATH": "a name or a path such as `optimizer.lr`",
    "_AGAINST": "`against`", "_WHERE": "`where`", "_EXTENDS": "`extends`", "_AS": "`as`",
}  # fmt: skip
_HEAD = re.compile(
    r"[ \t]*(?:net|block|recipe|experiment|class|def|while|with)\b[^{}\n#]*?(?=:[ \t]*(?:#.*)?$)()", re.MULTILINE
)
_TOKEN = re.compile(
    r"""[A-Za-z0-9_]+ | "[^"\n]*" | '[^'\n]*' | [-=~|]+> | [=!<>]= | \*\* | // | && | \|\| | .""",
    re.VERBOSE | re.DOTALL,
)


def mistake(source: Source, text: str, error: UnexpectedInput | Misread) -> tuple[Diagnostic, Span]:
    """The diagnostic of an error, and the part of the text to leave out so that the rest can be read.

    `text` is the source with the mistakes found so far left out (blank).
    """
    skeleton = Skeleton(text)
    if isinstance(error, Misread):
        at = Place(source, Span(error.start, error.end))
        return diagnostic("syntax", error.message, at, error.hint), skeleton.statement(error.start)
    offset = _offset(error, text, skeleton)
    unclosed = skeleton.unclosed(offset)
    if unclosed is not None:
        return _unclosed(source, text, skeleton, unclosed, offset)
    early = skeleton.premature(offset)
    if early is not None or offset in skeleton.stray:
        bracket = Span(offset, offset + 1) if early is None else Span(early.end, early.end + 1)
        message = f"there is one `{text[bracket.start]}` too many"
        region = bracket if text[bracket.start] == "}" else skeleton.statement(offset)
        return Diagnostic("syntax", message, Place(source, bracket)), region
    return _unexpected(source, text, skeleton, offset, _accepted(error))


def _unclosed(source: Source, text: str, skeleton: Skeleton, pair: Pair, offset: int) -> tuple[Diagnostic, Span]:
    region = skeleton.spoilt(pair)
    opening = Span(pair.start, pair.start + 1)
    hint = f"it is closed with `{CLOSER[pair.bracket]}`"
    if offset in skeleton.stray:
        note = Label("the bracket that is open here", Place(source, opening))
        message = f"`{text[offset]}` does not close `{pair.bracket}`"
        return diagnostic("syntax", message, Place(source, Span(offset, offset + 1)), hint, note), region
    note = Label("it should be closed before this", Place(source, _token(text, offset)))
    also = (note,) if pair.bracket != "{" and offset < len(text.rstrip()) else ()
    return diagnostic("syntax", f"this `{pair.bracket}` is never closed", Place(source, opening), hint, *also), region


def _unexpected(
    source: Source, text: str, skeleton: Skeleton, offset: int, accepted: set[str]
) -> tuple[Diagnostic, Span]:
    python = _python_body(skeleton, offset)
    if python is not None:
        return _of_python(source, text, offset, *python)
    region = _region(skeleton, offset, accepted)
    start = region.start
    while start < offset and text[start].isspace():
        start += 1
    context = set(accepted)
    if skeleton.around(offset, "{") is None:
        context.add("top")
    elif accepted == {"_EQUAL"}:
        context.add("field")
    if "LBRACE" in accepted and "NUMBER" not in accepted:
        context.add("braces")
    message, hint = slip(text, start, offset, context)
    message = message or f"expected {_listed(accepted)}, found {_found(text, offset)}"
    at = _token(text, offset)
    said = text[:offset].rstrip()
    if hint == NO_LAYER and said.endswith("->"):
        at = Span(len(said) - 2, len(said))
        message = "a layer is missing after `->`"
        hint = None
    return diagnostic("syntax", message, Place(source, at), hint), region


def _python_body(skeleton: Skeleton, offset: int) -> tuple[int, Span] | None:
    """The colon that opens a body as in Python, and the body with its head; None where there is none."""
    first = skeleton.text.rfind("\n", 0, max(0, offset)) + 1
    head = _HEAD.match(skeleton.text, first)
    if head is None or offset > head.end() + 2:
        return None
    around = skeleton.around(offset, "{")
    return head.end(1), skeleton.indented(first, head.end(1), around.end if around else len(skeleton.text))


def _of_python(source: Source, text: str, offset: int, colon: int, region: Span) -> tuple[Diagnostic, Span]:
    start = region.start
    while start < offset and text[start].isspace():
        start += 1
    message, hint = slip(text, start, start, set())
    at = _token(text, start) if hint else Span(colon, colon + 1)
    message = message or ("expected a declaration or a statement, found " + _found(text, start) if hint else "")
    return diagnostic("syntax", message or "expected `{`, found `:`", Place(source, at), hint or BRACES), region


def _region(skeleton: Skeleton, offset: int, accepted: set[str]) -> Span:
    """The span to leave out: the statement; a brace too many alone; where one is missing, what was to stand in it."""
    region = skeleton.statement(offset)
    if skeleton.text[offset : offset + 1] == "{" and any(not p.closed and p.start < offset for p in skeleton.pairs):
        return Span(offset, offset + 1)
    around = skeleton.around(offset, "{")
    if around and skeleton.stray and skeleton.is_foreign(around, offset):
        return skeleton.line(region.start, offset)
    if around and not around.closed and "\n" not in skeleton.text[around.start : offset]:
        return skeleton.spoilt(around)
    at = _token(skeleton.text, offset)
    if "LBRACE" in accepted and ("NUMBER" not in accepted or at.start == at.end):
        return skeleton.indented(region.start, offset, around.end if around else len(skeleton.text))
    return region


def _offset(error: UnexpectedInput, text: str, skeleton: Skeleton) -> int:
    """Where an error is; what lacks at the end of a line lacks right after its last word."""
    token: Any = getattr(error, "token", None)
    at = error.pos_in_stream
    if at is None or (token is not None and token.type == "$END"):
        return skeleton.last_word(len(text))
    return skeleton.last_word(at) if text[at] in "\r\n" else at


def _accepted(error: UnexpectedInput) -> set[str]:
    parser: Any = getattr(error, "interactive_parser", None)
    return set(parser.accepts()) if parser is not None else set()


def _token(text: str, offset: int) -> Span:
    match = _TOKEN.match(text, offset)
    return Span(offset, offset if match is None or match[0].isspace() or match[0] == "#" else match.end())


def _found(text: str, offset: int) -> str:
    if not text[offset:].strip():
        return "the end of the file"
    span = _token(text, offset)
    if span.start == span.end:
        return "the end of the line"
    found = text[span.start : span.end]
    if len(found) > 30:
        return f"`{found[:29]}…`"
    if len(found) == 1 and not found.isascii():
        return f"`{found}` (U+{ord(found):04X})" if found.isprintable() else f"the character U+{ord(found):04X}"
    return f"`{found}`" if found.isprintable() else f"the character U+{ord(found[0]):04X}"


def _listed(accepted: set[str]) -> str:
    words = _expected(accepted)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _expected(accepted: set[str]) -> list[str]:
    """The tokens that could stand there, the least that helps: operators are not listed where something ends."""
    if accepted >= {"BLOCK", "RECIPE"}:
        return ["a declaration"]
    if "SHARE" in accepted:
        return ["a statement"]
    if accepted >= {"NAME", "NUMBER", "LSQB"}:
        return ["a value", *(_WORDS[name] for name in ("RPAR", "RSQB") if name in accepted)]
    if accepted & {"ARROW", "POWER"} and accepted & _ENDS:
        accepted = accepted - _OPERATORS - {"LPAR", "LSQB"}
    if accepted >= {"_EQUAL", "COLON", "_NEWLINE"}:
        accepted = accepted - {"COMMA"}
    words = [_WORDS[name] for name in _WORDS if name in accepted]
    if "_NEWLINE" in accepted:
        words.append("the end of the line")
    elif "RBRACE" in accepted:
        words.append("a field" if accepted & {"GROUP", "VARY"} else "`}`")
    return words or ["something else"]
