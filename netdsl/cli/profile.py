"""Show where the time of a training step goes: data, forward, backward, optimizer, evaluation, and the slowest layers.

A few steps are trained as the recipe says, and nothing of them is kept. Layers are named by their line of the spec.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.cli.numbers import whole
from netdsl.cli.target import add_recipe_options, add_target, split_target
from netdsl.cli.unused import refuse_unused
from netdsl.render.output import json_text

if TYPE_CHECKING:
    from netdsl.pipeline import Net
    from netdsl.recipe.schema import Recipe

EXAMPLES = """\
examples:
  netdsl profile lenet
  netdsl profile resnet:A2 --data 'imagefolder("imagenet")' --device cuda
  netdsl profile lenet --set workers=4 --steps 20 --json
  netdsl profile runs/LeNet5-1
"""

MOST_STEPS = 10_000


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, what="a spec, and after a colon a net or a recipe of it; or a run directory")
    add_recipe_options(parser)
    parser.add_argument("--data", metavar="SOURCE", help="the data, as in a recipe")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... (default: cuda if there is one)")
    parser.add_argument(
        "--steps", type=whole(1, MOST_STEPS), default=10, metavar="N", help="steps that are measured (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: seconds")


def run(args: argparse.Namespace) -> int:
    from netdsl.cli.training import guarded

    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's tracer speaks on the error stream
    net, recipe, base = _opened(args)
    with guarded():
        from msgspec import to_builtins

        from netdsl.render.paint import paint_for
        from netdsl.training.entry import profiled
        from netdsl.training.report.profile import profile_text

        found = profiled(net, recipe, base, args.device, args.steps)
    if args.json:
        print(json_text(to_builtins(found)))
    else:
        lines = dict(enumerate(net.spec.module.source.text.splitlines(), 1))
        print(profile_text(found, lines, paint_for(sys.stdout)))
    return 0


def _opened(args: argparse.Namespace) -> tuple[Net, Recipe, Path]:
    """The net, the recipe and the folder of its paths: of a spec, or of a run directory."""
    from netdsl.cli.training import guarded, open_recipe

    if not os.path.isdir(args.spec):
        net, recipe = open_recipe(args)
        return net, recipe, Path(split_target(args.spec)[0]).parent
    refuse_unused(
        args, ("recipe", "arguments", "sizes", "settings", "data"),
        "a run is profiled as it was trained: {} cannot change it", "name its spec",
    )  # fmt: skip
    with guarded():
        from netdsl.training.opened import reopened

        net, recipe, about = reopened(Path(args.spec))
    return net, recipe, Path(about.base)
