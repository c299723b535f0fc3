"""JSON on the standard output."""

from __future__ import annotations

import json
import re
from typing import Any


def print_json(data: Any) -> None:
    """Print a value as JSON."""
    print(json_text(data))


def json_text(data: Any) -> str:
    """JSON with keys in the order they were given, and lists of plain values (shapes) on one line."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return re.sub(r"\[\n[^\[\]{}]*?\n *\]", _on_one_line, text)


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + " ".join(line.strip() for line in found.group()[1:-1].split("\n") if line.strip()) + "]"
