"""Fixes of single characters and lines: arrows, quotes, semicolons, comments, inputs, statements of Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.braces import braces, brackets, left_out
from netdsl.fixes.calls import parts
from netdsl.fixes.operators import among
from netdsl.fixes.outputs import outputs
from netdsl.fixes.quoted import Change
from netdsl.fixes.typed import LINES, OTHERS
from netdsl.syntax.slips import LINK, misspelt_link

_COMPILED = tuple((re.compile(pattern), into) for pattern, into in LINES)
_COMPILED_OTHERS = tuple((re.compile(pattern), into) for pattern, into in OTHERS)
_SLICE = re.compile(r"\b([A-Za-z_]\w*)\[([^\]]*)\]")
_OPEN_END = re.compile(r"(-?)(\d+):")
_ENDS = re.compile(r"(\w*):(\w+)")
_NET_OF = re.compile(r"\s+(?:net|model)(?:\s*[=:]\s*|\s+)([A-Za-z_]\w*)\s*")
_HEAD_OF = re.compile(r"^((?:experiment|recipe)\s+\w+)(?:\s+for\s+(\w+))?[^{}\n]*\{", re.MULTILINE)
_HEADS = re.compile(r"^\s*(?:net|block|class|def|while|recipe|if|else|for|repeat|residual)\b")


def slips(text: str, start: int, end: int) -> Iterator[list[Change]]:
    """Changes on the line of a mistake in syntax, and of its indented block."""
    first, last = line_of(text, start)
    if text[start:end] == ":" and _is_stray(text, first):
        return
    if text[start:end] == ":" and not _HEADS.match(text[first:last]):
        yield [(start, end, " =")]
    if ";" in text[first:last]:
        yield _semicolons(text)
    yield from _net_in_body(text, first, last)
    yield from outputs(text, first, last)
    yield from braces(text, first, last)
    yield from _patterns(text, start, _COMPILED)
    yield from _misspelt_link(text, start, first)
    yield from brackets(text, start, end, first, last)
    yield from left_out(text, first, last)


def _misspelt_link(text: str, start: int, first: int) -> Iterator[list[Change]]:
    """`resdual { ... }`."""
    word = LINK.search(text, first, start) if text[start : start + 1] == "{" else None
    if word is not None and misspelt_link(text[first:start]):
        yield [(word.start(1), word.end(1), "residual")]


def _net_in_body(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """`net A`, or `net = A`, in the body of a recipe or an experiment: the net stands in its head."""
    said = _NET_OF.fullmatch(text, first, last)
    head = next(reversed(list(_HEAD_OF.finditer(text, 0, first))), None) if said else None
    if said is None or head is None or "}" in text[head.end() : first]:
        return
    if not head[2]:
        yield [(head.end(1), head.end(1), f" for {said[1]}"), (first, last + 1, "")]
    elif head[2] == said[1]:
        yield [(first, last + 1, "")]


def _is_stray(text: str, first: int) -> bool:
    """Whether an indented line stands in no braces: the head of its body is gone."""
    return text[first : first + 1].isspace() and text.count("{", 0, first) <= text.count("}", 0, first)


def other_slips(text: str, start: int) -> Iterator[list[Change]]:
    """Changes on the line of a mistake that is not one of syntax."""
    yield from _net_in_body(text, *line_of(text, start))
    yield from _patterns(text, start, _COMPILED_OTHERS)
    yield from outputs(text, *line_of(text, start))


def line_of(text: str, at: int) -> tuple[int, int]:
    """Where the line of an offset begins and ends."""
    last = text.find("\n", at)
    return text.rfind("\n", 0, at) + 1, len(text) if last < 0 else last


def _patterns(text: str, start: int, patterns: tuple[tuple[re.Pattern[str], str], ...]) -> Iterator[list[Change]]:
    """Each pattern replaced where it stands nearest, and everywhere on the line."""
    first, last = line_of(text, start)
    line = text[first:last]
    for pattern, into in patterns:
        found = [(m.start(), m.end(), m.expand(into)) for m in pattern.finditer(line)]
        changes = [(first + a, first + b, new) for a, b, new in found if line[a:b] != new]
        yield from ([c] for c in sorted(changes, key=lambda c: abs(c[0] - start))[:2])
        if len(changes) > 1:
            yield changes


def _semicolons(text: str) -> list[Change]:
    """Every `;` of the text gone, and what follows it on a line of its own."""
    changes: list[Change] = []
    for match in re.finditer(r"^([^\S\n]*)([^\n#]*;[^\n]*)$", text, re.MULTILINE):
        said = [text[a:b].strip() for a, b in parts(text, match.start(2), match.end(2), ";")]
        changes.append((match.start(2), match.end(2), f"\n{match[1]}".join(said)))
    return changes


def part_of_tensor(text: str, start: int) -> Iterator[list[Change]]:
    """`x[0:2]`: a part of the first axis; `x[:, 0:2]` counts the batch."""
    first, last = line_of(text, start)
    changes: list[Change] = []
    for match in _SLICE.finditer(text, first, last):
        layers = _parts(_closed([i.strip() for i in match[2].split(",")], _shape(text, match[1])))
        if layers:
            written = f"{match[1]} -> {layers}"
            changes.append((match.start(), match.end(), among(text, match.start(), match.end(), written)))
    yield from ([c] for c in changes)
    if len(changes) > 1:
        yield changes


def _shape(text: str, name: str) -> list[str]:
    """The sizes of an input, as they are written."""
    declared = re.search(rf"^[^\S\n]*input[^\S\n]+{name}[^\S\n]*\[([^\]\n]*)\]", text, re.MULTILINE)
    return [size.strip() for size in declared[1].split(",")] if declared else []


def _closed(items: list[str], sizes: list[str]) -> list[str]:
    """Slices that go to the end of an axis of an input, `8:` and `-8:`, with the end written out."""
    sizes = ["", *sizes] if _counts_batch(items) else sizes
    return [_ended(item, size) for item, size in zip(items, [*sizes, *[""] * len(items)], strict=False)]


def _ended(item: str, size: str) -> str:
    """A slice of an axis of this size with its end; itself, where that is not known."""
    end = _OPEN_END.fullmatch(item)
    if end is None or not size.isdigit():
        return item
    start = int(size) - int(end[2]) if end[1] else int(end[2])
    return f"{start}:{size}" if 0 < start < int(size) else item


def _counts_batch(items: list[str]) -> bool:
    return len(items) > 1 and items[0] in (":", "...")


def _parts(items: list[str]) -> str:
    """The layers that take slices and items of axes, the last axis first: an item leaves its axis out."""
    found = enumerate(items[1:] if _counts_batch(items) else items)
    said = [_part(item, f", axis={axis}" if axis or item.startswith("-") else "") for axis, item in found]
    return " -> ".join(layer for layer in reversed(said) if layer) if None not in said else ""


def _part(item: str, axis: str) -> str | None:
    """The layer that takes a slice or an item of an axis, "" for the whole axis; None where it is neither."""
    if item in (":", "..."):
        return ""
    said = _ENDS.fullmatch(item)
    if said is not None:
        begin, stop = said[1] or "0", said[2]
        are_numbers = begin.isdigit() and stop.isdigit()
        length = str(int(stop) - int(begin)) if are_numbers else stop if begin == "0" else f"{stop} - {begin}"
        return f"narrow({begin}, {length}{axis})"
    return f"take({item}{axis})" if item.removeprefix("-").isdigit() else None
