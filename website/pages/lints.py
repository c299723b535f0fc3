"""Every lint: why, and the examples that its tests run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from netdsl.checks.lint.recipe_rules import RECIPE_RULES
from netdsl.checks.lint.rules import COSTS, FILE_RULES
from netdsl.diagnostics.codes import TABLE
from website.pages.ops import escaped

EXAMPLES = Path(__file__).parent.parent.parent / "tests" / "checks" / "lints"
_MARK = re.compile(r"^# (INVALID|VALID): (.*)\n", re.MULTILINE)

HEAD = """\
# Lints

Warnings of what is legal and hardly meant, with the reason and the source of each. All are on;
`# netdsl: allow CODE: reason` on a line, or above it, silences one there, and `netdsl check --deny warnings` fails on
the rest. The examples are those of the tests: each of the first kind gives this warning and no other, each of the
second gives none.

"""


def pages() -> dict[str, str]:
    """The page by its path."""
    return {"reference/lints.md": HEAD + "\n".join(_page())}


def _page() -> Iterator[str]:
    for title, rules in (("Of nets", FILE_RULES | COSTS), ("Of recipes", RECIPE_RULES)):
        yield f"## {title}\n"
        for code in rules:
            yield from _lint(code)


def _lint(code: str) -> Iterator[str]:
    entry = TABLE[code]
    yield f"### {code}\n\n**{escaped(entry.title)}.** {escaped(entry.explanation)}\n"
    _, *parts = _MARK.split((EXAMPLES / f"{code}.net").read_text())
    for kind, mark in (("INVALID", "warns"), ("VALID", "is fine")):
        found = [(t, s) for k, t, s in zip(parts[::3], parts[1::3], parts[2::3], strict=True) if k == kind]
        yield f'??? {"warning" if kind == "INVALID" else "success"} "{len(found)} examples where it {mark}"\n'
        for title, text in found:
            block = f'```net title="{title.replace(chr(34), chr(39))}"\n{text.strip()}\n```'
            yield "\n".join(f"    {line}".rstrip() for line in block.splitlines()) + "\n"
