"""The recipes of a file: which one is meant, what it extends, and what it resolves to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct

from netdsl.budget import Budget, Exhausted
from netdsl.diagnostics.diagnostic import Fault, did_you_mean, fault
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module, Reader, resolve
from netdsl.elaborate.names import Env, Silent
from netdsl.elaborate.nets import block_of, nets_of, other_net, takes
from netdsl.elaborate.weight import too_much_work
from netdsl.recipe.bind import Origin, Written
from netdsl.recipe.resolve import Chapter, Lineage, Resolved, changed_recipe, extended, resolve_recipe
from netdsl.recipe.schema import Recipe
from netdsl.source import Place, Source
from netdsl.syntax import ast


def origin(module: Module, evaluator: Evaluator) -> Origin:
    """Where the expressions of a file stand, with the file's constants."""

    def evaluate(node: ast.Node, readable: Mapping[str, Any]) -> Any:
        return evaluator.evaluate(node, Env(module, dict(readable)))

    return Origin(module.source, evaluate)


def find_recipe(module: Module, name: str, at: Place | None = None) -> tuple[Module, ast.Recipe]:
    """The recipe of a name, and the file it stands in. Raises Fault."""
    found = module.find(name)
    if found is None or not isinstance(found[1], ast.Recipe):
        others = [n for n in module.recipes if not _contains(module, n, at)]
        only = f"did you mean `{others[0]}`?" if len(others) == 1 else None
        hint = did_you_mean(name, others) or only or f"its recipes: {', '.join(others) or 'none'}"
        raise fault("unknown-recipe", f"{module.source.name} declares no recipe `{name}`", at, hint)
    return found[0], found[1]


def _contains(module: Module, recipe: str, at: Place | None) -> bool:
    """Whether a place is in a recipe, which extends another one and not itself."""
    found = module.names.get(recipe)
    return isinstance(found, ast.Recipe) and at is not None and found.at.start <= at.span.start < found.at.end


class Family:
    """The recipes of a file with all that they extend: what each says and which net it is for, each found out once."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._lineages: dict[int, Lineage] = {}
        self._nets: dict[int, NetReference | None] = {}

    def lineage(self, module: Module, recipe: ast.Recipe) -> Lineage:
        """Collect what a recipe and all that it extends say. Raises Fault for a circle or an unknown base."""
        above: dict[int, tuple[Module, ast.Recipe]] = {}
        while id(recipe) not in self._lineages:
            above[id(recipe)] = (module, recipe)
            if recipe.base is None:
                break
            at = module.place(recipe.base.at)
            module, recipe = find_recipe(module, recipe.base.id, at)
            if id(recipe) in above:
                raise fault("cyclic-recipe", f"`{recipe.name.id}` extends itself", at)
        found = self._lineages.get(id(recipe))
        for key, (file, one) in reversed(above.items()):
            found = self._lineages[key] = extended(found, Chapter(one, origin(file, self.evaluator)))
        assert found is not None
        return found

    def net(self, module: Module, recipe: ast.Recipe) -> NetReference | None:
        """The net that a recipe is for: its own, or that of the nearest recipe it extends, in the file that names it.

        None where no recipe of the chain names one. Raises Fault for a net that is not there.
        """
        passed: dict[int, None] = {}
        while id(recipe) not in self._nets and recipe.target is None and recipe.base is not None:
            passed[id(recipe)] = None
            module, recipe = find_recipe(module, recipe.base.id, module.place(recipe.base.at))
            if id(recipe) in passed:
                return None
        if id(recipe) not in self._nets:
            self._nets[id(recipe)] = _target(module, recipe)
        found = self._nets[id(recipe)]
        self._nets |= dict.fromkeys(passed, found)
        return found


class NetReference(Struct, frozen=True, eq=False):
    """A net by its name in a module, which may be imported there."""

    module: Module
    name: str


def net_of(module: Module, recipe: ast.Recipe) -> NetReference | None:
    """The net that one recipe is for; see `Family.net`."""
    return Family(Evaluator()).net(module, recipe)


def _target(module: Module, recipe: ast.Recipe) -> NetReference | None:
    """The net that a recipe names itself."""
    if recipe.target is None:
        return None
    name, at = recipe.target.id, module.place(recipe.target.at)
    found = module.find(name)
    if found is None and name in module.unresolved:
        raise Silent  # its import is the mistake
    if found is None or not isinstance(found[1], ast.Block | ast.Variant):
        raise fault("unknown-net", f"there is no net `{name}`", at, other_net(name, nets_of(module)))
    return NetReference(module, name)


def complete(reference: NetReference, evaluator: Evaluator, arguments: Collection[str] = ()) -> NetReference | None:
    """The net that a reference and these arguments give: itself, or for a family that waits for more, the first net
    of its file that is one of the family. None where there is none."""
    own = block_of(reference.module, reference.name, evaluator)
    if own is None:
        return None
    if takes(own, arguments):
        return reference
    found = reference.module.find(reference.name)
    module = found[0] if found is not None else reference.module
    for name in module.nets:
        other = NetReference(module, name)
        value = block_of(other.module, other.name, evaluator)
        if value is not None and value.block.declaration is own.block.declaration and takes(value, arguments):
            return other
    return None


class Choice(Struct, frozen=True, eq=False):
    """The net and the recipe that a command means. `net` None: the first of the spec; `recipe` None: the defaults.

    `several`: the recipes among which the first was taken.
    """

    net: NetReference | None
    recipe: tuple[Module, str] | None
    several: tuple[str, ...] = ()


def choose(module: Module, name: str | None, recipe: str | None, read: Reader, family: Family) -> Choice:
    """The net and the recipe of `SPEC:name --recipe recipe`. Raises Fault.

    `name` is a net or a recipe of the spec, its own or imported; `recipe` may be one of another spec (`resnet:A2`),
    or `none`. Without a recipe it is the spec's first, or the first for the net that is named.
    """
    if name is not None and module.is_recipe(name):
        recipe, name = recipe or name, None
    net = NetReference(module, name) if name is not None else None
    if recipe == "none":
        return Choice(net, None)
    if recipe is None:
        return _first(module, net, family)
    other, recipe = _elsewhere(module, recipe, read)
    target = family.net(*find_recipe(other, recipe))
    return Choice(net or (target if other is module else None), (other, recipe))


def _first(module: Module, net: NetReference | None, family: Family) -> Choice:
    """The first recipe of a file, or the first for a net."""
    names = _recipes_for(module, net, family)
    if not names:
        return Choice(net, None)
    several = tuple(names) if net is None and len(names) > 1 else ()
    return Choice(net or family.net(*find_recipe(module, names[0])), (module, names[0]), several)


def _recipes_for(module: Module, net: NetReference | None, family: Family) -> list[str]:
    """The recipes of a file, or those for one net."""
    if net is None:
        return module.recipes
    wanted = module.find(net.name)
    found = []
    for node in module.file.declarations:
        if isinstance(node, ast.Recipe) and (target := family.net(module, node)) is not None:
            meant = target.module.find(target.name)
            if wanted is not None and meant is not None and wanted[1] is meant[1]:
                found.append(node.name.id)
    return found


def _elsewhere(module: Module, recipe: str, read: Reader) -> tuple[Module, str]:
    """The file that a recipe stands in: `resnet:A2` names another spec, as an import would."""
    spec, colon, name = recipe.rpartition(":")
    if not colon:
        return module, recipe
    source = read(spec, module.source)
    if source is None:
        hint = "a recipe of another spec is named as an import would: `resnet:A2`"
        raise fault("unknown-module", f"there is no spec `{spec}`", None, hint)
    other, mistakes = resolve(source, read)
    for mistake in mistakes:
        if mistake.severity == "error":
            raise Fault(mistake)
    return other, name


def parse_override(path: str, text: str, evaluator: Evaluator) -> Written:
    """The value of `--set path=text` as an expression. Raises Fault."""
    source = Source(f"recipe Set {{\n  value = {text}\n}}", f"--set {path}={text}", option=True)
    module, mistakes = resolve(source, lambda name, importer: None)
    declarations = module.file.declarations
    whole = len(declarations) == 1 and isinstance(declarations[0], ast.Recipe) and len(declarations[0].entries) == 1
    if mistakes or not whole:
        hint = f"a text is written in quotes; for a shell, in both kinds: `--set '{path}=\"...\"'`"
        raise fault("bad-value", f"`{text}` is not a value that `{path}` can take", None, hint)
    entry = declarations[0].entries[0]  # type: ignore[union-attr]
    assert isinstance(entry, ast.Field)
    return Written(entry.value, origin(module, evaluator))


def load_recipe(
    module: Module, evaluator: Evaluator, name: str | None, settings: Mapping[str, str], family: Family | None = None
) -> Resolved:
    """A recipe of a file, or the defaults where `name` is None, with the settings of the command line. `family`: what
    is known of the file's recipes."""

    def resolved() -> Resolved:
        overrides = {path: parse_override(path, text, evaluator) for path, text in settings.items()}
        known = family or Family(evaluator)
        lineage = known.lineage(*find_recipe(module, name)) if name is not None else None
        return resolve_recipe(lineage, overrides)

    return _within_budget(resolved)


def change_recipe(recipe: Recipe, evaluator: Evaluator, settings: Mapping[str, str]) -> Resolved:
    """A resolved recipe, with the settings of the command line."""

    def changed() -> Resolved:
        overrides = {path: parse_override(path, text, evaluator) for path, text in settings.items()}
        return changed_recipe(recipe, overrides)

    return _within_budget(changed)


def _within_budget(resolved: Callable[[], Resolved]) -> Resolved:
    """Resolve a recipe with a budget of its own: constants, and what `--set` makes of them, end too."""
    try:
        with Budget().open():
            return resolved()
    except Fault as mistake:
        return Resolved(None, (mistake.diagnostic,))
    except Silent:
        return Resolved(None)
    except Exhausted as end:
        return Resolved(None, (too_much_work(end),))
