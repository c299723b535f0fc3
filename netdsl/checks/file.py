"""Check a whole file: every net that needs no arguments, constants, names, expectations, recipes, then the lints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netdsl.checks.expectations import check_expectations
from netdsl.checks.lint.rules import lint_file, told
from netdsl.checks.lint.subject import File
from netdsl.checks.names import check_names
from netdsl.checks.unchanged import Memory, Programs, Unchanged
from netdsl.diagnostics.diagnostic import Diagnostic, fault
from netdsl.elaborate.calls import completed, missing
from netdsl.elaborate.elaborate import Elaborator
from netdsl.elaborate.modules import Module
from netdsl.elaborate.nets import block_of
from netdsl.syntax import ast

UNREADABLE = ("syntax", "too-large")
"""Codes of mistakes that leave a part of the text unread."""


def check_file(
    module: Module,
    elaborator: Elaborator,
    nets: Iterable[str],
    mistakes: Sequence[Diagnostic],
    memory: Memory | None = None,
) -> tuple[Programs, tuple[Diagnostic, ...]]:
    """The nets of a file, elaborated, and all diagnostics of the file. `mistakes`: those of reading it; `memory`: what
    need not be checked again."""
    unchanged = Unchanged(module, mistakes, memory)
    programs = Programs(module, elaborator, nets, unchanged)
    with elaborator.recording():
        programs.check()
        _check_declarations(module, elaborator, programs)
        before = len(elaborator.diagnostics)
        unchanged.found(elaborator.diagnostics)
        if not _has_errors((*mistakes, *elaborator.diagnostics)):
            _lint(module, elaborator, programs)
            unchanged.found(elaborator.diagnostics[before:])
        unchanged.remember(elaborator.budget.spent)
    with elaborator.budget.open():  # words of comments may be misspelt too
        return programs, _shown(module, mistakes, elaborator.diagnostics)


def _lint(module: Module, elaborator: Elaborator, programs: Programs) -> None:
    declarations = programs.unchanged.changed()
    own = {d.name.id for d in declarations if isinstance(d, ast.Block | ast.Variant)}
    made = [programs[n] for n in programs if n in own]
    for found in lint_file(File(module, [p for p in made if p is not None], declarations)):
        elaborator.report(found)


def _check_declarations(module: Module, elaborator: Elaborator, programs: Programs) -> None:
    for declaration in module.declared(ast.Constant):
        assert isinstance(declaration, ast.Constant)
        if programs.unchanged.skips("constant", declaration):
            continue
        with elaborator.recording():
            elaborator.evaluator.declared.constant(module, declaration)
    for declaration in module.declared(ast.Variant):
        assert isinstance(declaration, ast.Variant)
        with elaborator.recording():
            _check_variant(module, elaborator, declaration)
    check_names(module, elaborator, programs)
    check_expectations(module, elaborator, programs)
    if module.recipes:
        from netdsl.checks.recipes import RecipeCheck

        RecipeCheck(module, elaborator, programs).run()
    if module.experiments:
        from netdsl.checks.experiments import check_experiments

        check_experiments(module, elaborator, programs.unchanged)


def _check_variant(module: Module, elaborator: Elaborator, declaration: ast.Variant) -> None:
    """Raises Fault for `net M = N()` where `N` needs arguments. One that binds some of them may leave others open."""
    value = declaration.value
    if not isinstance(value, ast.Call) or value.arguments:
        return
    block = block_of(module, declaration.name.id, elaborator.evaluator)
    waiting = missing(block)
    if waiting:
        name, at = module.place(value.function.at).text, module.place(value.at)
        wanted = ", ".join(f"`{n}`" for n in waiting)
        raise fault("missing-argument", f"`{name}` needs {wanted}", at, completed(at.text, waiting))


def _shown(module: Module, mistakes: Sequence[Diagnostic], found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics to show, in the order of the text.

    None that only follows from text that could not be read, or that a comment allows.
    """
    if any(d.severity == "error" and d.code in UNREADABLE for d in mistakes):
        from netdsl.checks.damage import unaffected

        shown = (*mistakes, *unaffected(module, found))
    else:
        shown = told(module, (*mistakes, *found))
    return tuple(sorted(shown, key=lambda d: d.at.span.start if d.at else 0))


def _has_errors(found: Iterable[Diagnostic]) -> bool:
    return any(d.severity == "error" for d in found)
