"""The effect of a recipe's lines on its net: learning rate, phases in steps, members of groups, links."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Fault
from netdsl.lsp.analysis import Analysis
from netdsl.planning.plan import Plan, plan
from netdsl.recipe.schema import training_size
from netdsl.render.numbers import grouped
from netdsl.selection import select
from netdsl.syntax import ast


def recipe_hints(analysis: Analysis, node: ast.Recipe) -> Iterator[tuple[int, str, str]]:
    """Offset, text and tooltip of what a recipe's lines come to; nothing for one that has mistakes."""
    if node.name.id not in analysis.plans:
        analysis.plans[node.name.id] = _plan(analysis, node)
    made = analysis.plans[node.name.id]
    if made is None:
        return
    for entry in node.entries:
        text = _field(entry.name.id, made) if isinstance(entry, ast.Field) else ""
        if text:
            yield entry.at.end, text, ""
    if len(made.groups) > 1:
        lines = [f"{len(g.paths):,} tensors, {n:,} parameters" for g, n in zip(made.groups, made.members, strict=True)]
        for entry in node.entries:
            if isinstance(entry, ast.Group):
                yield entry.at.end, f"{len(made.groups)} parameter groups", "\n".join(lines)
    for entry in node.entries:
        if isinstance(entry, ast.Freeze):
            yield entry.at.end, f"{len(made.frozen):,} tensors frozen", "\n".join(made.frozen[:20])


def _plan(analysis: Analysis, node: ast.Recipe) -> Plan | None:
    if any(d.severity == "error" for d in analysis.diagnostics):
        return None
    try:
        found = select(analysis.checked, node.name.id)
        if found.recipe is None or found.net is None or found.net.program is None:
            return None
        return plan(found.net, found.recipe, training_size(found.recipe, None))
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
