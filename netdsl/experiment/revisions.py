"""The commits of the weights by name of an experiment: asked for once, the same in all of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.experiment.files import read, write_json
from netdsl.recipe.inits import Pretrained
from netdsl.recipe.schema import Recipe

REVISIONS = "revisions.json"
"""A file beside the runs: the commit of each name."""


def revisions(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The commit of each name: as it was when the experiment first needed it. Raises WeightsError."""
    if not names:
        return {}
    known: dict[str, str] = read(folder / REVISIONS, dict[str, str]) or {}
    lacking = [name for name in dict.fromkeys(names) if name not in known]
    if lacking:
        from netdsl.weights.hub import of_hub

        known |= {name: of_hub(name).revision for name in lacking}
        write_json(folder / REVISIONS, known)
    return {name: known[name] for name in names}


def pinned(recipe: Recipe, found: Mapping[str, str]) -> Recipe:
    """The recipe with these commits where it says none."""
    init: list[Any] = [
        replace(c, revision=found[c.name]) if isinstance(c, Pretrained) and not c.revision and c.name in found else c
        for c in recipe.init
    ]
    return replace(recipe, init=tuple(init))
