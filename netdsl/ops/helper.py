"""Helpers of PyTorch forms, printed with the options that a net uses.

The text of a helper marks what belongs to an option: `[[mask:, mask: Tensor]]` stands where a use has `mask`, and
`[[!mask:...]]` where none has; a space before the end of a mark is none of the text. A line that marks leave empty is
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Collection

WIDTH = 100
COMMA = re.compile(r", (?![^\[]*\])")
"""What separates arguments; commas inside the brackets of a type do not."""
MARKED = re.compile(r"\[\[(!?)(\w+):(.*?)\]\]", re.DOTALL)


def options(helper: str) -> frozenset[str]:
    """The options that a helper has."""
    return frozenset(name for _, name, _ in MARKED.findall(helper))


def with_options(helper: str, used: Collection[str]) -> str:
    """The text of a helper for uses that have these options."""

    def kept(found: re.Match[str]) -> str:
        absent, name, text = found.groups()
        return text.removesuffix(" ") if (name in used) != bool(absent) else ""

    lines = [(line, MARKED.sub(kept, line)) for line in helper.splitlines()]
    return "".join(f"{_broken(new)}\n" for old, new in lines if new.strip() or not old.strip())


def _broken(line: str) -> str:
    """The head of a method on as many lines as it takes."""
    if len(line) <= WIDTH or not line.lstrip().startswith("def "):
        return line
    head, _, rest = line.partition("(")
    arguments, end = rest.rsplit(")", 1)
    inner = " " * (len(line) - len(line.lstrip()) + 4)
    if len(inner + arguments) > WIDTH:
        arguments = f",\n{inner}".join(COMMA.split(arguments)) + ","
    return f"{head}(\n{inner}{arguments}\n{inner[4:]}){end}"


def whole(helper: str) -> str:
    """The text of a helper with all its options."""
    return with_options(helper, options(helper))
