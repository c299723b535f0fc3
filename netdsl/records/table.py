"""The table of `netdsl runs`: which runs, in which order, with which fields."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.recipe.metrics import headline, said, title
from netdsl.records.record import Field, Record, varying
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import RULE, Cell, columns

TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*")


class FieldError(ValueError):
    """A condition that is none, or a field that no run has; `hint` says what is meant."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


MOST_VARYING = 5
"""How many settings that differ between the runs are shown unasked."""


def selected(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """The runs that meet every condition, each `FIELD=VALUE` or with `!=`, `<`, `<=`, `>`, `>=`.

    Raises FieldError for what is no condition, or names a field that no run has.
    """
    tests = [_test(text, records) for text in conditions]
    return [record for record in records if all(test(record.fields) for test in tests)]


def _test(text: str, records: Sequence[Record]) -> Callable[[Mapping[str, Field]], bool]:
    found = CONDITION.fullmatch(text)
    if found is None or not found[3]:
        raise FieldError(f"`{text}` should be FIELD=VALUE", "for example `top1>=0.98`, `net=LeNet5`")
    name, holds, wanted = field_of(found[1], records), TESTS[found[2].replace("==", "=")], found[3]

    def test(fields: Mapping[str, Field]) -> bool:
        value = fields.get(name)
        if value is None:
            return False
        number = _number(wanted)
        if isinstance(value, int | float) and number is not None:
            return holds(value, number)
        return holds(str(value), wanted)

    return test


def _number(text: str) -> float | None:
    """A number, also in percent."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def field_of(name: str, records: Sequence[Record]) -> str:
    """The field that is meant: its path, or the last part of the only path that ends so. Raises FieldError."""
    known = dict.fromkeys(n for record in records for n in record.fields)
    if name in known or not records:
        return name
    meant = [n for n in known if n.endswith(f".{name}") or title(n) == name]
    if len(meant) == 1:
        return meant[0]
    hint = f"which one: {', '.join(meant)}?" if meant else did_you_mean(name, known)
    raise FieldError(f"no run has a field `{name}`", hint or "`--json` shows all fields")


def ordered(records: Sequence[Record], by: str, down: bool = False) -> list[Record]:
    """The runs sorted by a field, largest first where `down`; those that lack it come last. Raises FieldError."""
    name = field_of(by, records)
    have = [r for r in records if name in r.fields]
    numbers = all(isinstance(r.fields[name], int | float) for r in have)

    def key(record: Record) -> Any:
        return record.fields[name] if numbers else str(record.fields[name])

    return sorted(have, key=key, reverse=down) + [r for r in records if name not in r.fields]


def shown_fields(records: Sequence[Record], more: Sequence[str]) -> list[str]:
    """The columns: what the runs are, how good, the settings that differ between them, and those asked for."""
    measured = [name for name in (headline(r.about.task) for r in records) if any(name in r.measured for r in records)]
    differ = [name for name in varying(records) if name != "data"][:MOST_VARYING]
    asked = [field_of(name, records) for name in more]
    wanted = ["run", *_several("net", records), "state", "step", *measured, "loss", *_several("data", records)]
    known = {name for r in records for name in r.fields}
    return [name for name in dict.fromkeys([*wanted, *asked, *differ, "seconds"]) if name in known]


def _several(name: str, records: Sequence[Record]) -> list[str]:
    """The field, where it is not the same in all runs."""
    return [name] if len({r.fields.get(name) for r in records}) > 1 else []


def table_text(records: Sequence[Record], names: Sequence[str], paint: Paint = PLAIN) -> str:
    """The table of some fields for a terminal."""
    numeric = {n: all(isinstance(r.fields.get(n, 0), int | float) for r in records) for n in names}
    align = "".join(">" if numeric[n] else "<" for n in names)
    rows: list[Any] = [[Cell(title(n), "bold") for n in names], RULE]
    rows += [[_cell(n, record.fields.get(n)) for n in names] for record in records]
    return columns(rows, align, paint, margin="")


def _cell(name: str, value: Field | None) -> Cell:
    style = {"ended": "", "running": "hint", "stopped": "warning"}.get(str(value), "") if name == "state" else ""
    return Cell(cell_text(name, value), style)


def cell_text(name: str, value: Field | None) -> str:
    """A field as people read it: fractions in percent, `-` where a run does not have it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if name == "seconds" else said(name, value, ".4g")
    return f"{value:,}" if isinstance(value, int) else value
