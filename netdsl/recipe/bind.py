"""Written values to typed ones: an expression of a recipe, read as the schema's type for the field it stands in."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, Hint, did_you_mean, fault
from netdsl.recipe import hints
from netdsl.recipe.aliases import ARGUMENTS, OF_DATA, STANDARDIZED, called, meant, of_recipe, positioned
from netdsl.recipe.annotations import Kind, arguments
from netdsl.recipe.component import Component, Duration, component_name
from netdsl.recipe.registry import registered, registered_fields
from netdsl.source import Place, Source
from netdsl.syntax import ast

Evaluate = Callable[[ast.Node, Mapping[str, Any]], Any]
"""Gives the value of a constant expression, with extra names; raises Fault for a mistake."""


class Origin(Struct, frozen=True, eq=False):
    """The text that an expression stands in, and how its constants are evaluated."""

    source: Source
    evaluate: Evaluate

    def place(self, node: ast.Node) -> Place:
        return Place(self.source, node.at)


class Written(Struct, frozen=True, eq=False):
    """An expression and where it comes from: the recipe, one it extends, or the command line."""

    value: Any
    origin: Origin

    @property
    def place(self) -> Place:
        return self.origin.place(self.value)

    def part(self, node: Any) -> Written:
        return Written(node, self.origin)


class Binder:
    """Reads expressions by type. `overrides` replace arguments of components by dotted path (`optimizer.lr`).

    A value may have several mistakes: the first is raised, the others are appended to `further`.
    """

    def __init__(self, overrides: Mapping[str, Written]) -> None:
        self.overrides = dict(overrides)
        self.used: set[str] = set()
        self.places: dict[str, Place] = {}
        self.further: list[Diagnostic] = []

    def bind(self, kind: Kind, written: Written, path: str) -> Any:
        """The value of an expression as `kind`. Raises Fault, pointing at the first thing that is wrong."""
        node, item = written.value, kind.item
        self.places[path] = written.place
        if item is not None and item.components:
            return self._sequence(item, written, path)
        if item is not None and isinstance(node, ast.ListExpr | ast.TupleExpr):
            return self._list(item, written, path)
        if item is not None and item.choices and isinstance(node, ast.Name):
            return (self.bind(item, written, path),)
        if kind.weight is not None:
            return self._weights(kind.weight, written, path)
        if isinstance(_unsigned(node), ast.Quantity):
            return self._duration(kind, written, path)
        if isinstance(node, ast.Name) and node.id in kind.choices:
            return node.id
        if kind.components:
            return self._component(kind, written, path)
        if isinstance(node, ast.Name) and kind.choices:
            raise self._unknown(node.id, written, path, kind.choices)
        return self._plain(kind, written, path)

    def _list(self, item: Kind, written: Written, path: str) -> tuple[Any, ...]:
        values, mistakes = [], list[Diagnostic]()
        for node in written.value.items:
            part = written.part(node)
            with _noting(mistakes):
                values.append(self.bind(item, part, path))
                self.places[f"{path}.{values[-1]}"] = part.place
        self._raise(mistakes)
        self.places[path] = written.place
        return tuple(values)

    def _sequence(self, item: Kind, written: Written, path: str) -> tuple[Any, ...]:
        node = written.value
        chooses = path == "mix"
        wanted, other, sign = (ast.Choice, ast.Pipeline, "|") if chooses else (ast.Pipeline, ast.Choice, "->")
        if isinstance(node, ast.Literal) and node.value is None:
            return ()
        if isinstance(node, other):
            hint = "`|` takes one of them per batch" if chooses else "`->` does one after the other"
            raise fault("field-value", f"`{path}` is written with `{sign}`", written.place, hint)
        parts: tuple[Any, ...] = (node,)
        if isinstance(node, wanted):
            parts = node.options if isinstance(node, ast.Choice) else node.stages
        values, mistakes = [], list[Diagnostic]()
        for part in parts:
            with _noting(mistakes):
                values.append(self._component(item, written.part(part), path))
        self._raise(mistakes)
        return tuple(values)

    def _raise(self, mistakes: list[Diagnostic]) -> None:
        """Raises the first of some mistakes, and keeps the others."""
        if mistakes:
            self.further += mistakes[1:]
            raise Fault(mistakes[0])

    def _duration(self, kind: Kind, written: Written, path: str) -> Duration:
        node = _unsigned(written.value)
        if node is not written.value:
            raise _not_a_time(written.place, f"write `{written.origin.place(node).text}`")
        if not kind.accepts_duration:
            message = f"`{path}` takes {kind.expected}, without a unit"
            other = node.unit.rstrip("s") + "s"
            is_other = {path, other} == {"epochs", "steps"}
            hint = f"write `{other} = {written.origin.place(node.number).text}`" if is_other else None
            raise fault("bad-unit", message, written.place, hint)
        unit = node.unit if node.unit.endswith("s") else f"{node.unit}s"
        if unit not in ("epochs", "steps"):
            hint = did_you_mean(node.unit, ("epochs", "steps")) or "time is counted in `epochs` or `steps`"
            raise fault("bad-unit", f"`{node.unit}` is not a unit of time", written.place, hint)
        if not node.number.value and path not in FROM_START:
            raise _not_a_time(written.place, f"such as 1 {unit.removesuffix('s')}")
        return Duration(float(node.number.value), "steps" if unit == "steps" else "epochs")

    def _component(self, kind: Kind, written: Written, path: str) -> Any:
        node = written.value
        known = kind.components
        bare = next((c for c in known.values() if c.bare), None)
        match node:
            case ast.Pipeline() | ast.Choice():
                raise fault("field-value", f"`{path}` takes one component, and no sequence or choice", written.place)
            case ast.Literal(value=None) if "none" in known:
                return known["none"]()
            case ast.Literal(value=None) if kind.accepts_none:
                return None
            case ast.Call(function=ast.Name(id=name), arguments=given) if name in known:
                return self._build(known[name], given, written, path)
            case ast.Call(function=ast.Name(id=name) as function):
                raise self._unknown(name, written.part(function), path, known)
            case ast.Name(id=name) if name in known:
                return self._build(known[name], (), written, path)
            case ast.Name(id=name) if bare is None or meant(name, known):
                raise self._unknown(name, written, path, known)
        if bare is None:
            return self._refuse_number(kind, written, path)
        return self._build(bare, (ast.Argument(node.at, None, node),), written, path)

    def _refuse_number(self, kind: Kind, written: Written, path: str) -> Any:
        text = written.place.text
        first = next(iter(kind.components))
        hint = f"for example `{first}`"
        if isinstance(written.value, ast.Number):
            text = _fitting(kind.components[first], written.value)
            hint = f"for example `{first}({text})`"
        value = written.value
        if isinstance(value, ast.String):
            hint = hints.quoted(value.value, kind.components, text) or hint
        elif isinstance(value, ast.Binary | ast.ListExpr):
            hint = _of_several(path, value, written.origin) or hint
        elif {"linear", "constant"} <= kind.components.keys() and path not in PIPELINES:
            ends = "over the run" if path == "dropout" else "first to last"
            hint = f"say how it is spread: `linear(0, {text})`, {ends}, or `constant({text})`"
        raise fault("field-value", f"`{path}` takes {kind.expected}", written.place, hint)

    def _build(self, cls: type[Component], given: tuple[ast.Argument, ...], written: Written, path: str) -> Component:
        name, known = component_name(cls), arguments(cls)
        found, mistakes = self._pair(cls, given, written)
        at = f"{path}.{name}" if path in PIPELINES else path
        self.places[at] = written.place
        overridden = {a: self.overrides[f"{at}.{a}"] for a in known if f"{at}.{a}" in self.overrides}
        self.used |= {f"{at}.{a}" for a in overridden}
        found |= overridden
        if not mistakes:
            _refuse_missing(cls, found, written.place, path)
        # Whoever gives arguments that are unknown may have meant another order, too.
        bare = [a for a, g in zip(known, given, strict=False) if g.name is None] if mistakes else []
        values: dict[str, Any] = {}
        for argument in (a for a in found if a not in bare):
            with _noting(mistakes):
                values[argument] = self.bind(known[argument].kind, found[argument], f"{at}.{argument}")
        self._raise(mistakes)
        return cls(**values)

    def _pair(
        self, cls: type[Component], given: tuple[ast.Argument, ...], written: Written
    ) -> tuple[dict[str, Written], list[Diagnostic]]:
        """The arguments of a component by name, and what is wrong with how they are given."""
        found: dict[str, Written] = {}
        mistakes: list[Diagnostic] = []
        known = arguments(cls)
        for position, argument in enumerate(given):
            place = written.origin.place(argument)
            with _noting(mistakes):
                _refuse_bare_name(argument, known, place)
                name = _named(cls, position, argument, place, partial(_by_name, cls, given, written))
                if name in found:
                    raise fault("duplicate-argument", f"`{name}` is given twice", place)
                found[name] = written.part(argument.value)
        if mistakes and _has_strays(given):
            raise Fault(mistakes[0])
        return found, _once_each(mistakes)

    def _weights(self, weight: Kind, written: Written, path: str) -> dict[str, Any]:
        node = written.value
        if not (isinstance(node, ast.Call) and isinstance(node.function, ast.Name) and node.function.id == "weights"):
            raise fault("field-value", f"`{path}` is written `weights(name=0.3, ...)`", written.place)
        found: dict[str, Any] = {}
        for argument in node.arguments:
            if argument.name is None:
                raise fault("field-value", "every weight needs the name of its output", written.origin.place(argument))
            name = argument.name.id
            found[name] = self.bind(weight, written.part(argument.value), f"{path}.{name}")
            self.places[f"{path}.{name}"] = written.origin.place(argument)
        return found

    def _plain(self, kind: Kind, written: Written, path: str) -> Any:
        value = self._evaluated(kind, written, path)
        node = written.value
        if isinstance(value, tuple) and isinstance(node, ast.ListExpr) and len(value) == len(node.items):
            for item, part, each in zip(value, node.items, kind.each, strict=False):
                self.convert(each, item, written.origin.place(part), path)
        return self.convert(kind, value, written.place, path)

    def _evaluated(self, kind: Kind, written: Written, path: str) -> Any:
        try:
            return written.origin.evaluate(written.value, {})
        except Fault as mistake:
            if mistake.diagnostic.code != "unknown-name":
                raise
            if str not in kind.plain:
                hint = f"`{path}` takes {kind.expected}"
                raise Fault(msgspec.structs.replace(mistake.diagnostic, hints=(Hint(hint),))) from None
            hint = f"a text is written in quotes; for a shell, in both kinds: `--set '{path}=\"...\"'`"
            raise fault("field-value", f"`{path}` takes a text", written.place, hint) from None

    def convert(self, kind: Kind, value: Any, at: Place, path: str) -> Any:
        """A plain value as `kind`, checked for type and range."""
        if kind.accepts_duration and isinstance(value, int | float) and not isinstance(value, bool):
            hint = f"write `{value:g} epochs` or `{value:g} steps`"
            raise fault("bad-unit", f"`{path}` is a time and needs a unit", at, hint)
        try:
            return msgspec.convert(value, kind.annotation)
        except msgspec.ValidationError:
            shown = f'"{value}"' if isinstance(value, str) else f"`{value}`"
            shown = f"`{str(value).lower()}`" if value is None or isinstance(value, bool) else shown
            message = f"`{path}` takes {kind.expected}, found {shown}"
            raise fault("bad-value", message, at, hints.share(path, value) or hints.hint(kind, value, path)) from None

    def _unknown(self, name: str, written: Written, path: str, known: Any) -> Exception:
        own = did_you_mean(name, [k for k in known if k.startswith(f"{name}_")])
        hint = meant(name, known) or own or _elsewhere(name) or did_you_mean(name, known)
        hint = hint or f"it can be {_listed(known)}"
        return fault("unknown-word", f"`{path}` cannot be `{name}`", written.place, hint)


FROM_START = ("dropout.until", "dropout.after", "unfreeze.after.time")
"""Times that may be the beginning of the run."""


def _unsigned(node: Any) -> Any:
    """The expression behind a sign; itself, where there is none."""
    return node.operand if isinstance(node, ast.Unary) else node


def _not_a_time(at: Place, hint: str) -> Fault:
    return fault("bad-value", f"a time is above 0, found `{at.text}`", at, hint)


def _once_each(mistakes: list[Diagnostic]) -> list[Diagnostic]:
    """Without those that give one argument under a second name: `beta1` and `beta2` are `betas`."""
    kept: list[Diagnostic] = []
    for mistake in mistakes:
        is_alias = (mistake.hint or "").startswith("it is called") or mistake.hint == STANDARDIZED
        if not (is_alias and any(m.hint == mistake.hint for m in kept)):
            kept.append(mistake)
    return kept


@contextmanager
def _noting(mistakes: list[Diagnostic]) -> Iterator[None]:
    """Appends the mistake that ends the part inside, and continues behind it."""
    try:
        yield
    except Fault as mistake:
        mistakes.append(mistake.diagnostic)


def _fitting(cls: type[Component], number: ast.Number) -> str:
    """A number as the first argument of a component takes it: `0.75` for 75 percent."""
    value = float(number.value)
    kinds = [argument.kind for argument in arguments(cls).values()]
    return f"{value / 100:g}" if kinds and hints.is_percent(kinds[0], value) else number.text


def _has_strays(given: tuple[ast.Argument, ...]) -> bool:
    """Whether an argument by position follows one by name, as in `sgd(lr=0,1)`: its text is in doubt as a whole."""
    named = [argument.name is not None for argument in given]
    return True in named and not all(named[named.index(True) :])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _refuse_missing(cls: type[Component], found: Container[str], place: Place, path: str) -> None:
    """Raises Fault for the first argument that a component needs and does not have."""
    name = component_name(cls)
    for argument, info in arguments(cls).items():
        if argument not in found and info.required:
            message = f"`{name}` needs `{argument}`: {info.kind.expected}"
            hint = f"`{name}({argument}=...)`" + (f", or a bare number: `{path} = ...`" if cls.bare else "")
            raise fault("missing-argument", message, place, hint)


def _refuse_bare_name(argument: ast.Argument, known: Container[str], place: Place) -> None:
    """Raises Fault for the name of an argument where its value is missing."""
    name = argument.value.id if argument.name is None and isinstance(argument.value, ast.Name) else None
    if name in known:
        raise fault("missing-argument", f"`{name}` is an argument and needs a value", place, f"`{name}=...`")


def _by_name(cls: type[Component], given: tuple[ast.Argument, ...], written: Written) -> str | None:
    """A hint that gives the arguments by position of an optimizer the names that people mean."""
    told = [(a.name.id if a.name else "", written.origin.place(a.value).text) for a in given]
    call = positioned(component_name(cls), told, arguments(cls))
    return f"it may mean `{call}`" if call else None


def _named(
    cls: type[Component], position: int, argument: ast.Argument, place: Place, meant: Callable[[], str | None]
) -> str:
    """The name of an argument of a component. Raises Fault where there is none of it, with what may be `meant`."""
    known = list(arguments(cls))
    most = min(len(known), cls.positional)
    if isinstance(argument.value, ast.Splat) or (argument.name is None and position >= most):
        rest = f"name the others: {_listed(known[most:])}" if most < len(known) else None
        count = "1 argument" if most == 1 else f"{most} arguments"
        message = f"`{component_name(cls)}` takes at most {count}{' by position' if rest else ''}"
        raise fault("too-many-arguments", message, place, meant() or rest)
    if argument.name is None:
        return known[position]
    name = argument.name.id
    if name not in known:
        raise _unknown_argument(cls, name, known, place)
    return name


@cache
def _fields() -> frozenset[str]:
    """The fields of a recipe."""
    from netdsl.recipe.schema import Recipe

    return frozenset(arguments(Recipe))


def _unknown_argument(cls: type[Component], name: str, known: list[str], place: Place) -> Fault:
    is_data = cls in registered("data").values()
    of_data = OF_DATA.get(name) if is_data else None
    hint = of_data or called(name, ARGUMENTS, known) or of_recipe(name, _fields()) or did_you_mean(name, known)
    hint = hint or f"it takes {_listed(known) or 'none'}"
    return fault("unknown-argument", f"`{component_name(cls)}` has no argument `{name}`", place, hint)


def _of_several(path: str, value: ast.Binary | ast.ListExpr, origin: Origin) -> str | None:
    """A hint for a sum, or a list, of components."""
    is_sum = isinstance(value, ast.Binary)
    if is_sum and path == "loss":
        return "a recipe has one loss; `dice_ce(dice=1, ce=1)` is the sum of two, `outputs` weighs those of outputs"
    if path not in (PIPELINES if is_sum else ("mix",)):
        return None
    terms = (value.first, *value.rest) if isinstance(value, ast.Binary) else value.items
    return hints.joined(path, [origin.place(term).text for term in terms])


PIPELINES = ("schedule", "augment", "mix", "init", "penalty", "unfreeze")
"""Fields with several components: an argument of one is overridden by its name, `schedule.cosine.to`."""


def _elsewhere(name: str) -> str | None:
    """A hint for a component of another field."""
    field = next((f for f in registered_fields() if name in registered(f)), None)
    return f"it belongs to another field: `{field} = {name}(...)`" if field is not None else None
