"""The record of a run in its directory, as fields that can be shown, sorted and selected by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

from netdsl.diagnostics.diagnostic import UserError
from netdsl.inference.in_use import in_use
from netdsl.inference.run_folder import ABOUT, Look, read_about, read_log, read_signals
from netdsl.recipe.annotations import arguments
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.metrics import METRICS
from netdsl.recipe.schema import STRUCTURE, Recipe
from netdsl.recipe.text import shown

Field = str | int | float
MEASURED = ("loss", *(name for name, kind in METRICS.items() if kind.number))
"""What a run is measured by, in the order in which it is shown."""

SIGNALS = ("step_to_weight", "dead_units")
"""Numbers of a look of `train --probe`, over all weights and ReLUs."""

TAKEN = frozenset({*MEASURED, "run", "net", "recipe", "state", "step", "seconds", "device", "netdsl"})
"""Names of fields that are not settings: a setting of such a name is `recipe.precision`."""


class Record:
    """A run as its directory describes it. Raises CheckpointError for a folder that is not a run directory."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.about, self.recipe = read_about(self.folder)
        self.log = read_log(self.folder)

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def state(self) -> str:
        """`ended`; `running`, while a process holds the directory; or `stopped`: it can be resumed."""
        return "ended" if self.about.result else "running" if in_use(self.folder) else "stopped"

    @cached_property
    def measured(self) -> Mapping[str, float]:
        """The metrics on the test split; of a run that has not ended those of its latest evaluation."""
        held = [line for line in self.log if line["kind"] == "evaluation"]
        found = self.about.result or (held[-1] if held else {})
        return {name: found[name] for name in MEASURED if isinstance(found.get(name), float)}

    @cached_property
    def signals(self) -> Mapping[str, float]:
        """At the last look of `train --probe`: the size of a step relative to the weight, the median over the weights,
        and the share of dead units, the mean over the ReLUs. Empty for a run that was not looked at."""
        if not self.looks:
            return {}
        last = self.looks[-1]
        updates = {SIGNALS[0]: median(last.updates.values())} if last.updates else {}
        return updates | ({SIGNALS[1]: fmean(last.dead.values())} if last.dead else {})

    @cached_property
    def looks(self) -> Sequence[Look]:
        """The looks of `train --probe`, in order."""
        return read_signals(self.folder)

    @cached_property
    def settings(self) -> Mapping[str, Field]:
        """The net's arguments and the recipe's fields, each argument of a component by its path: `optimizer.lr`."""
        return {**self.about.arguments, **self.about.sizes, **flat(self.recipe)}

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """Everything that is known of the run, by name."""
        about = self.about
        steps = [line for line in self.log if "step" in line]
        found: dict[str, Field] = {"run": self.name, "net": about.net, "recipe": self.recipe.name, "state": self.state}
        if steps:
            found["step"] = int(steps[-1]["step"])
        found |= self.measured
        if isinstance(about.result.get("seconds"), float):
            found["seconds"] = about.result["seconds"]
        found |= {"device": str(about.environment.get("device", "")), "netdsl": about.versions.get("netdsl", "")}
        return found | {name if name not in TAKEN else f"recipe.{name}": v for name, v in self.settings.items()}


def flat(recipe: Recipe) -> dict[str, Field]:
    """The fields of a recipe by their paths: numbers as numbers, everything else as it is written in a recipe."""
    found: dict[str, Field] = {}
    for name in arguments(Recipe):
        if name not in STRUCTURE:
            found |= dict(_flat(name, getattr(recipe, name)))
    if recipe.groups:
        found["groups"] = "; ".join(
            f"{', '.join(g.selectors)} {{ {', '.join(f'{k} = {shown(v)}' for k, v in g.settings.items())} }}"
            for g in recipe.groups
        )
    if recipe.freeze:
        found["freeze"] = ", ".join(recipe.freeze)
    return found


def _flat(path: str, value: Any) -> Iterator[tuple[str, Field]]:
    given = value if isinstance(value, tuple) else (value,)
    parts: list[Component] = [p for p in given if isinstance(p, Component)]
    if not parts:
        yield path, value if isinstance(value, int | float) and not isinstance(value, bool) else shown(value)
        return
    names = [component_name(p) for p in parts]
    yield path, " -> ".join(names)
    for name, part in zip(names, parts, strict=True):
        if names.count(name) == 1:  # else a path would name two of them
            yield from _arguments(path if isinstance(value, Component) else f"{path}.{name}", part)


def _arguments(path: str, part: Component) -> Iterator[tuple[str, Field]]:
    for name in arguments(type(part)):
        yield from _flat(f"{path}.{name}", getattr(part, name))


def found_in(paths: Sequence[Path]) -> tuple[list[Record], list[UserError]]:
    """The runs in folders, at any depth, in natural order; and of those that cannot be read, why.

    A folder that is named twice, also through one above it, is one run.
    """
    records, refused = [], []
    every: dict[Path, Path] = {}
    for folder in (f for path in paths for f in _folders(path)):
        every.setdefault(Path(os.path.realpath(folder)), folder)
    for folder in every.values():
        try:
            records.append(Record(folder))
        except UserError as error:
            refused.append(error)
    return records, refused


def _folders(path: Path) -> list[Path]:
    if (path / ABOUT).exists():
        return [path]
    return sorted((p.parent for p in path.rglob(ABOUT)), key=natural)


def natural(path: Path) -> list[tuple[int, str]]:
    """A key by which `LeNet5-2` comes before `LeNet5-10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def varying(records: Sequence[Record]) -> dict[str, list[Field | None]]:
    """The settings that differ between runs, with the value of each; where components differ, not their arguments."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    found = {name: [record.settings.get(name) for record in records] for name in names}
    found = {name: values for name, values in found.items() if any(v != values[0] for v in values)}
    return {name: values for name, values in found.items() if not any(name.startswith(f"{n}.") for n in found)}
