"""The effect of a recipe's lines on its net: learning rate, phases in steps, members of groups, links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from netdsl.analysis.count import parameters
from netdsl.diagnostics.diagnostic import Fault
from netdsl.lsp.analysis import Analysis
from netdsl.planning.groups import Entries, Parameter
from netdsl.planning.plan import Plan, plan
from netdsl.recipe.schema import training_size
from netdsl.render.numbers import grouped, plural
from netdsl.selection import select
from netdsl.syntax import ast

MOST = 20
"""How many paths a tooltip names."""


def recipe_hints(analysis: Analysis, node: ast.Recipe) -> Iterator[tuple[int, str, str]]:
    """Offset, text and tooltip of what a recipe's lines come to; nothing for one that has mistakes."""
    if node.name.id not in analysis.plans:
        analysis.plans[node.name.id] = _plan(analysis, node)
    known = analysis.plans[node.name.id]
    if known is None:
        return
    made, trained = known
    for entry in node.entries:
        text = _field(entry.name.id, made) if isinstance(entry, ast.Field) else ""
        if text:
            yield entry.at.end, text, ""
    yield from _selections([e for e in node.entries if isinstance(e, ast.Group | ast.Freeze)], trained)


def _selections(
    lines: Sequence[ast.Group | ast.Freeze], trained: Sequence[Parameter]
) -> Iterator[tuple[int, str, str]]:
    """The hints of lines that select parameters."""
    entries, found = Entries([s.id for s in line.selectors] for line in lines), [list[Parameter]() for _ in lines]
    for parameter in trained if lines else ():
        for number in entries.naming(parameter):
            found[number].append(parameter)
    return ((line.at.end, *_selected(named)) for line, named in zip(lines, found, strict=True))


def _selected(found: Sequence[Parameter]) -> tuple[str, str]:
    """How much a line selects, and the first paths of it."""
    text = f"{plural(len(found), 'tensor')}, {plural(sum(prod(p.shape) for p in found), 'parameter')}"
    more = [f"and {len(found) - MOST:,} more"] * (len(found) > MOST)
    return text, "\n".join([*(p.path for p in found[:MOST]), *more])


def _plan(analysis: Analysis, node: ast.Recipe) -> tuple[Plan, tuple[Parameter, ...]] | None:
    if any(d.severity == "error" for d in analysis.diagnostics):
        return None
    try:
        found = select(analysis.checked, node.name.id, family=analysis.family)
        if found.recipe is None or found.net is None or found.net.program is None:
            return None
        made = plan(found.net, found.recipe, training_size(found.recipe, None))
        return made, tuple(Parameter(p.path, p.role, p.shape) for p in parameters(found.net.checked.main))
    except Fault:
        return None


def _field(name: str, made: Plan) -> str:
    if name == "optimizer":
        return f"peak lr {made.peak_lr:g}"
    if name in ("epochs", "steps") and made.steps:
        return f"{grouped(made.steps)} steps"
    if name == "schedule" and made.spans:
        return ", ".join(f"{s.phase.partition('(')[0]} {grouped(s.end - s.start)} steps" for s in made.spans)
    if name == "drop_path" and made.drop_path:
        return f"{len(made.drop_path)} links, {made.drop_path[0]:g} to {made.drop_path[-1]:g}"
    return ""
