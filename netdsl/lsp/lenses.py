"""The lines above declarations: what a net amounts to, how it is trained, and which use of a block is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from netdsl.analysis.count import Memo
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.occurrences import kind_of
from netdsl.render.numbers import grouped, scaled
from netdsl.source import Span
from netdsl.summary import totals_of
from netdsl.syntax import ast


class Lens(Struct, frozen=True):
    """A line above a declaration. `action` is what a click does with `name`: `summary` and `view` of a net, `train` by
    a recipe, `next` use of a block."""

    at: Span
    text: str
    action: str
    name: str


def lenses_of(analysis: Analysis, chosen: Mapping[str, int]) -> list[Lens]:
    """The lines above the nets of a file, and above the blocks that are used in several ways."""
    memo: Memo = {}
    declared = analysis.checked.module.file.declarations
    recipes: dict[str, list[str]] = defaultdict(list)
    for recipe in declared:
        if isinstance(recipe, ast.Recipe) and recipe.target is not None:
            recipes[recipe.target.id].append(recipe.name.id)
    found: list[Lens] = []
    for node in declared:
        if isinstance(node, ast.Block | ast.Variant):
            found += _net(node, analysis, memo)
            found += [Lens(node.name.at, f"train {name}", "train", name) for name in recipes[node.name.id]]
            found += _uses(node, analysis, chosen)
    return found


def _net(node: ast.Block | ast.Variant, analysis: Analysis, memo: Memo) -> Iterator[Lens]:
    program = analysis.program(node.name.id)
    if program is None:
        return
    counted = totals_of(program, memo)
    shapes = ", ".join(str(o.value.type) for o in program.main.outputs if not o.training)
    text = f"{grouped(counted.params)} parameters, {scaled(counted.macs)} MACs, {shapes}"
    yield Lens(node.name.at, text, "summary", node.name.id)
    yield Lens(node.name.at, "view", "view", node.name.id)


def _uses(node: ast.Block | ast.Variant, analysis: Analysis, chosen: Mapping[str, int]) -> Iterator[Lens]:
    uses = analysis.instances(node) if isinstance(node, ast.Block) else []
    if len(uses) > 1:
        use = uses[chosen.get(node.name.id, 0) % len(uses)]
        what = ", ".join(str(w.type) for w in use.inputs) if kind_of(node) == "block" else use.name
        yield Lens(node.name.at, f"{len(uses)} instances: {what} is shown", "next", node.name.id)
