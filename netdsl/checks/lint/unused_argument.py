"""An argument of a block or a net that its body never uses."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic


def check(file: File) -> Iterator[Diagnostic]:
    for block, names in file.blocks:
        for parameter in block.parameters:
            name = parameter.name.id
            if name not in names.used and not name.startswith("_"):
                at = file.module.place(parameter.name.at)
                hint = "use it, or leave it out; a name that begins with _ may be unused"
                yield warning("unused-argument", f"`{block.name.id}` never uses its argument `{name}`", at, hint)
