"""A recipe as written, with what it extends and what the command line changes, to a resolved `Recipe`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, Label, did_you_mean, fault
from netdsl.recipe.aliases import FIELDS
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
    """One recipe of a chain of `extends`, and the text it stands in."""

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


def resolve_recipe(chain: Sequence[Chapter], overrides: Mapping[str, Written] | None = None) -> Resolved:
    """The recipe that a chain of chapters means, the base first.

    `overrides` come from `--set`, by dotted path. Without chapters it is the default recipe.
    """
    return _Resolver(overrides or {}).resolved(chain)


def changed_recipe(base: Recipe, overrides: Mapping[str, Written]) -> Resolved:
    """A resolved recipe with what the command line changes: times of its curves stay as they are."""
    return _Resolver(overrides, base).resolved(())


class _Resolver:
    """`base` is what an unwritten field is taken from."""

    def __init__(self, overrides: Mapping[str, Written], base: Recipe = DEFAULTS) -> None:
        self.base = base
        self.overrides = overrides
        self.binder = Binder(overrides)
        self.diagnostics: list[Diagnostic] = []
        self.epochs: Written | None = None

    def resolved(self, chain: Sequence[Chapter]) -> Resolved:
        recipe = self._recipe(chain)
        places = self._places(chain)
        if not self.diagnostics:
            self.diagnostics.extend(check(recipe, places))
        broken = any(d.severity == "error" for d in self.diagnostics)
        return Resolved(None if broken else recipe, tuple(self.diagnostics), places)

    def _places(self, chain: Sequence[Chapter]) -> Places:
        """Where the fields are written, by path, and the selectors as `group.stem` and `freeze.stem`."""
        found: dict[str, Place] = {}
        for chapter in chain:
            for entry in chapter.recipe.entries:
                if not isinstance(entry, ast.Field):
                    kind = "group" if isinstance(entry, ast.Group) else "freeze"
                    found[kind] = chapter.origin.place(entry)
                    found |= {f"{kind}.{s.id}": chapter.origin.place(s) for s in entry.selectors}
        own = chain[-1].origin.place(chain[-1].recipe.name) if chain else None
        return Places(found | self.binder.places, own)

    def _recipe(self, chain: Sequence[Chapter]) -> Recipe:
        fields = self._fields(chain)
        values: dict[str, Any] = {}
        for name, written in fields.items():
            try:
                values[name] = self.binder.bind(arguments(Recipe)[name].kind, written, name)
            except Fault as mistake:
                self.diagnostics.append(mistake.diagnostic)
        self._override_defaults(values, fields)
        self._unused_overrides(values)
        values = self._rescale(values)
        if chain:
            values["name"] = chain[-1].recipe.name.id
        if ("epochs" in values) != ("steps" in values):
            values.setdefault("epochs", None)
            values.setdefault("steps", None)
        if self.base is DEFAULTS and "schedule" not in fields:
            values["schedule"] = default_schedule(values.get("epochs"), values.get("steps"))
        recipe = replace(self.base, **values)
        if chain:
            recipe = replace(recipe, groups=tuple(self._groups(chain, recipe)), freeze=tuple(_frozen(chain)))
        return recipe

    def _fields(self, chain: Sequence[Chapter]) -> dict[str, Written]:
        """The last writing of every field; an `epochs` replaces inherited `steps` and the other way round."""
        found: dict[str, Written] = {}
        for chapter in chain:
            here: dict[str, ast.Field] = {}
            for entry in chapter.recipe.entries:
                if not isinstance(entry, ast.Field):
                    continue
                try:
                    self._check_field(entry, here, chapter.origin)
                except Fault as mistake:
                    self.diagnostics.append(mistake.diagnostic)
                    continue
                here[entry.name.id] = entry
            _forget_other_end(found, here)
            found |= {n: Written(e.value, chapter.origin) for n, e in here.items()}
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

    def _check_field(self, entry: ast.Field, here: Mapping[str, ast.Field], origin: Origin) -> None:
        name, place = entry.name.id, origin.place(entry.name)
        if name not in field_names():
            hint = FIELDS.get(name) or did_you_mean(name, field_names()) or EVERYTHING
            raise fault("unknown-field", f"a recipe has no field `{name}`", place, hint)
        if name in here:
            first = Label("first written here", origin.place(here[name].name))
            raise fault("duplicate-field", f"`{name}` is written twice", place, None, first)

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
        for path in self.overrides.keys() - self.binder.used:
            name, _, argument = path.partition(".")
            hint = FIELDS.get(name) or did_you_mean(name, field_names()) or EVERYTHING
            if name in field_names():
                hint = _no_argument(name, argument, values.get(name, getattr(self.base, name)))
            message = f"`--set {path}` names no field of this recipe"
            self.diagnostics.append(fault("unknown-field", message, None, hint).diagnostic)

    def _groups(self, chain: Sequence[Chapter], recipe: Recipe) -> Iterable[Group]:
        for chapter in chain:
            for entry in chapter.recipe.entries:
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
            hint = did_you_mean(name, allowed) or f"it can be {', '.join(f'`{n}`' for n in allowed)}"
            raise fault("unknown-field", f"a group cannot set `{name}`", origin.place(field.name), hint)
        readable = {n: getattr(recipe.optimizer, n) for n in allowed}
        value = origin.evaluate(field.value, readable)
        if name == "lr" and value == 0:
            raise fault("bad-value", "an lr of 0 still decays weights: use `freeze`", origin.place(field.value))
        return self.binder.convert(known[name].kind, value, origin.place(field.value), name)


def _no_argument(name: str, argument: str, value: Any) -> str:
    """What can be set of a field's value, where `argument` cannot."""
    parts = value if isinstance(value, tuple) else (value,)
    known = []
    for component in (p for p in parts if isinstance(p, Component)):
        prefix = f"{name}.{component_name(component)}" if name in PIPELINES else name
        known += [f"{prefix}.{a}" for a in arguments(type(component))]
    near = did_you_mean(f"{name}.{argument}", known)
    return near or (f"it has {', '.join(f'`{k}`' for k in known)}" if known else f"`{name}` has no arguments here")


def _frozen(chain: Sequence[Chapter]) -> Iterable[str]:
    for chapter in chain:
        for entry in chapter.recipe.entries:
            if isinstance(entry, ast.Freeze):
                yield from (s.id for s in entry.selectors)


def _forget_other_end(found: dict[str, Any], here: Mapping[str, Any]) -> None:
    if ("epochs" in here) != ("steps" in here):
        found.pop("steps" if "epochs" in here else "epochs", None)
