"""Compare two nets or two recipes: layers that were added, removed, moved or changed, with their parameters and MACs,
and the keys of the state dict that stay. A change that many blocks share is listed once.

Nets are matched by structure and name, not by text. Two files without names are compared by the nets and recipes that
both have; one file alone is compared with its last commit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from netdsl.cli.failure import USAGE, Failure, Refused
from netdsl.cli.files import check_ending, write
from netdsl.cli.target import add_bindings, given_arguments, given_sizes, open_spec
from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import locate
from netdsl.render.output import json_text

if TYPE_CHECKING:
    from netdsl.diff.model import NetDiff, RecipeDiff
    from netdsl.pipeline import Net, Spec

EXAMPLES = """\
examples:
  netdsl diff resnet:ResNet50 resnet:ResNet101
  netdsl diff old.net new.net                        every net and recipe of both
  netdsl diff convnext:ImageNet300 convnext:ImageNet300_B    two recipes
  netdsl diff mine.net                               against its last commit
  netdsl diff HEAD~3:mine.net mine.net --format json
  netdsl diff resnet:ResNet50 roadmap:T_Baseline -o diff.html

exit codes, as those of diff(1): 0 equal, 1 different, 2 nothing was compared: a file cannot be read, or a spec is wrong
"""


def configure(parser: argparse.ArgumentParser) -> None:
    what = "a spec, and after a colon a net or a recipe of it; `REV:FILE[:Name]` is a file of a git revision"
    parser.add_argument("before", metavar="A[:Name]", help=what)
    parser.add_argument("after", metavar="B[:Name]", nargs="?", help="the spec, net or recipe to compare it with")
    parser.add_argument("--git", metavar="REV", help="with one spec: the git revision to compare with (HEAD)")
    add_bindings(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="the output format (text)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (.html: a page; .txt, .md, .json)")


def run(args: argparse.Namespace) -> int:
    ending = check_ending(args.output, ".txt", ".html", ".htm", ".json", ".md")
    try:
        found = compared(*_sides(args), args)
    except Refused as mistake:
        raise Refused(mistake.diagnostics, USAGE) from None  # 1 says that both sides differ
    except Fault as mistake:
        raise Refused((mistake.diagnostic,), USAGE) from None
    if ending in (".html", ".htm"):
        text = page_of(found)
    else:
        text = _json(found) if "json" in (args.format, ending[1:]) else _text(found, args.output)
    if args.output:
        write(args.output, text)
        print(args.output)
    else:
        print(text, end="")
    return int(not found.equal)


class Compared(Struct, frozen=True):
    """The comparisons of nets and recipes, and the names that only one side has."""

    nets: list[NetDiff]
    recipes: list[RecipeDiff]
    only_before: list[str] = []
    only_after: list[str] = []

    @property
    def equal(self) -> bool:
        alone = self.only_before or self.only_after
        return not alone and all(d.equal for d in self.nets) and all(d.equal for d in self.recipes)


class Target:
    """One side: a spec, which may be of a revision, and the name of a net or a recipe in it."""

    def __init__(self, text: str, revision: str | None = None) -> None:
        head, colon, name = text.rpartition(":")
        named = bool(colon and head) and name.isidentifier() and not os.path.exists(text)
        path = head if named else text
        self.name = name if named else None
        if revision is None and not os.path.exists(locate(path)) and ":" in path:
            revision, _, path = path.partition(":")
        self.title = f"{revision}:{path}" if revision else path
        self.spec = self._open(path, revision)

    @staticmethod
    def _open(path: str, revision: str | None) -> Spec:
        if revision is None:
            return open_spec(path)
        from netdsl.cli.revision import spec_at
        from netdsl.pipeline import Spec

        return Spec(*spec_at(revision, path))

    @property
    def is_recipe(self) -> bool:
        return self.name is not None and self.spec.module.is_recipe(self.name)


def _sides(args: argparse.Namespace) -> tuple[Target, Target]:
    if args.after is None:
        return Target(args.before, args.git or "HEAD"), Target(args.before)
    if args.git is not None:
        raise Failure("`--git` compares one spec with its own past", "for two specs write `REV:FILE` where it is meant")
    return Target(args.before), Target(args.after)


def compared(before: Target, after: Target, args: argparse.Namespace) -> Compared:
    """Compare what both sides name, or all that both have. Raises Failure, and Refused for what does not check."""
    if before.is_recipe or after.is_recipe:
        return Compared([], [_recipes(before, after, *_names(before, after, "recipe"), args)])
    if before.name or after.name:
        return Compared([_nets(before, after, *_names(before, after, "net"), args)], [])
    arguments = given_arguments(args)
    nets = _Names(before.spec.nets_for(arguments), after.spec.nets_for(arguments))
    recipes = _Names(before.spec.module.recipes, after.spec.module.recipes)
    if not nets.common and not recipes.common:
        return Compared([_nets(before, after, None, None, args)], [])
    return Compared(
        [_nets(before, after, n, n, args) for n in nets.common],
        [_recipes(before, after, n, n, args) for n in recipes.common],
        nets.only_before + recipes.only_before,
        nets.only_after + recipes.only_after,
    )


class _Names:
    """The names of both sides: those that both have, and those that one has."""

    def __init__(self, before: Sequence[str], after: Sequence[str]) -> None:
        self.common = [n for n in before if n in after]
        self.only_before = [n for n in before if n not in after]
        self.only_after = [n for n in after if n not in before]


def _names(before: Target, after: Target, kind: str) -> tuple[str | None, str | None]:
    """The names of both sides; one that names nothing has what the other one names, where it has it."""
    sides = [before, after]
    for side, other in ((before, after), (after, before)):
        if kind == "recipe" and side.name in side.spec.module.nets:
            message = f"`{side.name}` of {side.title} is a net, and `{other.name}` of {other.title} a recipe"
            raise Failure(message, "name two nets or two recipes")
    name = before.name or after.name
    found = [side.name or (name if name in side.spec.module.names else None) for side in sides]
    return found[0], found[1]


def _nets(before: Target, after: Target, a: str | None, b: str | None, args: argparse.Namespace) -> NetDiff:
    from netdsl.diff import compare_nets

    nets = [_net(side.spec, name, args) for side, name in ((before, a), (after, b))]
    titles = _titles(before, after, nets[0].name, nets[1].name)
    return compare_nets(nets[0].checked, nets[1].checked, titles)


def _net(spec: Spec, name: str | None, args: argparse.Namespace) -> Net:
    net = spec.net(name, given_arguments(args), given_sizes(args))
    if net.program is None:
        raise Refused(net.diagnostics)
    return net


def _recipes(before: Target, after: Target, a: str | None, b: str | None, args: argparse.Namespace) -> RecipeDiff:
    from netdsl.diff import compare_recipes
    from netdsl.selection import select

    planned = []
    for side, name in ((before, a), (after, b)):
        if name is None:
            raise Failure(f"{side.title}: which recipe?", "name one on both sides, as in SPEC:Recipe")
        found = select(side.spec, name, None, {}, given_arguments(args), given_sizes(args))
        if found.net is None or found.recipe is None or found.net.program is None:
            raise Refused(found.diagnostics)
        planned.append((found.net, found.recipe))
    return compare_recipes(planned[0], planned[1], _titles(before, after, a or "", b or ""))


def _titles(before: Target, after: Target, a: str, b: str) -> tuple[str, str]:
    """Titles for both sides: by their names alone where these differ."""
    if a != b:
        return a, b
    return f"{before.title}:{a}", f"{after.title}:{b}"


def _text(found: Compared, output: str | None) -> str:
    """Every comparison that differs, and how many there are that don't."""
    from netdsl.diff import net_text, recipe_text
    from netdsl.render.paint import PLAIN, paint_for

    paint = PLAIN if output else paint_for(sys.stdout)
    several = len(found.nets) + len(found.recipes) > 1
    parts = [net_text(d, paint) for d in found.nets if not (several and d.equal)]
    parts += [recipe_text(d, paint) for d in found.recipes if not (several and d.equal)]
    alone = [*(f"- {n}" for n in found.only_before), *(f"+ {n}" for n in found.only_after)]
    parts += filter(None, ("\n".join(alone), _same(found) if several else ""))
    return "\n\n".join(parts) + "\n"


def _same(found: Compared) -> str:
    """How many nets and recipes are the same, in words."""
    from netdsl.render.numbers import plural

    counts = (sum(d.equal for d in found.nets), "net"), (sum(d.equal for d in found.recipes), "recipe")
    told = " and ".join(plural(n, noun) for n, noun in counts if n)
    return f"{told} the same" if told else ""


def _json(found: Compared) -> str:
    from netdsl.diff import net_data, recipe_data

    data: dict[str, Any] = {
        "equal": found.equal,
        "nets": list(map(net_data, found.nets)),
        "recipes": list(map(recipe_data, found.recipes)),
        "only_before": found.only_before,
        "only_after": found.only_after,
    }
    return json_text(data) + "\n"


def page_of(found: Compared) -> str:
    """The page of what differs, or of all where nothing does."""
    from netdsl.diff.page import page

    differ = [d for d in found.nets if not d.equal], [d for d in found.recipes if not d.equal]
    return page(*differ) if any(differ) else page(found.nets, found.recipes)
