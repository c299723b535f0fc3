"""JSON on the standard output, tables as CSV, sentences as HTML."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from netdsl.render.markup import escape


def print_json(data: Any) -> None:
    """Print a value as JSON."""
    print(json_text(data))


def json_text(data: Any) -> str:
    """JSON with keys in the order they were given, and lists of plain values (shapes) on one line."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return re.sub(r"\[\n[^\[\]{}]*?\n *\]", _on_one_line, text)


def csv_text(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> str:
    """CSV with a header: the columns `first`, then those of the rows in the order in which they come up."""
    names = list(dict.fromkeys([*first, *(name for row in rows for name in row)]))
    lines = _Lines()
    writer = csv.DictWriter(lines, names)  # a cell with a return is quoted because lines end with one
    writer.writeheader()
    writer.writerows(rows)
    return "".join(lines.written)


class _Lines:
    """Rows as they are written, each ended by a newline alone."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> None:
        self.written.append(line.removesuffix("\r\n") + "\n")


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + " ".join(line.strip() for line in found.group()[1:-1].split("\n") if line.strip()) + "]"


def marked(text: str) -> str:
    """A sentence as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
