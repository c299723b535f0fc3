"""The experiments of a file: mistakes in their entries, cells that don't check, comparisons that can't say anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from netdsl.budget import affords, paid
from netdsl.checks.recipe_net import CheckedNet
from netdsl.checks.unchanged import Unchanged
from netdsl.diagnostics.diagnostic import Diagnostic, Label, diagnostic
from netdsl.elaborate.builder import Options
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.given import Expression
from netdsl.elaborate.modules import Module
from netdsl.elaborate.requested import Request, elaborate
from netdsl.planning.demands import demands
from netdsl.planning.experiment_entries import Read, read_experiment
from netdsl.planning.experiments import ALPHA, Cell, Experiment, Factor, pairs_needed
from netdsl.planning.measures import SPLITS
from netdsl.planning.outputs import measured
from netdsl.planning.recipes import NetReference, complete, load_recipe
from netdsl.recipe.resolve import Resolved, astray
from netdsl.recipe.schema import Recipe
from netdsl.source import Place
from netdsl.syntax import ast

MOST_CHECKED = 200
"""How many cells are looked at, in `check` as far as half of the budget of work goes; `netdsl experiment` looks at all
before the first one is trained."""

PER_CELL = 1_000
"""What a cell costs of the budget of work, beside its net and its recipe."""

LATER = ("missing-argument",)
"""Codes of what may follow from a mistake in another entry: the argument is there, and mistaken."""

MOST_NAMED = 8
"""How many cells that don't check are named one by one."""


def check_experiments(module: Module, elaborator: Elaborator, unchanged: Unchanged) -> None:
    """Report every mistake in the experiments of a file."""
    for node in module.file.declarations:
        if isinstance(node, ast.Experiment) and not unchanged.skips("experiment", node, whole=True):
            with elaborator.recording():
                for found in ExperimentCheck(module, elaborator).run(node):
                    elaborator.report(found)


class Broken(Struct, frozen=True, eq=False):
    """A cell that does not check, and its first mistake in its `net`, in its `recipe`, or between `both`."""

    cell: Cell
    mistake: Diagnostic
    part: Literal["net", "recipe", "both"]


class Blame(Struct, frozen=True, eq=False):
    """Cells that do not check because of the `values` of a factor, and how that is told."""

    factor: Factor
    values: tuple[str, ...]
    broken: list[Broken]
    told: Diagnostic


class ExperimentCheck:
    """Checks experiments; nets and recipes that several cells share are looked at once. `ended`: what may be left out
    of the budget of work has ended."""

    def __init__(self, module: Module, elaborator: Elaborator) -> None:
        self.module = module
        self.elaborator = elaborator
        self.nets: dict[tuple[str, ...], CheckedNet | Diagnostic | None] = {}
        self.recipes: dict[tuple[str, ...], Resolved] = {}
        self.broken: dict[str, list[Broken]] = {}
        self.ended = False

    def run(self, node: ast.Experiment, most: int = MOST_CHECKED) -> Iterator[Diagnostic]:
        """Every mistake in an experiment, and a warning for each comparison that can't be significant."""
        self.nets, self.recipes, self.broken, self.ended = {}, {}, {}, False
        read = read_experiment(self.module, node, self.elaborator.evaluator)
        yield from read.diagnostics
        if read.experiment is None:
            yield from self._apart(read, read.fitting, most)[0] if read.fitting is not None else ()
            return
        cells = self._known(read, read.experiment, most)
        if any(self._broken(read, cell) for cell in cells):
            yield from self._mistaken(read, read.experiment, most)
        else:
            yield from self._unmeasured(read, node, cells)
            yield from _hopeless(read.experiment)

    def _mistaken(self, read: Read, experiment: Experiment, most: int) -> Iterator[Diagnostic]:
        """The mistakes of factors, then those of cells without these."""
        found, left = self._apart(read, experiment, most)
        yield from found
        if all(f.values or f.range is not None for f in left if f.of == "net"):
            rest = replace(experiment, factors=_with_values(left))
            cells = self._known(read, rest, most)
            yield from _told(rest, cells, self._new(read, cells), self.module)

    def _apart(self, read: Read, experiment: Experiment, most: int) -> tuple[list[Diagnostic], list[Factor]]:
        """The mistakes of the net's arguments, and of every field of the recipe as if it alone varied: none hides
        another. Also the factors, with the values that no mistake is blamed on."""
        found: list[Diagnostic] = []
        left: list[Factor] = []
        for group in _groups(experiment.factors):
            told, kept = self._narrowed(read, replace(experiment, factors=group), most)
            found += told
            left += kept
        return found, left

    def _narrowed(self, read: Read, part: Experiment, most: int) -> tuple[list[Diagnostic], list[Factor]]:
        """The mistakes of factors that have to do with one another: those of values first, then those that are seen
        without these values."""
        of, cells = part.factors[0].of, self._known(read, part, most)
        broken = [b for b in self._new(read, cells) if _belongs(b, of)]
        blames = _blames(part, cells, broken, self.module)
        if not blames:
            told = list(_told(part, cells, broken, self.module))
            return told, [_without(f, cells, broken) for f in part.factors]
        told, factors = [b.told for b in blames], [_left(f, blames) for f in part.factors]
        kept = _with_values(factors)
        least = len(factors) if of == "net" else 1  # nothing is left else, or nothing that the net could be made with
        if self.ended or len(kept) < least:
            return told, factors
        further, left = self._narrowed(read, replace(part, factors=kept), most)
        return told + further, [*left, *(f for f in factors if f not in kept)]

    def _new(self, read: Read, cells: Sequence[Cell]) -> list[Broken]:
        """The mistakes of cells that are not told where the recipe is written."""
        known = {_key(d) for d in self.elaborator.diagnostics}
        return [b for cell in cells for b in self._broken(read, cell) if _key(b.mistake) not in known]

    def _known(self, read: Read, experiment: Experiment, most: int) -> list[Cell]:
        """The cells that are known before anything is trained, and looked at: of a search through ranges, one at their
        lower ends, of a grid as many as the budget of work pays for."""
        if all(f.range is None for f in experiment.factors):
            found: list[Cell] = []
            for cell in islice(experiment.cells(), most):
                found.append(cell)
                before = paid()
                self._broken(read, cell)
                self.ended = not affords(PER_CELL + paid() - before)
                if self.ended:
                    break
            return found
        return [experiment.cell(tuple(f"{f.range.low:.12g}" if f.range else f.values[0] for f in experiment.factors))]

    def _broken(self, read: Read, cell: Cell) -> list[Broken]:
        """The mistakes of a cell: in its net and its recipe, or between them."""
        if cell.label not in self.broken:
            self.broken[cell.label] = self._mistakes(read, cell)
        return self.broken[cell.label]

    def _mistakes(self, read: Read, cell: Cell) -> list[Broken]:
        net, resolved = self._net(read, cell.net), self._recipe(read, cell.recipe)
        broken = [Broken(cell, net, "net")] if isinstance(net, Diagnostic) else []
        broken += [Broken(cell, mistake, "recipe") for mistake in _wrong(cell, resolved)]
        if isinstance(net, CheckedNet) and resolved.recipe is not None:
            found = demands(net, resolved.recipe, resolved.places)
            unfit = next((d for d in found if d.severity == "error"), None)
            broken += [Broken(cell, unfit, "both")] if unfit is not None else []
        return broken

    def _net(self, read: Read, arguments: Mapping[str, str]) -> CheckedNet | Diagnostic | None:
        key = tuple(f"{n}={v}" for n, v in arguments.items())
        if key not in self.nets:
            self.nets[key] = self._elaborated(read.net, arguments) if read.net else None
        return self.nets[key]

    def _elaborated(self, reference: NetReference, texts: Mapping[str, str]) -> CheckedNet | Diagnostic | None:
        arguments = {n: Expression(v) for n, v in texts.items()}
        reference = complete(reference, self.elaborator.evaluator, arguments) or reference
        made = elaborate(Request(reference.module, reference.name, arguments, {}, Options()))
        if made.program is None:
            return made.diagnostics[0] if made.diagnostics else None
        return CheckedNet(reference, made.program, arguments)

    def _recipe(self, read: Read, settings: Mapping[str, str]) -> Resolved:
        key = tuple(f"{n}={v}" for n, v in settings.items())
        if key not in self.recipes:
            module, name = read.recipe or (self.module, None)
            self.recipes[key] = load_recipe(module, self.elaborator.evaluator, name, settings)
        return self.recipes[key]

    def _unmeasured(self, read: Read, node: ast.Experiment, cells: Sequence[Cell]) -> Iterator[Diagnostic]:
        """Measures that the recipe does not give, or that of some cells does not."""
        chosen = list({tuple(c.recipe.items()): c.recipe for c in cells}.values()) or [{}]
        recipes = [(c, found) for c in chosen if (found := self._recipe(read, c).recipe) is not None]
        for name in _measures(node):
            lacking = [(c, why) for c, recipe in recipes if (why := _lacks(recipe, name.id)) is not None]
            if lacking:
                settings, (message, hint) = lacking[0]
                if len(lacking) < len(recipes):
                    message += f" with `{', '.join(f'{path} = {value}' for path, value in settings.items())}`"
                yield diagnostic("unknown-measure", message, self.module.place(name.at), hint)


def _belongs(broken: Broken, part: str) -> bool:
    """Whether a mistake is one of the net or of the recipe, and can not follow from that in another entry."""
    return broken.part == part and broken.mistake.code not in LATER


def _groups(factors: tuple[Factor, ...]) -> list[tuple[Factor, ...]]:
    """Factors that have to do with one another: the arguments of the net, and all of one field of the recipe."""
    groups: dict[str, list[Factor]] = {}
    for factor in factors:
        groups.setdefault("" if factor.of == "net" else factor.path.partition(".")[0], []).append(factor)
    return [tuple(group) for group in groups.values()]


def _without(factor: Factor, cells: Sequence[Cell], broken: Sequence[Broken]) -> Factor:
    """A factor without the values with which no cell checks."""
    wrong = {b.cell.label for b in broken}
    fine = {c.values[factor.path] for c in cells if c.label not in wrong}
    kept = [(v, p) for v, p in zip(factor.values, factor.places, strict=True) if v in fine]
    return replace(factor, values=tuple(v for v, _ in kept), places=tuple(p for _, p in kept))


def _wrong(cell: Cell, resolved: Resolved) -> Sequence[Diagnostic]:
    """The mistakes of a cell's recipe: every path that names nothing, else the first. A path into a field that is wrong
    by itself follows from that."""
    wrong = [d for d in resolved.diagnostics if d.severity == "error"]
    broken = {d.at.source.line(d.at.line).partition("=")[0].strip() for d in wrong if d.at is not None}
    left = [d for d in wrong if not _names(d, [p for p in cell.recipe if p.partition(".")[0] in broken])]
    return [d for d in left if _names(d, cell.recipe)] or left[:1]


def _names(found: Diagnostic, paths: Iterable[str]) -> bool:
    """Whether a mistake is that of a path that names nothing."""
    return found.message.startswith(tuple(map(astray, paths)))


def _key(found: Diagnostic) -> tuple[str, str, int]:
    return found.code, found.message, found.at.span.start if found.at is not None else -1


def _lacks(recipe: Recipe, measure: str) -> tuple[str, str] | None:
    """Why a recipe does not give a measure, and what helps; None where it does."""
    split, _, metric = measure.partition(".")
    if split == "validation" and not recipe.validation:
        return "the recipe holds nothing out for validation", "write `validation = 0.1` in the recipe"
    if split in SPLITS and metric != "loss" and metric not in measured(recipe):
        hint = f"write `metrics = [{', '.join((*recipe.metrics, metric))}]` in the recipe"
        return f"the recipe does not measure `{metric}`", hint
    return None


def _measures(node: ast.Experiment) -> Iterator[ast.Name]:
    """Every measure that an experiment names, each path once."""
    seen = {e.path.id for e in node.entries if isinstance(e, ast.Vary)}
    for entry in node.entries:
        for name in _shown(entry):
            if name.id not in seen:
                seen.add(name.id)
                yield name


def _shown(entry: ast.Entry) -> Iterator[ast.Name]:
    """The names that an entry shows: measures, and along the axes of a plot also what varies."""
    if isinstance(entry, ast.Measure):
        yield from entry.paths
    elif isinstance(entry, ast.Comparison):
        yield entry.measure
    elif isinstance(entry, ast.Plot):
        axes = [a.value for a in entry.arguments if a.name is not None and a.name.id in ("x", "y")]
        yield from (value for value in axes if isinstance(value, ast.Name))


def _told(
    experiment: Experiment, cells: Sequence[Cell], broken: Sequence[Broken], module: Module
) -> Iterator[Diagnostic]:
    """The mistakes of cells, by what they are blamed on: what varies, single values, or the whole experiment."""
    blames = _blames(experiment, cells, broken, module)
    yield from (b.told for b in blames)
    rest = _without_those(broken, blames)
    if len(cells) > 1 and _all_alike(cells, rest):
        yield _unfit("no cell checks", rest[0].mistake, experiment.at, module)
    elif len(rest) == 1:
        yield _unfit(f"the cell `{rest[0].cell.label}` does not check", rest[0].mistake, experiment.at, module)
    elif rest:
        yield _several(experiment, len(cells), rest)


def _blames(experiment: Experiment, cells: Sequence[Cell], broken: Sequence[Broken], module: Module) -> list[Blame]:
    """The factors that name nothing, and the values with which no cell checks, for one reason each."""
    found = list(_astray(experiment, cells, broken))
    rest = _without_those(broken, found)
    if len(cells) > 1 and _all_alike(cells, rest):
        return found
    for factor in experiment.factors:
        met = {cell.values[factor.path] for cell in cells}
        for value, place in zip(factor.values, factor.places, strict=True):
            blamed = value in met and _blamed(factor, value, cells, _without_those(rest, found))
            if blamed:
                told = _unfit(f"no cell with `{factor.path} = {value}` checks", blamed[0].mistake, place, module)
                found.append(Blame(factor, (value,), blamed, told))
    return found


def _astray(experiment: Experiment, cells: Sequence[Cell], broken: Sequence[Broken]) -> Iterator[Blame]:
    """The factors that name nothing."""
    for factor in experiment.factors:
        refused = [b for b in broken if b.mistake.message.startswith(astray(factor.path))]
        if refused and len(refused) == len(cells):
            yield Blame(factor, factor.values, refused, replace(refused[0].mistake, at=factor.at))


def _without_those(broken: Sequence[Broken], blames: Sequence[Blame]) -> list[Broken]:
    gone = {id(b) for blame in blames for b in blame.broken}
    return [b for b in broken if id(b) not in gone]


def _left(factor: Factor, blames: Sequence[Blame]) -> Factor:
    """A factor without the values that something is blamed on; one that names nothing has none and no range left."""
    gone = {value for b in blames if b.factor is factor for value in b.values}
    kept = [(v, p) for v, p in zip(factor.values, factor.places, strict=True) if v not in gone]
    astray = any(b.factor is factor and b.values == factor.values for b in blames)
    ends = None if astray else factor.range
    return replace(factor, values=tuple(v for v, _ in kept), places=tuple(p for _, p in kept), range=ends)


def _with_values(factors: Iterable[Factor]) -> tuple[Factor, ...]:
    return tuple(f for f in factors if f.values or f.range is not None)


def _all_alike(cells: Sequence[Cell], broken: Sequence[Broken]) -> bool:
    """Whether no cell checks, and all for one reason."""
    return len({b.cell.label for b in broken}) == len(cells) and len({b.mistake.message for b in broken}) == 1


def _blamed(factor: Factor, value: str, cells: Sequence[Cell], broken: Sequence[Broken]) -> list[Broken]:
    """The cells with a value, where none of them checks, and all for one reason."""
    found = [b for b in broken if b.part in (factor.of, "both") and b.cell.values[factor.path] == value]
    everything = sum(cell.values[factor.path] == value for cell in cells)
    return found if len(found) == everything and len({b.mistake.message for b in found}) == 1 else []


def _several(experiment: Experiment, cells: int, broken: Sequence[Broken]) -> Diagnostic:
    notes = [f"{b.cell.label}: {b.mistake.message}" for b in broken[:MOST_NAMED]]
    notes += [f"and {len(broken) - MOST_NAMED:,} more"] if len(broken) > MOST_NAMED else []
    message = f"{len({b.cell.label for b in broken}):,} of {cells:,} cells do not check"
    return Diagnostic("unfit-cell", message, experiment.at, notes=tuple(notes))


def _unfit(what: str, mistake: Diagnostic, at: Place, module: Module) -> Diagnostic:
    """The mistake of a cell, with the place in the file that it comes from."""
    here = mistake.at is not None and mistake.at.source is module.source
    labels = (Label(mistake.message, mistake.at),) if here and mistake.at is not None else ()
    hints = tuple(h.message for h in mistake.hints)
    return Diagnostic("unfit-cell", f"{what}: {mistake.message}", at, labels, notes=hints)


def _hopeless(experiment: Experiment) -> Iterator[Diagnostic]:
    """Comparisons with too few pairs for their smallest p to fall below ALPHA."""
    for comparison in experiment.comparisons:
        tests = experiment.tests(comparison)
        needed = pairs_needed(tests)
        if experiment.seeds < needed:
            among = f" among {tests} comparisons (Holm)" if tests > 1 else ""
            pairs = f"{experiment.seeds} pair{'s' * (experiment.seeds != 1)}"
            message = f"{pairs} can't reach p < {ALPHA}{among}; {needed} can"
            hint = f"`seeds = {needed}`; differences and intervals are shown with any number"
            yield diagnostic("few-pairs", message, comparison.at, hint, severity="warning")
