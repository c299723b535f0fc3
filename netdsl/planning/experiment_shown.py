"""The measures, comparisons and figures of an experiment."""

from __future__ import annotations

from typing import NoReturn, get_args, get_type_hints

from netdsl.diagnostics.diagnostic import did_you_mean, fault
from netdsl.elaborate.names import Silent
from netdsl.planning.experiment_reading import FORMS, Reading
from netdsl.planning.experiments import Comparison, Factor, Figure, Search
from netdsl.planning.measures import SPLITS, known, measure_kind
from netdsl.recipe.aliases import OF_MEASURES, PLOTTED, called
from netdsl.syntax import ast


class Shown(Reading):
    """Reads measures, comparisons and plots, once it is known what varies."""

    def _measure(self, name: ast.Name) -> str:
        if measure_kind(name.id) is None:
            raise fault("unknown-measure", f"nothing measures `{name.id}`", self._place(name), _measure_hint(name.id))
        return name.id

    def _measures(self) -> tuple[str, ...]:
        entry = self.entries.get("measure")
        paths = entry.paths if isinstance(entry, ast.Measure) else ()
        if not paths and "measure" not in self.entries:
            at = self._place(self.node.name)
            self._report(fault("missing-argument", "the experiment measures nothing", at, FORMS["measure"]))
        elif not paths:
            assert entry is not None
            self._report(fault("missing-argument", "nothing is measured", self._place(entry), FORMS["measure"]))
        found = (self._attempt(self._measure, p) for p in paths)
        return tuple(dict.fromkeys(m for m in found if m is not None))

    def _written(self) -> list[str]:
        """The paths that vary, mistaken or not."""
        return [e.path.id for e in self.node.entries if isinstance(e, ast.Vary)]

    def _is_misspelt(self, name: str) -> bool:
        """Whether a path is written as it is meant, and misspelt where it varies."""
        return did_you_mean(name, [p for p in self._written() if p not in self.factors]) is not None

    def _varied(self, name: ast.Name) -> Factor:
        factor = self.factors.get(name.id)
        if factor is None:
            if name.id in self._written() or self._is_misspelt(name.id):
                raise Silent  # the mistake is in what it varies over
            hint = did_you_mean(name.id, self._written()) or f"what varies: {', '.join(self._written()) or 'nothing'}"
            raise fault("unknown-path", f"`{name.id}` does not vary here", self._place(name), hint)
        return factor

    def _comparison(self, node: ast.Comparison, search: Search | None) -> Comparison:
        measure = self._measure(node.measure)
        factor = self._varied(node.path)
        if search is not None:
            hint = "leave out `search`: a grid has cells that differ in one value"
            raise fault("misplaced", "the trials of a search cannot be paired", self._place(node), hint)
        if len(factor.values) == 1:
            message = f"`{factor.path}` has one value: there is nothing to compare"
            raise fault("bad-value", message, self._place(node.path))
        return Comparison(measure, factor.path, self._one_of(factor, node.value), self._place(node))

    def _one_of(self, factor: Factor, node: ast.Node) -> str:
        """The value of a factor that is meant. Raises Fault where it never has it."""
        text = self._text(node)
        value = next((v for v in factor.values if v == text or _equal(v, text)), None)
        if value is None:
            hint = f"its values: {', '.join(factor.values)}" if factor.values else "its values are drawn from a range"
            raise fault("bad-value", f"`{factor.path}` is never `{text}`", self._place(node), hint)
        return value

    def _figure(self, node: ast.Plot) -> Figure:
        kinds = ("line", "bars", "scatter")
        if node.kind.id not in kinds:
            hint = did_you_mean(node.kind.id, kinds) or f"kinds of plots: {', '.join(kinds)}"
            raise fault("unknown-word", f"there is no plot `{node.kind.id}`", self._place(node.kind), hint)
        given: dict[str, str] = {}
        for argument in node.arguments:
            name = argument.name.id if argument.name else ""
            known = [n for n in get_type_hints(Figure) if n not in ("kind", "only")]
            if name not in known:
                at, near = self._place(argument.name or argument), _near(name, known)
                raise fault("unknown-argument", f"a plot has no `{name}`", at, near)
            if name in given:
                raise fault("duplicate-argument", f"`{name}` is given twice", self._place(argument))
            given[name] = self._plotted(name, argument)
        for name in ("x", "y"):
            if name not in given:
                raise fault("missing-argument", f"the plot has no `{name}`", self._place(node), FORMS["plot"])
        return Figure(node.kind.id, **given, only=self._only(node, given))  # type: ignore[arg-type]

    def _only(self, node: ast.Plot, given: dict[str, str]) -> tuple[tuple[str, str], ...]:
        """The factors of which a plot shows one value. Raises Fault for one that it shows along an axis."""
        found: dict[str, str] = {}
        for only in node.only:
            assert only.name is not None
            factor, at = self._varied(only.name), self._place(only.name)
            axis = next((name for name, path in given.items() if path == factor.path), None)
            if axis is not None:
                raise fault("argument-conflict", f"the plot shows all values of `{factor.path}` as `{axis}`", at)
            if factor.path in found:
                raise fault("duplicate-argument", f"`{factor.path}` is given twice", at)
            found[factor.path] = self._one_of(factor, only.value)
        return tuple(found.items())

    def _plotted(self, name: str, argument: ast.Argument) -> str:
        """The path that a plot shows along an axis or as colours. Raises Fault."""
        value, at = argument.value, self._place(argument.value)
        if name == "title" and isinstance(value, ast.String):
            return value.value
        if name == "title" or not isinstance(value, ast.Name):
            what = "a text in quotes" if name == "title" else "a name, without quotes"
            raise fault("bad-value", f"`{name}` is {what}", at)
        if name in ("xscale", "yscale"):
            self._scale(name, value, [w for w in get_args(get_type_hints(Figure)[name]) if w])
        else:
            self._axis(name, value)
        return value.id

    def _scale(self, name: str, value: ast.Name, words: list[str]) -> None:
        if value.id not in words:
            hint = did_you_mean(value.id, words)
            raise fault("unknown-word", f"`{name}` is `linear` or `log`", self._place(value), hint)

    def _axis(self, name: str, value: ast.Name) -> None:
        """Raise Fault unless a path varies (x, color) or is a measure (x, y)."""
        if name == "color" or (name == "x" and value.id in self.factors):
            self._varied(value)
        elif name == "x" and measure_kind(value.id) is None:
            self._neither(value)
        else:
            self._measure(value)

    def _neither(self, value: ast.Name) -> NoReturn:
        if value.id in self._written() or self._is_misspelt(value.id):
            raise Silent
        hint = (
            did_you_mean(value.id, (*self._written(), *known()))
            or f"what varies: {', '.join(self._written()) or 'nothing'}"
        )
        raise fault("unknown-path", f"`{value.id}` neither varies nor is measured", self._place(value), hint)


def _near(name: str, known: list[str]) -> str | None:
    """A hint for an argument that a plot does not have."""
    return called(name, PLOTTED, known) or did_you_mean(name, known)


def _equal(a: str, b: str) -> bool:
    """Whether two texts are the same number."""
    try:
        return float(a) == float(b)
    except ValueError:
        return False


def _measure_hint(path: str) -> str:
    """A hint for a measure: with its split, or spelt otherwise."""
    if measure_kind(f"test.{path}") is not None:
        return f"of which split? `test.{path}`, `validation.{path}` or `train.{path}`"
    split, _, measure = path.partition("_")
    said = f"{split}.{measure}" if OF_MEASURES.get(split, split) in SPLITS and "." not in path else path
    near = ".".join(OF_MEASURES.get(part, part) for part in said.split("."))
    near = near if measure_kind(near) else f"test.{near}"
    if measure_kind(near) is not None:
        return f"it is called `{near}`"
    return did_you_mean(path, known()) or "for example `test.top1`, `train.loss`, `params`, `macs`, `seconds`"
