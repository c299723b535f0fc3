"""A recipe as written, with what it extends and what the command line changes, to a resolved `Recipe`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, Hint, Label, did_you_mean, fault
from netdsl.recipe.aliases import ARGUMENTS, FIELDS, called
from netdsl.recipe.annotations import arguments
from netdsl.recipe.bind import PIPELINES, Binder, Origin, Written
from netdsl.recipe.checks import check
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.places import NOWHERE, Places
from netdsl.recipe.schema import STRUCTURE, Group, Recipe, default_schedule
from netdsl.recipe.shorten import rescaled
from netdsl.source import Place
from netdsl.syntax import ast

GROUPED = ("lr", "weight_decay", "momentum", "betas", "eps")
"""What a group can set, as far as the optimizer has it."""
EVERYTHING = "`netdsl recipe --fields` shows all fields"


DEFAULTS = Recipe()


class Chapter(Struct, frozen=True, eq=False):
    """One recipe, and the text it stands in."""

    recipe: ast.Recipe
    origin: Origin


@cache
def field_names() -> tuple[str, ...]:
    """The fields that can be written as `name = value`."""
    return tuple(n for n in arguments(Recipe) if n not in STRUCTURE)


class Resolved(Struct, frozen=True, eq=False):
    """A recipe with every mistake and warning in it, and where it is written. `recipe` is None where there is an
    error."""

    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...] = ()
    places: Places = NOWHERE


class Lineage(Struct, frozen=True, eq=False):
    """A recipe together with all that it extends: the last writing of each field, every group and freeze with
    the chapter it stands in, where those are, and the mistakes in names of fields.

    It is made from the lineage of the base, so that a chain of any length costs its own text once.
    """

    last: Chapter
    fields: dict[str, Written]
    sections: tuple[tuple[Chapter, ast.Group | ast.Freeze], ...]
    places: dict[str, Place]
    mistakes: tuple[Diagnostic, ...]


def extended(base: Lineage | None, chapter: Chapter) -> Lineage:
    """The lineage of a recipe that extends another. An `epochs` replaces inherited `steps` and the other way round."""
    fields = dict(base.fields) if base else {}
    places = dict(base.places) if base else {}
    sections = list(base.sections) if base else []
    mistakes = list(base.mistakes) if base else []
    here: dict[str, ast.Field] = {}
    for entry in chapter.recipe.entries:
        if isinstance(entry, ast.Field):
            try:
                _check_field(entry, here, chapter.origin)
            except Fault as mistake:
                mistakes.append(mistake.diagnostic)
            else:
                here[entry.name.id] = entry
            continue
        sections.append((chapter, entry))
        kind = "group" if isinstance(entry, ast.Group) else "freeze"
        places[kind] = chapter.origin.place(entry)
        places |= {f"{kind}.{s.id}": chapter.origin.place(s) for s in entry.selectors}
    _forget_other_end(fields, here)
    fields |= {n: Written(e.value, chapter.origin) for n, e in here.items()}
    return Lineage(chapter, fields, tuple(sections), places, tuple(mistakes))


def _check_field(entry: ast.Field, here: Mapping[str, ast.Field], origin: Origin) -> None:
    name, place = entry.name.id, origin.place(entry.name)
    if name not in field_names():
        hint = field_hint(name)
        raise fault("unknown-field", f"a recipe has no field `{name}`", place, hint)
    if name in here:
        first = Label("first written here", origin.place(here[name].name))
        raise fault("duplicate-field", f"`{name}` is written twice", place, "leave out one of them", first)


def resolve_recipe(lineage: Lineage | None, overrides: Mapping[str, Written] | None = None) -> Resolved:
    """The recipe that a recipe and all it extends mean; the default recipe where there is none.

    `overrides` come from `--set`, by dotted path.
    """
    return _Resolver(overrides or {}).resolved(lineage)


def changed_recipe(base: Recipe, overrides: Mapping[str, Written]) -> Resolved:
    """A resolved recipe with what the command line changes: times of its curves stay as they are."""
    return _Resolver(overrides, base).resolved(None)


class _Resolver:
    """`base` is what an unwritten field is taken from."""

    def __init__(self, overrides: Mapping[str, Written], base: Recipe = DEFAULTS) -> None:
        self.base = base
        self.overrides = overrides
        self.binder = Binder(overrides)
        self.diagnostics: list[Diagnostic] = []
        self.epochs: Written | None = None

    def resolved(self, lineage: Lineage | None) -> Resolved:
        recipe = self._recipe(lineage)
        own = lineage.last.origin.place(lineage.last.recipe.name) if lineage else None
        places = Places((lineage.places if lineage else {}) | self.binder.places, own)
        if not self.diagnostics:
            self.diagnostics.extend(check(recipe, places))
        broken = any(d.severity == "error" for d in self.diagnostics)
        return Resolved(None if broken else recipe, tuple(self.diagnostics), places)

    def _recipe(self, lineage: Lineage | None) -> Recipe:
        fields = self._fields(lineage)
        values: dict[str, Any] = {}
        for name, written in fields.items():
            try:
                values[name] = self.binder.bind(arguments(Recipe)[name].kind, written, name)
            except Fault as mistake:
                self.diagnostics += (mistake.diagnostic, *self.binder.further)
                self.binder.further.clear()
        self._override_defaults(values, fields)
        self._unused_overrides(values)
        values = self._rescale(values)
        if lineage:
            values["name"] = lineage.last.recipe.name.id
        if ("epochs" in values) != ("steps" in values):
            values.setdefault("epochs", None)
            values.setdefault("steps", None)
        if self.base is DEFAULTS and "schedule" not in fields:
            values["schedule"] = default_schedule(values.get("epochs"), values.get("steps"))
        recipe = replace(self.base, **values)
        if lineage:
            groups, freeze = tuple(self._groups(lineage, recipe)), tuple(_frozen(lineage))
            recipe = replace(recipe, groups=groups, freeze=freeze)
        return recipe

    def _fields(self, lineage: Lineage | None) -> dict[str, Written]:
        """The last writing of every field, on the command line too."""
        found = dict(lineage.fields) if lineage else {}
        self.diagnostics.extend(lineage.mistakes if lineage else ())
        whole = {n: w for n, w in self.overrides.items() if n in field_names()}
        self.epochs = found.get("epochs")
        _forget_other_end(found, whole)
        self.binder.used |= whole.keys()
        return found | whole

    def _rescale(self, values: dict[str, Any]) -> dict[str, Any]:
        """`--set epochs=3` of a recipe for 300: the phases that are counted in epochs become a hundredth as long."""
        if self.epochs is None or "epochs" not in self.overrides or not isinstance(values.get("epochs"), int):
            return values
        try:
            written = self.binder.bind(arguments(Recipe)["epochs"].kind, self.epochs, "epochs")
        except Fault:
            return values
        return rescaled(values, values["epochs"] / written, kept=self.overrides)

    def _override_defaults(self, values: dict[str, Any], fields: Mapping[str, Written]) -> None:
        """`--set optimizer.lr=1e-3` where the recipe doesn't write `optimizer`: its default is changed."""
        for path, written in self.overrides.items():
            name, _, argument = path.partition(".")
            if not argument or name in fields or name not in field_names():
                continue
            default = values.get(name, getattr(self.base, name))
            if isinstance(default, Component) and argument in arguments(type(default)):
                self.binder.used.add(path)
                try:
                    value = self.binder.bind(arguments(type(default))[argument].kind, written, path)
                except Fault as mistake:
                    self.diagnostics.append(mistake.diagnostic)
                else:
                    values[name] = replace(default, **{argument: value})

    def _unused_overrides(self, values: Mapping[str, Any]) -> None:
        for path in (p for p in self.overrides if p not in self.binder.used):
            name, _, argument = path.partition(".")
            hint = field_hint(name)
            if name in field_names():
                hint = _no_argument(name, argument, values.get(name, getattr(self.base, name)))
            message = f"{astray(path)} no field of this recipe"
            self.diagnostics.append(fault("unknown-field", message, None, hint).diagnostic)

    def _groups(self, lineage: Lineage, recipe: Recipe) -> Iterable[Group]:
        for chapter, entry in lineage.sections:
            if isinstance(entry, ast.Group):
                settings: dict[str, Any] = {}
                for field in entry.fields:
                    try:
                        settings[field.name.id] = self._setting(field, chapter.origin, recipe)
                    except Fault as mistake:
                        self.diagnostics.append(mistake.diagnostic)
                yield Group(tuple(s.id for s in entry.selectors), settings)

    def _setting(self, field: ast.Field, origin: Origin, recipe: Recipe) -> Any:
        known = arguments(type(recipe.optimizer))
        allowed = [n for n in GROUPED if n in known]
        name = field.name.id
        if name not in allowed:
            hint = (
                called(name, ARGUMENTS, allowed)
                or did_you_mean(name, allowed)
                or f"it can be {', '.join(f'`{n}`' for n in allowed)}"
            )
            raise fault("unknown-field", f"a group cannot set `{name}`", origin.place(field.name), hint)
        readable = {n: getattr(recipe.optimizer, n) for n in allowed}
        try:
            value = origin.evaluate(field.value, readable)
        except Fault as mistake:
            raise _renamed(mistake, readable) from None
        if name == "lr" and value == 0:
            raise fault("bad-value", "an lr of 0 still decays weights: use `freeze`", origin.place(field.value))
        return self.binder.convert(known[name].kind, value, origin.place(field.value), name)


def astray(path: str) -> str:
    """How the message of a path from outside the recipe begins that is none of its fields."""
    return f"`{path}` names"


COUNTS = ("num", "n", "max", "total", "nb")
"""What stands before the name of a field where it is meant."""


def field_hint(name: str) -> str:
    """A hint for a field that recipes do not have; a longer name that only ends with a field's is another thing."""
    first, *rest = name.split("_")
    others = rest if first not in COUNTS else ()
    near = did_you_mean(name, [n for n in field_names() if n not in others])
    return FIELDS.get(name) or near or EVERYTHING


def _renamed(mistake: Fault, known: Mapping[str, Any]) -> Fault:
    """A mistake of a name of elsewhere that stands for a known value, with what it is called here."""
    at = mistake.diagnostic.at
    hint = called(at.text, ARGUMENTS, known) if at is not None and mistake.diagnostic.code == "unknown-name" else None
    return mistake if hint is None else Fault(replace(mistake.diagnostic, hints=(Hint(hint),)))


def _no_argument(name: str, argument: str, value: Any) -> str:
    """A hint: the arguments of a field's value, where `argument` is none of them."""
    parts = value if isinstance(value, tuple) else (value,)
    known = []
    for component in (p for p in parts if isinstance(p, Component)):
        prefix = f"{name}.{component_name(component)}" if name in PIPELINES else name
        known += [f"{prefix}.{a}" for a in arguments(type(component))]
    near = did_you_mean(f"{name}.{argument}", known)
    return near or (f"it has {', '.join(f'`{k}`' for k in known)}" if known else f"`{name}` has no arguments here")


def _frozen(lineage: Lineage) -> Iterable[str]:
    for _, entry in lineage.sections:
        if isinstance(entry, ast.Freeze):
            yield from (s.id for s in entry.selectors)


def _forget_other_end(found: dict[str, Any], here: Mapping[str, Any]) -> None:
    if ("epochs" in here) != ("steps" in here):
        found.pop("steps" if "epochs" in here else "epochs", None)
