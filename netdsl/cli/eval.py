"""Evaluate a trained net, from a run directory or an ONNX file, on its test split or on other data.

An ONNX file is run in onnxruntime, a run directory in PyTorch (with `--onnx`: its ONNX file in onnxruntime).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from netdsl.cli.failure import note
from netdsl.recipe.metrics import METRICS, described
from netdsl.render.output import print_json
from netdsl.render.paint import named

EXAMPLES = """\
examples:
  netdsl eval runs/LeNet5-1
  netdsl eval runs/LeNet5-1/model.onnx --data digits
  netdsl eval model.onnx --data 'npz("mine.npz")' --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|FILE.onnx", help="a run directory, or an ONNX file")
    parser.add_argument("--data", metavar="SOURCE", help="the data, as in a recipe (default: that of the run)")
    more = f"metrics besides those of the run: {', '.join(METRICS)}"
    parser.add_argument("--metrics", metavar="A,B", default="", help=more)
    parser.add_argument("--onnx", action="store_true", help="evaluate the ONNX file of a run directory")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from netdsl.cli.training import guarded

    with guarded():
        from netdsl.inference.predictions import class_names
        from netdsl.training.opened import open_trained
        from netdsl.training.run_evaluation import measure

        trained = open_trained(Path(args.model), args.onnx)
        wanted = tuple(m for m in args.metrics.split(",") if m)
        result = measure(trained, args.data, wanted, note)
    if args.json:
        print_json(result)
    else:
        names = class_names(trained, len(result.get("per_class", trained.classes)))
        print("\n".join(_lines(result, tuple(map(named, names)), trained.task)))
    return 0


def _lines(result: dict[str, Any], classes: tuple[str, ...], task: str) -> list[str]:
    every = result.get("held_out_of", 0)
    lines = [described(result, task) + (f", held out of {every:,}" if every else "")]
    lines += _per_class(result, classes)
    width = max([len(str(n)) for row in result.get("confusion", ()) for n in row], default=1)
    for name, row in zip(classes, result.get("confusion", ()), strict=False):
        lines.append(f"  {name:>16} " + " ".join(f"{n:{width}d}" for n in row))
    return lines


def _per_class(result: dict[str, Any], classes: tuple[str, ...]) -> list[str]:
    """A line for each class: its recall, and the other metrics that were asked for."""
    end = "_per_class"
    columns = {"recall": result.get("per_class", ())} | {
        n[: -len(end)]: v for n, v in result.items() if n.endswith(end)
    }
    lines = []
    for i in range(len(columns["recall"])):
        name = classes[i] if i < len(classes) else str(i)
        values = (f"{n} {v[i]:.2%}" if v[i] is not None else f"{n} -" for n, v in columns.items())
        lines.append(f"  {name:>16} {'  '.join(values)}")
    return lines
