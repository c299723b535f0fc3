"""Measure how a net behaves: its signals at initialization, its receptive field, its weights and its loss.

The findings come first, in sentences; a table compares each measured value with theory.

  signal     mean and variance of every layer's output, and of the gradients
  dead       ReLU units that are 0 for every sample
  shatter    correlation of the input gradients of neighbouring inputs
  field      the effective receptive field
  spectrum   singular values of the weights
  paths      the outputs of a residual net when branches are removed
  lr         a learning-rate range test: the loss while the learning rate rises
  updates    the size of weight updates relative to the weights
  curvature  the largest eigenvalue of the Hessian, and the largest stable learning rate

Without SIGNAL: signal, field and spectrum. `dead`, `paths`, `lr`, `updates` and `curvature` use the recipe's data
(`--data` chooses others).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.cli.failure import Failure, Refused
from netdsl.cli.files import write
from netdsl.cli.target import (
    add_recipe_options,
    add_target,
    given_arguments,
    given_sizes,
    open_spec,
    split_target,
)
from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.render.output import json_text

if TYPE_CHECKING:
    from netdsl.probe.subject import Subject

NAMES = ("signal", "dead", "shatter", "field", "spectrum", "paths", "lr", "updates", "curvature")

READS_DATA = {"dead", "paths", "lr", "updates", "curvature"}
"""Signals that look at the recipe's data."""

EXAMPLES = """\
examples:
  netdsl probe resnet_cifar:ResNet56                 signal, field and spectrum of fresh weights
  netdsl probe mlp.net:Deep signal --init xavier,kaiming,pytorch
  netdsl probe lenet lr curvature -o lenet.html
  netdsl probe runs/LeNet5-1 dead spectrum --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, what="a spec, and after a colon a net or a recipe of it; or a run directory")
    parser.add_argument("signals", metavar="SIGNAL", nargs="*", help=", ".join(NAMES))
    add_recipe_options(parser)
    parser.add_argument("--data", metavar="SOURCE", help="the data, as in a recipe (default: those of the recipe)")
    parser.add_argument("--init", metavar="A,B", help="compare initializations in `signal`: `--init xavier,kaiming`")
    parser.add_argument("--samples", type=int, default=64, metavar="N", help="the number of samples (64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of weights and inputs (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-o", "--output", metavar="FILE", help="the page to write (`.html`), instead of text")


def run(args: argparse.Namespace) -> int:
    _check(args)
    from netdsl.cli.training import guarded

    with guarded():
        from netdsl.probe.signals import probe
        from netdsl.probe.subject import with_init

        subject = _subject(args)
        words = [w.strip() for w in (args.init or "").split(",") if w.strip()]
        found = probe(subject, args.signals, [(w, with_init(subject, w)) for w in words])
    if args.output:
        from netdsl.probe.page import page

        write(args.output, page(found))
        print(args.output)
    elif args.json:
        from netdsl.probe.model import data

        print(json_text(data(found)))
    else:
        from netdsl.probe.text import text
        from netdsl.render.paint import paint_for

        print(text(found, paint_for(sys.stdout)))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise Failure for what can be refused before torch is loaded."""
    for name in args.signals:
        if name not in NAMES:
            raise Failure(f"there is no signal `{name}`", did_you_mean(name, NAMES) or f"signals: {', '.join(NAMES)}")
    if args.samples < 1:
        raise Failure(f"`--samples {args.samples}` should be a number from 1")
    if args.output and os.path.splitext(args.output)[1].lower() != ".html":
        raise Failure(f"cannot write to {args.output}", "name a file that ends in .html, or print with `--json`")
    if args.init and args.signals and "signal" not in args.signals:
        raise Failure("`--init` compares initialisations in `signal`, which is not asked for")


def _subject(args: argparse.Namespace) -> Subject:
    """The net of a spec with its recipe, or of a run with its weights."""
    from netdsl.probe.subject import Subject, of_known_sizes, of_run

    if os.path.isdir(args.spec) and not args.spec.endswith(".net"):
        return of_run(Path(args.spec), args.data, args.samples, args.seed)
    from netdsl.cli.training import open_recipe, settings_of
    from netdsl.recipe.schema import Recipe
    from netdsl.selection import select

    if READS_DATA.intersection(args.signals):
        net, recipe = open_recipe(args)
    else:  # a net that does not fit its recipe's data has signals all the same
        path, name = split_target(args.spec)
        bindings = given_arguments(args), given_sizes(args)
        found = select(open_spec(path), name, args.recipe, settings_of(args), *bindings)
        if found.net is None or found.net.program is None or (found.recipe is None and (args.recipe or args.settings)):
            raise Refused(found.diagnostics)
        net, recipe = found.net, found.recipe or Recipe()
    return Subject(of_known_sizes(net), recipe, Path(net.spec.source.name).parent, args.seed, args.samples)
