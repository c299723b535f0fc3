"""Measure how a net behaves: its signals at initialization, its receptive field, its weights and its loss.

The findings come first, in sentences; a table compares each measured value with theory.

  signal     mean and variance of every layer's output, and of the gradients
  dead       ReLU units that are 0 for every sample
  shatter    correlation of the input gradients of neighbouring inputs
  field      the effective receptive field
  spectrum   singular values of the weights
  paths      the outputs of a residual net when branches are removed
  shifts     the guesses for images that are moved by whole pixels
  lr         a learning-rate range test: the loss while the learning rate rises
  updates    the size of weight updates relative to the weights
  curvature  the largest eigenvalue of the Hessian, and the largest stable learning rate

Several nets are shown beside each other: `netdsl probe a.net:Plain a.net:Residual shatter`.
Without SIGNAL: signal, field and spectrum. `dead`, `paths`, `shifts`, `lr`, `updates` and `curvature` use the recipe's
data (`--data` chooses others).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.cli.failure import Failure, Refused
from netdsl.cli.files import check_ending, write
from netdsl.cli.numbers import seed, whole
from netdsl.cli.target import (
    add_recipe_options,
    add_target,
    given_arguments,
    given_sizes,
    open_spec,
    split_target,
)
from netdsl.cli.unused import refuse_unused
from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.render.output import json_text

if TYPE_CHECKING:
    from netdsl.probe.model import Probed
    from netdsl.probe.subject import Subject

NAMES = ("signal", "dead", "shatter", "field", "spectrum", "paths", "shifts", "lr", "updates", "curvature")

READS_DATA = {"dead", "paths", "shifts", "lr", "updates", "curvature"}
"""Signals that look at the recipe's data."""

EXAMPLES = """\
examples:
  netdsl probe resnet_cifar:ResNet56                 signal, field and spectrum of fresh weights
  netdsl probe mine.net:Deep signal --init xavier,kaiming,pytorch
  netdsl probe a.net:Plain a.net:Residual shatter -o shatter.svg -o shatter.json
  netdsl probe lenet lr curvature -o lenet.html
  netdsl probe runs/LeNet5-1 dead spectrum --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, what="a spec, and after a colon a net or a recipe of it; or a run directory")
    parser.add_argument("words", metavar="SIGNAL", nargs="*", help=f"{', '.join(NAMES)}; or another net or run")
    add_recipe_options(parser)
    parser.add_argument("--data", metavar="SOURCE", help="the data, as in a recipe (default: those of the recipe)")
    parser.add_argument("--init", metavar="A,B", help="compare initializations in `signal`: `--init xavier,kaiming`")
    parser.add_argument("--samples", type=whole(1), default=64, metavar="N", help="the number of samples (64)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="the seed of weights and inputs (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE", action="append", default=[],
        help="write a page (.html), the plots (.svg) or the numbers (.json) instead of text; several times for several",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    signals = [w for w in args.words if w in NAMES]
    targets = [args.spec, *(w for w in args.words if w not in NAMES)]
    _check(args, signals)
    from netdsl.cli.training import guarded

    with guarded():
        from netdsl.probe.beside import beside

        if all(map(_is_run, targets)):
            refuse_unused(
                args, ("recipe", "settings", "arguments", "sizes"),
                "a run is probed as it was trained: {} cannot change it", "name its spec",
            )  # fmt: skip
        each = [_probed(args, target, signals) for target in targets]
        found = beside(each, _names(targets, [one.net for one in each]))
    for path in args.output:
        write(path, _written(found, path))
        print(path)
    if args.output:
        return 0
    if args.json:
        print(_written(found, ".json"), end="")
    else:
        from netdsl.probe.text import text
        from netdsl.render.paint import paint_for

        print(text(found, paint_for(sys.stdout)))
    return 0


def _probed(args: argparse.Namespace, target: str, signals: list[str]) -> Probed:
    """Probe one net."""
    from netdsl.probe.signals import probe
    from netdsl.probe.subject import with_init

    subject = _subject(args, target, signals)
    words = [w.strip() for w in (args.init or "").split(",") if w.strip()]
    return probe(subject, signals, [(w, with_init(subject, w)) for w in words])


def _names(targets: list[str], nets: list[str]) -> list[str]:
    """Names for targets: the net or the recipe behind the colon, of run directories what tells their paths apart."""
    from netdsl.records.names import told_apart

    runs = [t for t in targets if os.path.isdir(t)]
    names = dict(zip(runs, told_apart(runs), strict=True))
    return [names.get(t) or split_target(t)[1] or net for t, net in zip(targets, nets, strict=True)]


def _written(found: Probed, path: str) -> str:
    """The findings in the form that a file's name asks for."""
    if path.lower().endswith(".json"):
        from netdsl.probe.model import data

        return json_text(data(found)) + "\n"
    from netdsl.probe.page import drawings, page

    return drawings(found) if path.lower().endswith(".svg") else page(found)


def _check(args: argparse.Namespace, signals: list[str]) -> None:
    """Raise Failure for what can be refused before torch is loaded."""
    for name in args.words:
        if name not in NAMES and not _is_target(name):
            raise Failure(f"there is no signal `{name}`", did_you_mean(name, NAMES) or f"signals: {', '.join(NAMES)}")
    for path in args.output:
        check_ending(path, ".html", ".svg", ".json")
    if args.init and signals and "signal" not in signals:
        raise Failure("`--init` compares initialisations in `signal`, which is not asked for")


def _is_run(target: str) -> bool:
    return os.path.isdir(target) and not target.endswith(".net")


def _is_target(word: str) -> bool:
    """Whether a word is another net or run: none of them looks like a misspelt signal."""
    return ":" in word or word.endswith(".net") or os.path.isdir(word)


def _subject(args: argparse.Namespace, target: str, signals: list[str]) -> Subject:
    """The net of a spec with its recipe, or of a run with its weights."""
    from netdsl.probe.subject import Subject, of_known_sizes, of_run

    if _is_run(target):
        return of_run(Path(target), args.data, args.samples, args.seed)
    from netdsl.cli.training import open_recipe, settings_of
    from netdsl.recipe.schema import Recipe
    from netdsl.selection import select

    args = argparse.Namespace(**{**vars(args), "spec": target})
    if READS_DATA.intersection(signals):
        net, recipe = open_recipe(args)
    else:  # a net that does not fit its recipe's data has signals all the same
        path, name = split_target(args.spec)
        bindings = given_arguments(args), given_sizes(args)
        found = select(open_spec(path), name, args.recipe, settings_of(args), *bindings)
        if found.net is None or found.net.program is None or (found.recipe is None and (args.recipe or args.settings)):
            raise Refused(found.diagnostics)
        net, recipe = found.net, found.recipe or Recipe()
    return Subject(of_known_sizes(net), recipe, Path(split_target(target)[0]).parent, args.seed, args.samples)
