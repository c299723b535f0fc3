"""The texts of a spec and of what it imports, and its ONNX file, as others get them: without paths of the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.modules import Module, imported
from netdsl.inference.run_folder import SPEC
from netdsl.loader import library

ABSOLUTE = re.compile(r'"((?:[/~\\]|[A-Za-z]:[/\\])[^"\n]*)"')
"""A text of a spec that is a path of one machine."""


def texts(run: Path, module: Module) -> dict[str, str]:
    """The spec of a run and what it imports from beside it, by their paths in the folder, as they are published.

    Raises UserError for one that lies elsewhere: a link.
    """
    root = run.resolve()
    found = {}
    for part in _own(module):
        path = Path(part.source.name)
        if path.is_symlink() or not path.resolve().is_relative_to(root):
            raise UserError(
                "unreadable", f"{path} is a link, or lies outside {run}", "put the file itself in its place"
            )
        name = SPEC if part is module else str(path.resolve().relative_to(root))
        found[name] = without_paths(part.source.text)
    return found


def paths_in(module: Module) -> list[str]:
    """The absolute paths in the texts of a spec and of its imports."""
    return sorted({match[1] for part in _own(module) for match in ABSOLUTE.finditer(part.source.text)})


def _own(module: Module) -> list[Module]:
    """A spec and its imports, but for those of the zoo."""
    zoo = Path(library()).resolve()
    return [m for m in (module, *imported(module)) if not Path(m.source.name).resolve().is_relative_to(zoo)]


def without_paths(text: str) -> str:
    """A spec whose absolute paths are cut down to their last part."""
    return ABSOLUTE.sub(lambda match: f'"{last(match[1])}"', text)


def last(path: str) -> str:
    """The last part of a path."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path


def bases(said: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The weights that a training began with; a folder by its name alone."""
    return [b if b.get("revision") else {**b, "pretrained": last(b["pretrained"])} for b in said]


def _bases(text: str) -> str:
    return json.dumps(bases(json.loads(text)), sort_keys=True, separators=(",", ":"))


FIELDS = {"pretrained": _bases, "spec": without_paths}
"""The metadata of an ONNX file that may have paths in them, and what becomes of each."""
