"""A comparison as text for a terminal: figures first, then what changed, the same change told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from msgspec import Struct

from netdsl.diff.groups import ARROW, WITHIN, Group, Rest, changed, groups
from netdsl.diff.model import Cost, Field, NetDiff, RecipeDiff, Tensor
from netdsl.render.numbers import grouped, in_bytes, scaled
from netdsl.render.paint import PLAIN, Paint, width
from netdsl.render.table import RULE, Cell, Cells, columns
from netdsl.sizes.dims import Dim

STYLES = {"+": "hint", "-": "error", "~": "warning", ">": "note"}

Shown = Callable[[Dim], str]

MOST_BESIDE = 36
"""The longest value of a field that stands in a column."""

WIDEST = 74
"""The longest text of a change; a longer one continues in the next line."""


def net_text(diff: NetDiff, paint: Paint = PLAIN) -> str:
    """Two nets, compared: a table of figures, then every change."""
    head = paint(f"{diff.before.name} {ARROW} {diff.after.name}", "bold")
    if diff.equal:
        return f"{head}: the same net"
    table: list[Cells | None] = [("", "before", "after", "difference", ""), RULE, *figures(diff)]
    parts = [head, "", columns(table, "<>>>>", paint), "", columns(list(_changes(diff)), "<>>", paint)]
    return "\n".join(parts)


def recipe_text(diff: RecipeDiff, paint: Paint = PLAIN) -> str:
    """Two recipes, compared field by field."""
    head = paint(f"{diff.before} {ARROW} {diff.after}", "bold")
    if diff.equal:
        return f"{head}: the same recipe"
    short = [f for f in (*diff.fields, *diff.follows) if not _long(f)]
    rows: list[Cells | None] = [("", "before", "after"), RULE]
    rows += [_field_row(f, "") for f in diff.fields if f in short]
    follows = [_field_row(f, "dim") for f in diff.follows if f in short]
    parts = [head, "", columns([*rows, *([RULE] if follows else []), *follows], "<<<", paint)]
    for field in (f for f in (*diff.fields, *diff.follows) if _long(f)):
        parts += ["", f"  {field.name}", *_stacked("-", field.before, paint), *_stacked("+", field.after, paint)]
    return "\n".join(parts)


def _field_row(field: Field, style: str) -> Cells:
    return Cell(field.name, style), field.before or "", field.after or ""


def _long(field: Field) -> bool:
    """Whether a field is too wide for two columns."""
    return max(len(v or "") for v in (field.before, field.after)) > MOST_BESIDE


def _stacked(sign: str, value: str | None, paint: Paint) -> Iterator[str]:
    for n, line in enumerate(_wrapped(value, WIDEST) if value else ()):
        yield "  " + paint(f"{sign if n == 0 else ' '} {line}", STYLES[sign])


def figures(diff: NetDiff) -> list[tuple[str, ...]]:
    """The totals of both nets and their differences: rows of a table."""
    before, after = diff.before.cost, diff.after.cost
    return [
        _figure("parameters", before.params, after.params, grouped),
        _figure("MACs", before.macs, after.macs, scaled),
        _figure("activation memory", before.bytes, after.bytes, in_bytes),
        ("receptive field", diff.before.field, diff.after.field, "", ""),
    ]


def _figure(name: str, before: Dim, after: Dim, text: Shown) -> tuple[str, ...]:
    share = ""
    if isinstance(before, int) and isinstance(after, int) and before and before != after:
        share = f"{100 * (after - before) / before:+.1f}%"
    return name, text(before), text(after), signed(after - before, text), share


def signed(value: Dim, text: Shown) -> str:
    """A difference with its sign; nothing where there is none."""
    if not isinstance(value, int):
        return text(value)
    return "" if value == 0 else f"{'+' if value > 0 else '-'}{text(abs(value))}"


def _changes(diff: NetDiff) -> Iterator[Cells]:
    yield Cell("", ""), Cell("parameters", "dim"), Cell("MACs", "dim")
    for field in (*diff.fields, *diff.pair.fields):
        yield (
            Cell(changed(field.name, [field]) if field.before and field.after else _one_sided(field), "warning"),
            "",
            "",
        )
    found, rest = lines(*groups(diff.pair.entries))
    for line in found:
        yield from _line(line, 0)
    if rest.count:
        yield _row("  ", told(rest), rest.cost, "dim")
    for n, text in enumerate(_wrapped(f"state dict: {state_dict(diff.tensors)}", WIDEST)):
        yield Cell(("  " if n == 0 else "    ") + text, "dim"), "", ""


def _one_sided(field: Field) -> str:
    return f"+ {field.name} {field.after}" if field.before is None else f"- {field.name} {field.before}"


def _line(line: Line, depth: int) -> Iterator[Cells]:
    """A line and those inside it."""
    for n, text in enumerate(_wrapped(line.text, WIDEST - 2 * depth - 4)):
        lead = "  " * depth + (f"{line.sign} " if n == 0 else "    ")
        yield _row(lead, text, line.group.delta if n == 0 else Cost(), STYLES[line.sign])
    for inner in line.inside:
        yield from _line(inner, depth + 1)
    if line.inside and (line.rest.cost.params or line.rest.cost.macs):
        yield _row("  " * depth + "    ", told(line.rest), line.rest.cost, "dim")


def told(rest: Rest) -> str:
    """Of what nothing else is told, in words."""
    return "1 other changed in size only" if rest.count == 1 else f"{rest.count:,} others changed in size only"


class Line(Struct, frozen=True, eq=False):
    """A change as it is told: a chain of groups each of which only holds the next is one line, with the cost of the
    last, `group`. `rest`: what else changed inside of it in size only."""

    sign: str
    text: str
    group: Group
    inside: tuple[Line, ...]
    rest: Rest


def lines(found: tuple[Group, ...], rest: Rest) -> tuple[tuple[Line, ...], Rest]:
    """The lines of groups, and what else changed beside them in size only, within chains too: the costs of all of it
    add up to those of the groups and the rest."""
    told = []
    for group in found:
        text = _titled(group)
        while group.plain and len(group.inside) == 1:
            rest += group.rest
            (group,) = group.inside
            text += f" {WITHIN} {_titled(group)}"
        told.append(Line(group.sign, text, group, *lines(group.inside, group.rest)))
    return tuple(told), rest


def _titled(group: Group) -> str:
    parts = [*group.fields, *group.places]
    given = f"({', '.join(group.arguments)})" if group.arguments and not group.plain else ""
    return f"{group.title}{given}{': ' if parts else ''}{', '.join(parts)}"


def _row(lead: str, text: str, cost: Cost, style: str) -> Cells:
    return Cell(lead + text, style), signed(cost.params, grouped), signed(cost.macs, scaled)


def _wrapped(text: str, most: int) -> Iterator[str]:
    """Text in lines of at most so many columns, broken at blanks."""
    line = ""
    for word in text.split(" "):
        if line and width(line) + 1 + width(word) > most:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def state_dict(tensors: tuple[Tensor, ...]) -> str:
    """Describe what becomes of the tensors of a state dict."""
    count = Counter(_fate(t) for t in tensors)
    total = sum(t.before is not None for t in tensors)
    told = [f"{count['stays']:,} of {total:,} tensors keep key and shape"]
    told += [f"{count[w]:,} {text}" for w, text in FATES.items() if count[w]]
    return ", ".join(told)


FATES = {"moves": "get another key", "reshaped": "another shape", "new": "are new", "gone": "are gone"}


def _fate(tensor: Tensor) -> str:
    if tensor.before is None or tensor.after is None:
        return "new" if tensor.before is None else "gone"
    if not tensor.fits:
        return "reshaped"
    return "stays" if tensor.before == tensor.after else "moves"
