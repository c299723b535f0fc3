"""The surroundings of a mistake: operators around a call, methods of a result, labels, links around a layer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.hints import TOGETHER
from netdsl.elaborate.names import is_undeclared
from netdsl.fixes.calls import Call, arguments, calls, closed
from netdsl.fixes.layers import layers
from netdsl.fixes.operators import among
from netdsl.fixes.quoted import Change
from netdsl.fixes.rewrite import NEEDLESS

_LAST = re.compile(r"^[^\S\n]+(\w+)([^\S\n]*=)(?!=)[^\n]*\n(?:[^\S\n]*(?:#[^\n]*)?\n)*\}", re.MULTILINE)
OF_RESULT = (
    "unfit-loss", "unfit-metric", "unfit-data", "broken-expectation", "wrong-rank", "wrong-count", "unknown-selector",
)  # fmt: skip
"""Mistakes of what a net gives, or of a label in it, which its last statement says."""

_SELECTORS = re.compile(r"#.*|^[^\S\n]*(?:group|freeze)\b[^{\n]*", re.MULTILINE)
"""Where labels are named, and no values."""

_ARROW = re.compile(r"[^\S\n]*->[^\S\n]*\Z")
_METHOD = re.compile(r"(?<=[)\]])[^\S\n]*\.[^\S\n]*([A-Za-z_]\w*)")
_STRIDE = re.compile(r"\bstride\s*=\s*([A-Za-z_]\w*|\d+)")
_RESIDUAL = re.compile(r"residual(?=\s*\{)")

CHANNELS = ("conv", "scaled_conv", "upconv", "patchify", "linear")
"""Layers whose first argument is the number of channels that they give."""


def methods(text: str, first: int, last: int) -> list[Change]:
    """`conv(8, 3).chunk(2, dim=1)`: the methods of results in a part of a text as layers after them."""
    changes: list[Change] = []
    for match in _METHOD.finditer(text, first, last):
        closing = closed(text, match.end()) if text[match.end() : match.end() + 1] == "(" else None
        end = match.end() if closing is None else closing + 1
        given = list(arguments(text, match.end() + 1, end - 1)) if closing is not None else []
        way = "" if match[1] in NEEDLESS else next(layers(match[1], given, function=True), None)
        if way is None:
            return []
        changes.append((match.start(), end, f" -> {way}" if way else ""))
    return changes


def labelled(text: str, mistake: Diagnostic) -> Iterator[tuple[str, list[Change], bool]]:
    """A name that is a label: behind an arrow, layers that are used by name (and no longer where they stand, which is
    in doubt); else the value of the statement that it labels is named too."""
    assert mistake.at is not None
    name = mistake.at.text
    if mistake.code != "unknown-name" or not name.isidentifier():
        return
    line = re.compile(rf"^[^\S\n]*{name}:[^\S\n]*[^\n#{{]*[^\s#{{]", re.MULTILINE)
    found = list(line.finditer(text, 0, mistake.at.span.start))
    if found and text[: mistake.at.span.start].rstrip(" ").endswith("->"):
        words = f"`{name}` is a label; layers that are used by name, with the same weights, are `share {name} = ...`"
        start = found[-1].start() + found[-1].group().index(name)
        yield words, [(start, start + len(name) + 1, f"share {name} =")], False
    elif found:
        words = f"`{name}` is a label, the name of layers; `as` names the value: `{name}: ... as {name}`"
        yield words, [(found[-1].end(), found[-1].end(), f" as {name}")], True


def bracketed(text: str, mistake: Diagnostic) -> Iterator[tuple[str, list[Change]]]:
    """`param(1, 64)`: the numbers that are given one by one, in brackets, as the hint says."""
    assert mistake.at is not None
    if mistake.code == "too-many-arguments" and (mistake.hint or "").startswith(TOGETHER):
        around = [c for c in calls(text, *_line(text, mistake)) if c.start < mistake.at.span.start < c.end]
        bare = [a for a in around[-1].given if not a.name] if around else []
        if len(bare) > 1:
            changes = [(bare[0].start, bare[0].start, "("), (bare[-1].end, bare[-1].end, ")")]
            yield mistake.hint or "", changes


def _line(text: str, mistake: Diagnostic) -> tuple[int, int]:
    assert mistake.at is not None
    end = text.find("\n", mistake.at.span.end)
    return text.rfind("\n", 0, mistake.at.span.start) + 1, len(text) if end < 0 else end


def relabelled(text: str, mistake: Diagnostic) -> Iterator[tuple[str, list[Change]]]:
    """`head = gap -> ...` at the end of a net, which names a value that nothing uses: a label is meant."""
    said = _SELECTORS.sub("", text)
    for last in _LAST.finditer(text) if mistake.code in OF_RESULT else ():
        if len(re.findall(rf"\b{last[1]}\b", said)) == 1:
            words = f"`{last[1]} = ...` names a value beside the one that flows; `{last[1]}: ...` is a label"
            yield words, [(last.end(1), last.end(2), ":")]


def named(text: str, mistake: Diagnostic) -> Iterator[list[Change]]:
    """`conv(8, 3) -> skip` at the end of a line, where `skip` is used below: the value is named by `as`."""
    assert mistake.at is not None
    start, end = mistake.at.span.start, mistake.at.span.end
    arrow = _ARROW.search(text, 0, start) if is_undeclared(mistake) else None
    rest = text[end:].partition("\n")
    if arrow is not None and not rest[0].partition("#")[0].strip() and re.search(rf"\b{mistake.at.text}\b", rest[2]):
        yield [(arrow.start(), start, " as ")]


def shared(text: str, mistake: Diagnostic) -> Iterator[list[Change]]:
    """A layer that is made under a name and then called, as a member of a module is: its weights are shared."""
    assert mistake.at is not None
    start, end = mistake.at.span.start, mistake.at.span.end
    if mistake.code != "not-callable":
        return
    around = [c for c in calls(text, *_line(text, mistake)) if c.start <= start and end <= c.end and len(c.given) == 1]
    if not around:
        return
    call = around[-1]
    code = among(text, call.start, call.end, f"{call.given[0].text} -> {call.name}")
    yield [(call.start, call.end, code)]
    rows = f"{call.name} -> gather(index={call.given[0].text})"
    yield [(call.start, call.end, among(text, call.start, call.end, rows))]
    made = re.compile(rf"^[^\S\n]*(?={call.name}[^\S\n]*=(?!=))", re.MULTILINE)
    found = list(made.finditer(text, 0, call.start))
    if found:
        yield [(found[-1].end(), found[-1].end(), "share "), (call.start, call.end, code)]


def projected(text: str, mistake: Diagnostic) -> Iterator[list[Change]]:
    """A residual link in a block, its shortcut brought to the shape of the branch in the words of the block."""
    assert mistake.at is not None
    start, end = mistake.at.span.start, mistake.at.span.end
    link = _RESIDUAL.match(text, start, end) if mistake.code == "shape-mismatch" else None
    if link is None:
        return
    widths = [c.given[0].text for c in calls(text, start, end) if _gives_channels(c)]
    strides = dict.fromkeys(m[1] for m in _STRIDE.finditer(text, start, end) if widths)
    for stride in (*strides, "") if any(not said.isdigit() for said in (*widths, *strides)) else ():
        said = f", stride={stride}" if stride else ""
        yield [(link.end(), link.end(), f"(shortcut=conv({widths[-1]}, 1{said}))")]


def _gives_channels(call: Call) -> bool:
    return call.name in CHANNELS and bool(call.given) and not call.given[0].name
