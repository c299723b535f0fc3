"""The generated parts of the page of recipes, between its markers: the published recipes, and every field and
component.

python -m netdsl.render.recipes specs docs/recipes.md
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.planning.recipes import load_recipe, net_of
from netdsl.recipe.component import component_name
from netdsl.recipe.reference import ComponentEntry, Entry, FieldEntry, sections
from netdsl.recipe.schema import Recipe
from netdsl.render.numbers import grouped
from netdsl.syntax import ast

PART = re.compile(r"(<!-- (\w+): made by `make docs` -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str, folder: str) -> str:
    """The page with its generated parts rewritten. Raises ValueError for a spec with a mistake."""
    parts = {"published": lambda: _published(folder), "fields": _fields}
    return PART.sub(lambda m: m[1] + "\n" + "\n".join(parts[m[2]]()) + "\n\n" + m[3], text)


def _published(folder: str) -> Iterator[str]:
    yield "| recipe | for | length | batch | optimizer, lr | source and what it reached |"
    yield "|---|---|---|--:|---|---|"
    for file in sorted(f for f in os.listdir(folder) if f.endswith(".net")):
        spec = Spec(load_source(os.path.join(folder, file)), read_import)
        for name in spec.module.recipes:
            yield _row(spec, file, name)


def _row(spec: Spec, file: str, name: str) -> str:
    found = spec.module.find(name)
    resolved = load_recipe(spec.module, spec.elaborator.evaluator, name, {})
    recipe, mistakes = resolved.recipe, resolved.diagnostics
    if recipe is None or found is None or not isinstance(found[1], ast.Recipe):
        raise ValueError(f"{file}: `{name}`: {mistakes[0].message if mistakes else 'no recipe'}")
    net = net_of(found[0], found[1])
    cells = [
        f"`{file.removesuffix('.net')}:{name}`",
        f"`{net.name}`" if net else "",
        f"{recipe.epochs} epochs" if recipe.epochs else f"{grouped(recipe.steps or 0)} steps",
        grouped(recipe.batch),
        f"{component_name(recipe.optimizer)}, {_lr(recipe)}",
        " ".join(found[1].doc.split()).replace("*", r"\*").replace("|", r"\|"),
    ]
    return f"| {' | '.join(cells)} |"


def _lr(recipe: Recipe) -> str:
    chosen: Any = recipe.optimizer
    return f"{chosen.lr:.4g}" + (f" for {chosen.per_batch}" if chosen.per_batch else "")


def _fields() -> Iterator[str]:
    for title, found in sections().items():
        yield f"### {title}\n"
        for name, field in found.items():
            yield from _field(name, field)


def _field(name: str, field: FieldEntry) -> Iterator[str]:
    default = f" Default: `{field.entry.written}`." if field.entry.written not in (None, "none") else ""
    accepts = "" if field.components else f" {_capital(field.entry.accepts)}."
    yield f"#### `{name}`\n"
    yield f"{_capital(field.entry.doc)}.{accepts}{default}\n"
    yield from (line for component in field.components for line in _component(component))
    if field.components:
        yield ""


def _component(component: ComponentEntry) -> Iterator[str]:
    source = f" *{component.source}.*" if component.source else ""
    yield f"- `{_signature(component)}`: {component.doc.replace('*', chr(92) + '*')}{source}"
    yield from (f"  - `{a.name}`: {_argument(a)}" for a in component.arguments if a.doc)


def _signature(component: ComponentEntry) -> str:
    inside = ", ".join(a.name if a.written is None else f"{a.name}={a.written}" for a in component.arguments)
    return f"{component.name}({inside})" if inside else component.name


def _argument(argument: Entry) -> str:
    return f"{argument.doc} ({argument.accepts})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        made = page(file.read(), sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(made)
