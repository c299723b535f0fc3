"""The recipes of a file: every mistake in them, and between them and their nets."""

from __future__ import annotations

from netdsl.budget import Exhausted, spend
from netdsl.checks.lint.recipe_rules import lint_recipe
from netdsl.checks.lint.trained import Trained
from netdsl.checks.recipe_net import CheckedNet
from netdsl.checks.unchanged import Programs
from netdsl.diagnostics.diagnostic import diagnostic
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.modules import Module
from netdsl.ir.flatten import count_calls
from netdsl.planning.demands import demands
from netdsl.planning.recipes import Family, NetReference, complete
from netdsl.recipe.resolve import resolve_recipe
from netdsl.syntax import ast

PER_CALL = 6
"""What each op call of a net costs of the budget of work for a recipe that is checked against it."""

MOST_CALLS = 50_000
"""How many op calls a net with a recipe may come to: selectors and rules go through them one by one."""


class RecipeCheck:
    """Reports every mistake in the recipes of a file. `programs`: the file's own nets, elaborated."""

    def __init__(self, module: Module, elaborator: Elaborator, programs: Programs) -> None:
        self.module = module
        self.elaborator = elaborator
        self.programs = programs
        self.family = Family(elaborator.evaluator)
        self.nets: dict[tuple[str, str], CheckedNet | None] = {}

    def run(self) -> None:
        for node in self.module.file.declarations:
            if isinstance(node, ast.Recipe) and not self.programs.unchanged.skips("recipe", node, whole=True):
                with self.elaborator.recording():
                    self._check(node)

    def _check(self, node: ast.Recipe) -> None:
        reference = self.family.net(self.module, node)
        resolved = resolve_recipe(self.family.lineage(self.module, node))
        for found in resolved.diagnostics:
            self.elaborator.report(found)
        net = self._net(reference) if reference is not None else None
        if net is not None and count_calls(net.checked.main) > MOST_CALLS:
            message = f"`{net.name}` comes to more than {MOST_CALLS:,} op calls, too many for a recipe"
            self.elaborator.report(diagnostic("too-large", message, self.module.place(node.name.at)))
        elif net is not None and resolved.recipe is not None:
            self._pay(net, node)
            data_is_open = "data" not in resolved.places.written
            unfit = list(demands(net, resolved.recipe, resolved.places, data_is_open))
            if not any(d.severity == "error" for d in unfit):
                trained = Trained(resolved.recipe, resolved.places, net.checked, net.flow, data_is_open)
                unfit += lint_recipe(trained)
            for found in unfit:
                self.elaborator.report(found)

    def _pay(self, net: CheckedNet, node: ast.Recipe) -> None:
        """Pay for what a net is looked at. Raises Exhausted."""
        try:
            spend(PER_CALL * count_calls(net.checked.main))
        except Exhausted as end:
            end.blame("recipe", self.module.place(node.name.at))
            raise

    def _net(self, reference: NetReference) -> CheckedNet | None:
        """The net of a recipe; None where it has mistakes, or waits for arguments."""
        complete_one = complete(reference, self.elaborator.evaluator)
        if complete_one is None:
            return None
        key = (complete_one.module.source.name, complete_one.name)
        if key not in self.nets:
            own = complete_one.module is self.module and complete_one.name in self.programs
            elaborate = self.elaborator.net
            program = self.programs[key[1]] if own else elaborate(complete_one.module, complete_one.name, {}, {})
            self.nets[key] = None if program is None else CheckedNet(complete_one, program)
        return self.nets[key]
