"""The entries of an experiment, read one by one: each mistake at its place, whatever is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, Label, did_you_mean, fault
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Silent
from netdsl.elaborate.nets import block_of, nets_of
from netdsl.planning.experiment_reading import FORMS
from netdsl.planning.experiment_shown import Shown
from netdsl.planning.experiments import Experiment, Factor, Range, Search, text_of
from netdsl.planning.measures import OF_RUN
from netdsl.planning.recipes import Family, NetReference, find_recipe
from netdsl.recipe.annotations import arguments
from netdsl.recipe.resolve import field_names
from netdsl.recipe.schema import Recipe
from netdsl.source import Place
from netdsl.syntax import ast

FIELDS = ("recipe", "seeds", "search")
"""Entries that are written `name = value`, besides `measure`."""

MOST_CELLS = 10_000
MOST_SEEDS = 10_000


class Read(Struct, frozen=True, eq=False):
    """An experiment and every mistake in its entries. `experiment` is None where there is one; `fitting` is made of the
    entries without any; `net`: the net that it is for, where that is known."""

    experiment: Experiment | None
    fitting: Experiment | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    net: NetReference | None = None
    recipe: tuple[Module, str] | None = None


def read_experiment(module: Module, node: ast.Experiment, evaluator: Evaluator) -> Read:
    """Read an experiment of a file, with its mistakes."""
    return _Reader(module, node, evaluator).read()


def find_experiment(module: Module, name: str | None) -> ast.Experiment:
    """The experiment of a name, or the only one of a file. Raises Fault."""
    names = module.experiments
    found = module.names.get(name) if name is not None else None
    if name is None and len(names) == 1:
        found = module.names[names[0]]
    if isinstance(found, ast.Experiment):
        return found
    listed = ", ".join(f"`{n}`" for n in names)
    if name is None and names:
        hint = f"choose one: `{module.source.name}:{names[0]}`"
        raise fault("unknown-experiment", f"{module.source.name} declares several experiments: {listed}", None, hint)
    hint = did_you_mean(name or "", names) or (f"its experiments: {listed}" if names else FORM)
    what = f"no experiment `{name}`" if name else "no experiment"
    raise fault("unknown-experiment", f"{module.source.name} declares {what}", None, hint)


FORM = "an experiment begins with `experiment Name for Net { vary width = [8, 16] ... }`"


class _Reader(Shown):
    """Reads one experiment."""

    def __init__(self, module: Module, node: ast.Experiment, evaluator: Evaluator) -> None:
        super().__init__(module, node, evaluator)
        self.net: NetReference | None = None
        self.recipe: tuple[Module, str] | None = None

    def read(self) -> Read:
        self._fields()
        self._attempt(self._recipe)
        self._attempt(self._net)
        factors = self._varying()
        search = self._attempt(self._search)
        seeds = self._attempt(self._seeds)
        measures = self._measures()
        comparisons = self._each(ast.Comparison, lambda n: self._comparison(n, search))
        figures = self._each(ast.Plot, self._figure)
        self._attempt(self._check_size, factors, search)
        self._attempt(self._check_objective, search, measures)
        if self.net is None:
            return Read(None, None, tuple(self.found), self.net, self.recipe)
        made = Experiment(
            name=self.node.name.id, doc=self.node.doc, net=self.net.name, factors=factors,
            recipe=self.recipe[1] if self.recipe else None, search=search, seeds=seeds or 1, measures=measures,
            comparisons=comparisons, figures=figures, at=self.module.place(self.node.name.at),
        )  # fmt: skip
        wrong = self.silent or any(d.severity == "error" for d in self.found)
        return Read(None if wrong else made, made, tuple(self.found), self.net, self.recipe)

    def _fields(self) -> None:
        """The entries with a name of their own, each once."""
        for entry in self.node.entries:
            if not isinstance(entry, ast.Field | ast.Measure):
                continue
            name, at = entry.name.id, self._place(entry.name)
            if isinstance(entry, ast.Field) and name not in FIELDS:
                hint = FORMS.get(name) or did_you_mean(name, (*FIELDS, "measure")) or self._is_varied(name)
                self._report(fault("unknown-field", f"an experiment has no entry `{name}`", at, hint))
            elif name in self.entries:
                first = Label("first written here", self._place(self.entries[name].name))
                self._report(fault("duplicate-field", f"`{name}` is written twice", at, None, first))
            else:
                self.entries[name] = entry

    def _is_varied(self, name: str) -> str:
        if name in field_names():
            return f"`{name}` is a field of the recipe: it stands there, or varies: `vary {name} = [...]`"
        return f"its entries: {', '.join(f'`{n}`' for n in (*FIELDS, 'measure', 'vary', 'compare', 'plot'))}"

    # What is trained

    def _recipe(self) -> None:
        entry = self.entries.get("recipe")
        if entry is None:
            self.recipe = self._first_recipe()
            return
        value = entry.value  # type: ignore[union-attr]
        if isinstance(value, ast.Literal) and value.value is None:
            return
        if not isinstance(value, ast.Name):
            hint = f"for example `recipe = {(self.module.recipes or ['none'])[0]}`"
            raise fault("field-value", "`recipe` takes the name of a recipe", self._place(value), hint)
        found, recipe = find_recipe(self.module, value.id, self._place(value))
        self.recipe = found, recipe.name.id

    def _first_recipe(self) -> tuple[Module, str] | None:
        """The first recipe of the file for the experiment's net."""
        family = Family(self.evaluator)
        wanted = self.module.find(self.node.target.id) if self.node.target else None
        for declared in self.module.file.declarations:
            if isinstance(declared, ast.Recipe):
                net = family.net(self.module, declared)
                meant = net.module.find(net.name) if net else None
                if wanted is None or (meant is not None and meant[1] is wanted[1]):
                    return self.module, declared.name.id
        return None

    def _net(self) -> None:
        if self.node.target is not None:
            name, at = self.node.target.id, self._place(self.node.target)
            if name in self.module.unresolved:
                raise Silent  # its import is the mistake
            if not self.module.is_net(name):
                raise fault("unknown-net", f"there is no net `{name}`", at, did_you_mean(name, nets_of(self.module)))
            self.net = NetReference(self.module, name)
        elif self.recipe is not None:
            self.net = Family(self.evaluator).net(*find_recipe(*self.recipe))
        if self.net is None:
            at = self._place(self.node.name)
            raise fault(
                "unknown-net", "nothing says which net is trained", at, "write `experiment Name for Net { ... }`"
            )

    def _free(self) -> tuple[str, ...]:
        """The arguments that the net takes; none where it has mistakes."""
        net = self.net
        block = block_of(net.module, net.name, self.evaluator) if net else None
        if block is None:
            raise Silent
        given = {n for n, _ in block.arguments}
        return tuple(p.name.id for p in block.block.declaration.parameters if p.name.id not in given)

    # What varies

    def _varying(self) -> tuple[Factor, ...]:
        """The factors, each path once."""
        factors = tuple(f for n in self._of(ast.Vary) if (f := self._attempt(self._factor, n)) is not None)
        self.factors = {f.path: f for f in reversed(factors)}
        for later in factors:
            if self.factors[later.path] is not later:
                before = Label("first varied here", self.factors[later.path].at)
                self._report(fault("duplicate-field", f"`{later.path}` varies twice", later.at, None, before))
        return tuple(f for f in factors if self.factors[f.path] is f)

    def _factor(self, node: ast.Vary) -> Factor:
        path, at = node.path.id, self._place(node.path)
        of = self._owner(path, at)
        found = _range(node.values)
        if found is not None:
            ends = tuple(self._number(argument.value) for argument in found.arguments)
            return Factor(path, of, (), (), self._checked(found, ends), at)
        values, places = self._values(node, of)
        self._check_names(node, of)
        if not values:
            raise fault("empty-grid", f"`{path}` has no values: there is nothing to train", self._place(node.values))
        seen: set[str] = set()
        for value, place in zip(values, places, strict=True):
            if value in seen:
                raise fault("bad-value", f"`{path} = {value}` stands twice", place, "each value is one cell")
            seen.add(value)
        return Factor(path, of, values, places, None, at)

    def _owner(self, path: str, at: Place) -> Any:
        """Whether a path is the recipe's or the net's. Raises Fault where it is both or neither."""
        first = path.partition(".")[0]
        fields, free = field_names(), self._free()
        net = self.net.name if self.net else ""
        if "." not in path and first in free and first in fields:
            message = f"`{path}` is an argument of `{net}` and a field of the recipe"
            raise fault("ambiguous-path", message, at, "give the argument another name")
        if first in ("seed", "folds"):
            hint = "`seeds = 3` gives every cell three runs" if first == "seed" else "compare by `seeds`"
            raise fault("unknown-path", f"`{first}` cannot vary in an experiment", at, hint)
        if first in fields:
            return "recipe"
        if path in free:
            return "net"
        message = f"`{path}` is neither an argument of `{net}` nor a field of a recipe"
        raise fault("unknown-path", message, at, _meant(path, free) or _near(first, free))

    def _check_names(self, node: ast.Vary, of: str) -> None:
        """Raises Fault for a value of an argument of the net that is a name of nothing."""
        items = node.values.items if isinstance(node.values, ast.ListExpr | ast.TupleExpr) else ()
        for item in items if of == "net" else ():
            if isinstance(item, ast.Name):
                self._value(item)

    def _values(self, node: ast.Vary, of: str) -> tuple[tuple[str, ...], tuple[Place, ...]]:
        """The values as text, and where they stand."""
        if isinstance(node.values, ast.ListExpr | ast.TupleExpr) and not _splat(node.values.items):
            items = node.values.items
            return tuple(self._text(item) for item in items), tuple(map(self._place, items))
        at = self._place(node.values)
        value = self._value(node.values)
        texts = [text_of(v) for v in value] if isinstance(value, tuple) else [None]
        if None in texts:
            hint = f"for example `vary {node.path.id} = [1, 2, 3]`"
            raise fault("bad-value", f"`{node.path.id}` varies over a list of values", at, hint)
        return tuple(filter(None, texts)), (at,) * len(texts)

    def _checked(self, node: ast.Call, ends: tuple[float, ...]) -> Range:
        log = node.function.id == "log"  # type: ignore[union-attr]
        low, high = ends
        if not low < high or (log and low <= 0):
            above = " above 0" if log else ""
            message = f"a range goes from a smaller to a larger number{above}"
            swapped = ", ".join(self._place(a.value).text for a in reversed(node.arguments))
            hint = f"write `{node.function.id}({swapped})`" if 0 < high < low else None  # type: ignore[union-attr]
            raise fault("bad-value", message, self._place(node), hint)
        return Range(low, high, log, all(isinstance(end, int) for end in ends))

    # How often, and how

    def _seeds(self) -> int:
        entry = self.entries.get("seeds")
        if entry is None:
            return 1
        value, at = self._value(entry.value), self._place(entry.value)  # type: ignore[union-attr]
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SEEDS:
            listed = isinstance(value, tuple) and value == tuple(range(len(value)))
            hint = f"write `{len(value)}`: how many there are" if listed else "`seeds = 3`: 0, 1 and 2"
            raise fault("bad-value", f"`seeds` is a whole number from 1 to {MOST_SEEDS:,}", at, hint)
        return value

    def _search(self) -> Search | None:
        entry = self.entries.get("search")
        if entry is None:
            return None
        node = entry.value  # type: ignore[union-attr]
        at = self._place(node)
        hint = "for example `search = random(20)` or `search = tpe(60, prune=hyperband)`"
        if not isinstance(node, ast.Call) or not isinstance(node.function, ast.Name):
            raise fault("field-value", "`search` says how trials are chosen", at, hint)
        kind = node.function.id
        if kind not in ("random", "tpe"):
            whole = "without `search` every combination is trained: leave it out"
            hint = whole if kind in ("grid", "full", "all") else did_you_mean(kind, ("random", "tpe")) or hint
            raise fault("unknown-word", f"`search` cannot be `{kind}`", at, hint)
        given = self._arguments_of_search(node)
        trials = self._value(given["trials"].value) if "trials" in given else None
        if isinstance(trials, bool) or not isinstance(trials, int) or not 1 <= trials <= MOST_CELLS:
            raise fault("bad-value", f"`{kind}` takes the number of trials, from 1 to {MOST_CELLS:,}", at, hint)
        return Search(kind, trials, self._prune(given.get("prune")))  # type: ignore[arg-type]

    def _arguments_of_search(self, node: ast.Call) -> dict[str, ast.Argument]:
        given = {a.name.id if a.name else "trials": a for a in node.arguments}
        for name, argument in given.items():
            if name not in ("trials", "prune"):
                near = did_you_mean(name, ("trials", "prune"))
                raise fault("unknown-argument", f"a search has no argument `{name}`", self._place(argument), near)
        return given

    def _prune(self, argument: ast.Argument | None) -> Any:
        if argument is None or (isinstance(argument.value, ast.Literal) and argument.value.value is None):
            return None
        name = argument.value.id if isinstance(argument.value, ast.Name) else ""
        if name not in ("hyperband", "median"):
            hint = did_you_mean(name, ("hyperband", "median"))
            raise fault("unknown-word", "`prune` is `hyperband` or `median`", self._place(argument), hint)
        return name

    def _check_size(self, factors: tuple[Factor, ...], search: Search | None) -> None:
        ranges = [f for f in factors if f.range is not None]
        if ranges and search is None and "search" not in self.entries:
            hint = "write values, `[1e-4, 1e-3]`, or how many trials are drawn: `search = random(20)`"
            raise fault("field-value", f"a grid has values, and `{ranges[0].path}` is a range", ranges[0].at, hint)
        if search is not None and not self._written():
            raise fault("empty-grid", "a search needs something to vary", self._place(self.node.name), FORMS["vary"])
        size = 1
        for factor in factors:
            size *= len(factor.values) or 1
        if size > MOST_CELLS and search is None:
            message = f"the grid has {size:,} cells, more than {MOST_CELLS:,}"
            raise fault(
                "too-large", message, self._place(self.node.name), "a search draws some: `search = random(100)`"
            )

    def _check_objective(self, search: Search | None, measures: tuple[str, ...]) -> None:
        """Raise Fault for a search that looks at what needs no training."""
        if search is not None and measures and measures[0] in OF_RUN and not OF_RUN[measures[0]].timed:
            entry = self.entries["measure"]
            assert isinstance(entry, ast.Measure)
            message = f"a search looks at the first measure, and `{measures[0]}` is known without training"
            hint = f"`measure = [validation.top1, {', '.join(measures)}]`; one factor and no `search` shows them all"
            raise fault("bad-value", message, self._place(entry.paths[0]), hint)


def _meant(path: str, free: tuple[str, ...]) -> str | None:
    """A path that was written with the net before it, or without the optimizer."""
    last = path.rpartition(".")[2]
    if last in free:
        return f"did you mean `{last}`?"
    optimizers = arguments(Recipe)["optimizer"].kind.components.values()
    known = any(path in arguments(optimizer) for optimizer in optimizers)
    return f"did you mean `optimizer.{path}`?" if known else None


def _near(first: str, free: tuple[str, ...]) -> str:
    """A hint for a path that means nothing: what it is near to, or what can vary of the net."""
    arguments = f"its arguments: {', '.join(f'`{n}`' for n in free)}" if free else "it takes no arguments"
    return did_you_mean(first, (*free, *field_names())) or arguments


def _range(node: Any) -> ast.Call | None:
    """`log(a, b)` or `uniform(a, b)`, where that is what is written."""
    if isinstance(node, ast.Call) and isinstance(node.function, ast.Name) and node.function.id in ("log", "uniform"):
        return node if len(node.arguments) == 2 and all(a.name is None for a in node.arguments) else None
    return None


def _splat(items: Iterable[Any]) -> bool:
    return any(isinstance(item, ast.Splat) for item in items)
