"""Show what a recipe will do, without training: steps, learning rate, parameter groups with their members, drop-path
rates, operations and memory, the defaults that apply, and warnings. With `--fields`, show the reference of all fields
of a recipe.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from netdsl.cli.failure import Failure, Refused
from netdsl.cli.files import check_ending, replacing
from netdsl.cli.numbers import whole
from netdsl.cli.target import add_recipe_options, add_target
from netdsl.render.output import print_json

if TYPE_CHECKING:
    from netdsl.planning.plan import Plan

EXAMPLES = """\
examples:
  netdsl recipe lenet
  netdsl recipe convnext:ImageNet300 --samples 1281167
  netdsl recipe convnext --recipe ImageNet300 --set optimizer.lr=1e-3 --json
  netdsl recipe --fields optimizer
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, nargs="?")
    add_recipe_options(parser)
    parser.add_argument(
        "--samples",
        type=whole(1),
        metavar="N",
        help="samples of the training split, before a validation split is taken from it (if the data are not here)",
    )
    parser.add_argument("--png", metavar="FILE", help="also write a chart of the schedules")
    parser.add_argument("--members", action="store_true", help="list every parameter of every group")
    parser.add_argument(
        "--fields", metavar="FIELD", nargs="?", const="", help="show the reference of all fields, or of one"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.fields is not None:
        return _reference(args.fields)
    if not args.spec:
        raise Failure("which spec?", "`netdsl recipe SPEC`, or `netdsl recipe --fields`")
    check_ending(args.png, ".png")
    from netdsl.cli.training import open_recipe
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.planning.plan import plan
    from netdsl.planning.text import lines
    from netdsl.recipe.schema import training_size

    net, recipe = open_recipe(args)
    try:
        made = plan(net, recipe, training_size(recipe, args.samples))
    except Fault as mistake:
        raise Refused((mistake.diagnostic,)) from None
    if args.png:
        _draw(args.png, made)
    if args.json:
        print_json(msgspec.to_builtins(made))
    else:
        print("\n".join(lines(made, args.members)))
    return 0


def _reference(field: str) -> int:
    from netdsl.recipe.reference import fields, reference

    if field and field not in fields():
        from netdsl.diagnostics.diagnostic import did_you_mean

        raise Failure(f"a recipe has no field `{field}`", did_you_mean(field, fields()))
    print("\n".join(reference(field or None)))
    return 0


def _draw(path: str, made: Plan) -> None:
    """The curves of a plan as an image."""
    from netdsl.render.chart import Panel, draw

    if made.steps is None:
        raise Failure("without the number of samples there are no curves to draw", "give it with `--samples N`")
    unit, per = ("epochs", made.per_epoch) if made.per_epoch else ("steps", 1)
    last, borders = made.steps / per, tuple(s.start / per for s in made.spans[1:])
    panels = [Panel(f"{made.net} by {made.recipe}: learning rate", made.lr, last, unit, borders)]
    if made.dropout:
        panels.append(Panel("dropout", made.dropout, last, unit))
    if made.drop_path:
        count = len(made.drop_path)
        panels.append(Panel("drop-path of each residual link", made.drop_path, count, "residual links", (), True))
    with replacing(path) as temporary:
        draw(Path(temporary), panels)
