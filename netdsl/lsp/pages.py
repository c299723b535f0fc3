"""Files that an editor opens: what a code means, the drawing of a net. They are gone when the server ends."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from netdsl.diagnostics.codes import TABLE
from netdsl.render.errors import section


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="netdsl-")


def written(name: str, text: str) -> str | None:
    """The address of a new file; None where it cannot be written."""
    try:
        path = Path(_folder().name, name)
        path.write_text(text, encoding="utf-8")
    except OSError:
        return None
    return path.as_uri()


@cache
def code_page(code: str) -> str | None:
    """The address of the page on a diagnostic code; None for one that is not in the table."""
    return written(f"{code}.md", f"{section(TABLE[code]).strip()}\n") if code in TABLE else None
