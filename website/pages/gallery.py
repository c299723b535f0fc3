"""The zoo as a gallery: a page for each spec, with its drawings, its figures, its source and its recipes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from netdsl.loader import load_source, read_import, zoo
from netdsl.pipeline import Spec
from netdsl.planning.plan import plan
from netdsl.planning.text import lines
from netdsl.recipe.schema import training_size
from netdsl.render.numbers import scaled
from netdsl.render.zoo import HEADER, row
from netdsl.selection import select
from netdsl.summary import Summary, summarize
from netdsl.syntax import ast
from netdsl.view import image
from website import fences
from website.pages.ops import escaped

INDEX = """\
---
hide: [toc]
---

# Gallery

Every net that is installed with netdsl: `netdsl summary NAME`, `from NAME import ...` in a spec, `netdsl.load("NAME")`
in Python. Parameters and MACs equal the published figures ([table of all nets](../zoo.md)).

<div class="cards gallery" markdown="0">
"""


class Shown(Struct, frozen=True):
    """A spec of the zoo: its name, the file, and a summary and a drawing of each of its nets.

    `small`: a drawing of the first with its blocks closed.
    """

    name: str
    spec: Spec
    nets: dict[str, Summary]
    drawings: dict[str, str]
    small: str

    @property
    def title(self) -> str:
        """What the first comment begins with: `ResNet (He et al., 2015, arXiv 1512.03385)`, without its source."""
        return re.split(r"[(:,.]", self.doc, maxsplit=1)[0].strip()

    @property
    def doc(self) -> str:
        return " ".join(self.spec.module.file.doc.split())


def shown(name: str) -> Shown:
    """A spec of the zoo with all that its page shows."""
    spec = Spec(load_source(zoo()[name]), read_import)
    programs = {net: spec.net(net).checked for net in spec.nets}
    nets = {net: summarize(p, net) for net, p in programs.items()}
    first, program = next(iter(programs.items()))
    drawings = {net: image(p, net) for net, p in programs.items()}
    return Shown(name, spec, nets, drawings, image(program, first, 1))


def names() -> list[str]:
    """The specs of the zoo that have a net."""
    return [name for name, path in zoo().items() if re.search(r"^net ", load_source(path).text, re.MULTILINE)]


def pages() -> dict[str, str]:
    """Pages and drawings by their paths."""
    specs = list(map(shown, names()))
    found = {"gallery/index.md": INDEX + "\n".join(map(_card, specs)) + "\n</div>\n"}
    for spec in specs:
        found |= {f"gallery/{spec.name}.md": "\n".join(page(spec))}
        found |= {f"gallery/{spec.name}/{net}.svg": drawing for net, drawing in spec.drawings.items()}
        found |= {f"gallery/{spec.name}/small.svg": spec.small}
    return found


def _card(spec: Shown) -> str:
    first = next(iter(spec.nets.values()))
    year = re.search(r"\b(19|20)\d\d\b", spec.doc)
    count = f" · {len(spec.nets)} nets" if len(spec.nets) > 1 else ""
    return (
        f'<a class="card" href="{spec.name}.html"><span class="drawing"><img loading="lazy" alt="" '
        f'src="{spec.name}/small.svg"></span><strong>{spec.title}</strong>'
        f"<small>{year[0] if year else ''}{' · ' if year else ''}{scaled(first.params)} parameters{count}</small></a>"
    )


def page(spec: Shown) -> Iterator[str]:
    """The page of a spec, as Markdown."""
    yield f"# {spec.title}\n\n{escaped(spec.doc)}\n"
    yield from HEADER
    yield from map(row, spec.nets.values())
    first = next(iter(spec.nets))
    yield f"\n```text\nnetdsl summary {spec.name}:{first}\nnetdsl compile {spec.name}:{first} -o out\n```\n"
    yield "## Drawings\n"
    for net in spec.nets:
        # One line of HTML in each tab: Markdown would read a drawing's text.
        file = f"{spec.name}/{net}.svg"
        picture = f'<a class="drawing" href="{file}"><img loading="lazy" alt="{net}" src="{file}"></a>'
        yield f'=== "{net}"\n\n    {picture}\n'
    yield f"## Source\n\n{fences.block(spec.spec.source.text, f'{spec.name}.net', f'zoo={spec.name}')}\n"
    recipes = [d for d in spec.spec.module.file.declarations if isinstance(d, ast.Recipe)]
    if recipes:
        yield "## Recipes\n"
        yield from (line for recipe in recipes for line in _recipe(spec, recipe))


def _recipe(spec: Shown, recipe: ast.Recipe) -> Iterator[str]:
    name = recipe.name.id
    text = spec.spec.source.text[recipe.at.start : recipe.at.end]
    yield f"### {name}\n\n{escaped(' '.join(recipe.doc.split()))}\n"
    yield fences.block(f"{text}\n", link="") + "\n"
    found = select(spec.spec, name)
    if found.net is not None and found.recipe is not None:
        made = plan(found.net, found.recipe, training_size(found.recipe, None))
        yield f'??? info "What it comes to: netdsl recipe {spec.name}:{name}"\n'
        yield "\n".join(f"    {line}".rstrip() for line in ["```text", *lines(made), "```"]) + "\n"
