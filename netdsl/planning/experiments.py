"""An experiment as it is written, to a value: what varies, what is measured, what is compared and drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil, log2, prod
from typing import Any, Literal

from msgspec import Struct

from netdsl.source import Place

ALPHA = 0.05
"""The level that a comparison is tested at."""


class Range(Struct, frozen=True):
    """Values from `low` to `high`: evenly spread, or their logarithms (`log`); whole numbers where both ends are."""

    low: float
    high: float
    log: bool
    whole: bool


class Factor(Struct, frozen=True, eq=False):
    """A factor: an argument of the net, or a field of the recipe (`of`), with its values as written, or a range that a
    search draws from. `places` are those of the values."""

    path: str
    of: Literal["net", "recipe"]
    values: tuple[str, ...]
    places: tuple[Place, ...]
    range: Range | None
    at: Place


class Search(Struct, frozen=True):
    """How trials are chosen: at `random`, or by `tpe` (Bergstra et al. 2011); `prune` ends those early that lag."""

    kind: Literal["random", "tpe"]
    trials: int
    prune: Literal["hyperband", "median"] | None = None


class Comparison(Struct, frozen=True, eq=False):
    """A measure of every cell against that of the cell in which the factor `path` has the value `against`."""

    measure: str
    path: str
    against: str
    at: Place


class Figure(Struct, frozen=True):
    """A plot: `x` is a factor or a measure, `y` a measure, `color` a factor. `only`: factors with the one value of
    which it shows the cells."""

    kind: Literal["line", "bars", "scatter"]
    x: str
    y: str
    color: str = ""
    title: str = ""
    xscale: Literal["", "linear", "log"] = ""
    yscale: Literal["linear", "log"] = "linear"
    only: tuple[tuple[str, str], ...] = ()

    def shows(self, cell: Cell) -> bool:
        """Whether a cell belongs to what is plotted."""
        return all(cell.values[path] == value for path, value in self.only)


class Cell(Struct, frozen=True):
    """One combination of values, by path in the order of the factors."""

    net: dict[str, str]
    recipe: dict[str, str]
    values: dict[str, str]

    @property
    def label(self) -> str:
        """`blocks = 1, convs = 2`."""
        return ", ".join(f"{path} = {value}" for path, value in self.values.items()) or "as written"


class Experiment(Struct, frozen=True, eq=False, kw_only=True):
    """An experiment. `net` and `recipe` are names in its file; `recipe` None: the defaults. `objective`: the measure
    that a search looks at, the first."""

    name: str
    doc: str
    net: str
    recipe: str | None
    factors: tuple[Factor, ...]
    search: Search | None
    seeds: int
    measures: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    figures: tuple[Figure, ...]
    at: Place

    @property
    def objective(self) -> str:
        return self.measures[0]

    @property
    def size(self) -> int:
        """How many cells there are: of the grid, or trials of the search."""
        return self.search.trials if self.search else prod(len(f.values) for f in self.factors)

    def cells(self) -> Iterator[Cell]:
        """The cells of the grid, the last factor fastest."""
        for values in product(*(f.values for f in self.factors)):
            yield self.cell(values)

    def cell(self, values: tuple[str, ...]) -> Cell:
        """The cell of these values, one for each factor."""
        chosen = dict(zip((f.path for f in self.factors), values, strict=True))
        parts: dict[str, dict[str, str]] = {"net": {}, "recipe": {}}
        for factor in self.factors:
            parts[factor.of][factor.path] = chosen[factor.path]
        return Cell(parts["net"], parts["recipe"], chosen)

    def wanted(self) -> tuple[str, ...]:
        """Every measure that a table, a comparison or a figure shows, each once."""
        varied = {f.path for f in self.factors}
        drawn = [path for f in self.figures for path in (f.x, f.y) if path not in varied]
        return tuple(dict.fromkeys((*self.measures, *(c.measure for c in self.comparisons), *drawn)))

    def tests(self, comparison: Comparison) -> int:
        """How many cells a comparison compares with others."""
        sizes = {f.path: len(f.values) for f in self.factors}
        return self.size // sizes[comparison.path] * (sizes[comparison.path] - 1)


def least_p(pairs: int) -> float:
    """The smallest two-sided p of an exact sign-flip test: both ways in which all differences have one sign."""
    return min(1.0, 0.5 ** (pairs - 1))


def pairs_needed(tests: int) -> int:
    """The fewest pairs with which the smallest p of so many tests, corrected by Holm (1979), falls below ALPHA."""
    needed = max(1, ceil(log2(2 * tests / ALPHA)))
    return needed if least_p(needed) * tests < ALPHA else needed + 1


def text_of(value: Any) -> str | None:
    """A plain value as it is written in a spec; None for an arrow, a block or whatever else has no such text."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, tuple | list | range):
        inside = [text_of(v) for v in value]
        return None if None in inside else f"[{', '.join(filter(None, inside))}]"
    return None
