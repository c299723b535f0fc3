"""Runs a trained net, from its run folder or an ONNX file, on images.

An image is resized and cut to what the net takes; pixels go in as they are, from 0 to 1, because the net standardises
them itself. With `--mc N` dropout stays on, and N passes give a mean and a deviation (Gal & Ghahramani, 2016).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from netdsl.cli.failure import Failure
from netdsl.render.output import print_json

EXAMPLES = """\
examples:
  netdsl predict runs/LeNet5-1 digit.png
  netdsl predict runs/LeNet5-1/model.onnx *.png --top 3
  netdsl predict runs/LeNet5-1 digit.png --mc 30 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|FILE.onnx", help="a run folder, or an ONNX file")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="images, in any form that Pillow reads")
    parser.add_argument("--top", type=int, default=1, metavar="N", help="how many classes to show")
    parser.add_argument(
        "--mc", type=int, default=0, metavar="N", help="Monte Carlo dropout with N passes (a run folder only)"
    )
    parser.add_argument("--invert", action="store_true", help="dark on light becomes light on dark, as in the digits")
    parser.add_argument("--json", action="store_true", help="an object for machines")


def run(args: argparse.Namespace) -> int:
    from netdsl.cli.training import guarded

    if args.top < 1 or args.mc < 0:
        raise Failure("`--top` and `--mc` are counts")
    with guarded():
        from netdsl.training.opened import open_trained
        from netdsl.training.trained import predict

        trained = open_trained(Path(args.model))
        if args.mc and trained.module is None:
            raise Failure("`--mc` needs dropout, which an ONNX file no longer has", "name the run folder")
        found = [predict(trained, Path(path), args.top, args.mc, args.invert) for path in args.images]
    if args.json:
        print_json(found)
        return 0
    for row in found:
        shown = ", ".join(f"{g['class']} {g['probability']:.1%}" + _deviation(g) for g in row["guesses"])
        print(f"{row['image']}: {shown}")
    return 0


def _deviation(guess: dict[str, float]) -> str:
    return f" +- {guess['deviation']:.1%}" if "deviation" in guess else ""
