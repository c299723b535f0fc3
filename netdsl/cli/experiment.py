"""Run an experiment of a spec: train every cell of its grid with every seed, and show what it says as tables and
figures. The same command continues where it was stopped, by whatever.

Every run is what `netdsl train` does, in a run directory below the experiment's folder. Worker processes stay warm:
torch is imported once for each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.cli.failure import WRONG, Failure, Refused
from netdsl.cli.numbers import whole
from netdsl.cli.target import given_sizes, open_spec, split_target
from netdsl.cli.unused import refuse_unused

if TYPE_CHECKING:
    from netdsl.experiment.from_python import Experiment
    from netdsl.experiment.results import Results

FORMATS = ("text", "markdown", "latex", "json")

EXAMPLES = """\
examples:
  netdsl experiment lenet:LearningRates --plan     the cells, and what they will cost
  netdsl experiment lenet:LearningRates            train them, or resume; experiments/LearningRates/index.html
  netdsl experiment lenet --workers 1 --set epochs=1 a first look at another length
  netdsl experiment lenet --report --format latex    the tables of what has ended
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC[:Name]", help="a spec, and after a colon one of its experiments")
    parser.add_argument("--plan", action="store_true", help="show what will be run, and run nothing")
    parser.add_argument("--report", action="store_true", help="run nothing: show what has ended")
    parser.add_argument("-o", "--output", metavar="DIR", help="the folder (default: experiments/<name>)")
    parser.add_argument("--format", choices=FORMATS, help="how tables are printed (text)")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    parser.add_argument(
        "--workers", type=whole(1), metavar="N", help="processes that train (default: one for each core)"
    )
    parser.add_argument("--seeds", type=whole(1), metavar="N", help="another number of seeds")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... (default: cuda if there is one)")
    parser.add_argument(
        "--batch-seeds", choices=("auto", "on", "off"), default="auto",
        help="train the seeds of a cell as one batched model; auto: where its first steps are faster",
    )  # fmt: skip
    parser.add_argument("--on", choices=("local", "slurm"), default="local", help="this machine (local), or Slurm")
    parser.add_argument(
        "--set", dest="settings", metavar="FIELD=VALUE", action="append", default=[],
        help="change a field of the recipe in every cell",
    )  # fmt: skip
    parser.add_argument(
        "--size", dest="sizes", metavar="NAME=N", action="append", default=[], help="fix a named size of the inputs"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the tables")


def run(args: argparse.Namespace) -> int:
    from netdsl.diagnostics.diagnostic import Fault

    _check(args)
    try:
        return _run(args)
    except Fault as mistake:
        raise Refused((mistake.diagnostic,)) from None


def _check(args: argparse.Namespace) -> None:
    if args.plan:
        refuse_unused(args, ("format",), "`--plan` shows cells and their cost as text, without {}", "leave it out")
    if args.plan and args.report:
        raise Failure("`--plan` shows what will be run, `--report` what has ended", "choose one of them")


def _run(args: argparse.Namespace) -> int:
    from netdsl.experiment.run import Options

    say = _silent if args.quiet else _say
    experiment = _experiment(args)
    folder = experiment.folder(args.output)
    if args.plan:
        print(experiment)
        return 0
    if args.report:
        found = experiment.results(folder).found
    else:
        say(str(experiment))
        found = experiment.trained(folder, Options(args.workers, args.device, args.on, args.batch_seeds), say)
    return _show(args, found, folder)


def _experiment(args: argparse.Namespace) -> Experiment:
    """The experiment that is meant, without mistakes; its warnings are printed."""
    from netdsl.cli.training import settings_of
    from netdsl.experiment.from_python import Experiment

    path, name = split_target(args.spec)
    experiment = Experiment(open_spec(path), name, settings_of(args), given_sizes(args), args.seeds)
    if experiment.warnings and not args.quiet:
        from netdsl.render.diagnostics import render_all

        _say(render_all(experiment.warnings, sys.stderr))
    return experiment


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None: ...


def _show(args: argparse.Namespace, found: Results, folder: Path) -> int:
    """Print the tables and write all reports; 1 where a run failed."""
    from netdsl.experiment.report import printed, write_reports
    from netdsl.experiment.results import PRUNED

    print(printed(found, args.format or "text", sys.stdout), end="")
    if found.ended:
        write_reports(found, folder)
        if not args.quiet:
            _say(f"everything is in {folder}; {folder / 'index.html'} shows it")
    return WRONG if any(why != PRUNED for row in found.rows for _, why in row.failed) else 0
