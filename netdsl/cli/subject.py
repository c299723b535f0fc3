"""The subject of `compile`: a net of a spec, with a recipe or without, or the trained net of a run directory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from netdsl.cli.failure import Failure, Refused
from netdsl.cli.target import open_net, split_target
from netdsl.cli.unused import refuse_unused
from netdsl.publish.artifacts import Subject


def subject_of(args: argparse.Namespace) -> Subject:
    """The net of a spec or a run, and the initialization of the recipe where one is named. Raises Refused."""
    if os.path.isfile(os.path.join(args.spec, "run.json")):
        return _of_run(args)
    if args.recipe is None:
        if args.settings:
            raise Failure("`--set` changes a recipe", "name one with `--recipe`")
        return Subject(open_net(args))
    from netdsl.cli.training import open_recipe
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.planning.initialization import initializations

    net, recipe = open_recipe(args)
    try:
        init = initializations(recipe.init, net.checked)
    except Fault as mistake:
        raise Refused((mistake.diagnostic,)) from None
    return Subject(net, init, recipe, Path(split_target(args.spec)[0]).parent)


def _of_run(args: argparse.Namespace) -> Subject:
    refuse_unused(
        args, ("recipe", "settings", "arguments", "sizes", "weights", "pretrained"),
        "a run is compiled as it was trained: {} cannot change it", "name its spec",
    )  # fmt: skip
    from netdsl.cli.training import guarded

    with guarded():
        from netdsl.training.opened import run_of

        net, run = run_of(Path(args.spec))
    return Subject(net, recipe=run.recipe, base=run.base, run=run)
