"""Run a trained net, from its run directory or an ONNX file, on images, arrays or tables.

An image is resized and cropped like the run's test images; the net itself standardizes its pixels (from 0 to 1). A
folder is read as the images in it, `.npy` and `.npz` files as arrays [N, ...] (uint8: pixels), `.csv` and `.parquet`
files as rows of the columns that the net was trained on. Classifiers print their most probable classes, other nets
labels, numbers or masks. `--mc N` keeps dropout on and prints the mean and the standard deviation of N passes (Gal &
Ghahramani, 2016).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import Failure, note
from netdsl.cli.files import check_apart, write
from netdsl.cli.numbers import whole
from netdsl.render.output import csv_text, json_text, print_json
from netdsl.render.paint import named, visible

if TYPE_CHECKING:
    from netdsl.inference.trained import Trained

EXAMPLES = """\
examples:
  netdsl predict runs/LeNet5-1 digit.png
  netdsl predict runs/LeNet5-1/model.onnx *.png --top 3
  netdsl predict runs/LeNet5-1 digit.png --mc 30 --json
  netdsl predict runs/Houses-1 new.csv -o prices.csv
  netdsl predict runs/UNet-1 photographs/ -o masks/        a PNG file for each image
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|FILE.onnx", help="a run directory, or an ONNX file")
    parser.add_argument("inputs", metavar="FILE", nargs="+", help="images, folders of images, arrays, tables")
    parser.add_argument("--top", type=whole(1), default=1, metavar="N", help="how many classes to show")
    parser.add_argument("--probabilities", action="store_true", help="the probabilities of all classes")
    parser.add_argument("--batch", type=whole(1), default=32, metavar="N", help="the batch size")
    parser.add_argument(
        "--mc", type=whole(0), default=0, metavar="N", help="Monte Carlo dropout with N passes (run directories only)"
    )
    parser.add_argument(
        "--invert",
        action="store_true",
        help="invert the images: the digits are light on dark",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE|DIR", help="a .csv or .json file for the predictions, or a folder for masks"
    )
    parser.add_argument(
        "--net-size", action="store_true", help="masks as large as the net gives them, not as their images"
    )
    parser.add_argument("--json", action="store_true", help="print the predictions as a JSON array")


def run(args: argparse.Namespace) -> int:
    from netdsl.cli.training import guarded

    for path in (args.model, *args.inputs):
        check_apart(path, args.output)
    output = Path(args.output) if args.output else None
    file = output if output is not None and output.suffix.lower() in (".csv", ".json") else None
    with guarded():
        from netdsl.inference.predictions import Wanted, predict

        trained = _opened(Path(args.model), args.mc)
        masks = None if file is not None else _folder(output, trained.task)
        wanted = Wanted(
            args.top, args.probabilities, bool(args.mc), args.invert, args.batch, masks, args.net_size, note
        )
        _give(predict(trained, [Path(p) for p in args.inputs], wanted), file, args.json)
    return 0


def _opened(path: Path, passes: int) -> Trained:
    """Open what predicts: onnxruntime without torch, but for dropout and for a run without an ONNX file of its
    weights."""
    from netdsl.inference.trained import open_onnx, open_run

    if not passes:
        found = open_run(path) if path.is_dir() else open_onnx(path)
        if found is not None:
            return found
        print(f"{path} has no ONNX file of its weights: they are run in torch", file=sys.stderr)
    if passes and not path.is_dir():
        raise Failure("`--mc` needs dropout, which an ONNX file no longer has", "name the run directory")
    from netdsl.training.opened import open_trained, with_dropout

    opened = open_trained(path)
    return with_dropout(opened, passes) if passes else opened


def _folder(path: Path | None, task: str) -> Path | None:
    """The folder for masks, made."""
    if path is None:
        return None
    if task != "mask":
        raise Failure(f"`-o {path}`: a folder is for masks", "name a .csv or .json file")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _give(found: Iterator[dict[str, Any]], file: Path | None, as_json: bool) -> None:
    """Print the predictions, or write them to a file once all of them are there."""
    if file is None and not as_json:
        for prediction in found:
            print(_line(prediction))
        return
    every = list(found)
    if file is None:
        print_json(every)
        return
    write(str(file), _text(every, file.suffix.lower()))
    print(f"{len(every):,} predictions in {file}", file=sys.stderr)


def _text(found: list[dict[str, Any]], kind: str) -> str:
    """The predictions as a file of JSON or CSV."""
    if kind == ".json":
        return json_text(found) + "\n"
    return csv_text([_cells(prediction) for prediction in found])


def _cells(prediction: dict[str, Any]) -> dict[str, Any]:
    """A prediction as a row: guesses in columns of their own, with a number from the second on; the columns of outputs
    behind the first begin with their names."""
    row: dict[str, Any] = {"sample": prediction["sample"]} if "sample" in prediction else {}
    for rank, guess in enumerate(prediction.get("guesses", ()), 1):
        row |= {name if rank == 1 else f"{name}_{rank}": value for name, value in guess.items()}
    for kind, prefix in (("probabilities", "p_"), ("labels", ""), ("values", ""), ("shares", "share_")):
        row |= {f"{prefix}{name}": value for name, value in prediction.get(kind, {}).items()}
    row |= {"mask": prediction["mask"]} if "mask" in prediction else {}
    for output, said in prediction.get("outputs", {}).items():
        row |= {f"{output}_{name}": value for name, value in _cells(said).items()}
    return row


def _line(prediction: dict[str, Any]) -> str:
    """A prediction for readers: the first output, then the others after their names."""
    others = "".join(f"; {named(name)}: {_words(said)}" for name, said in prediction.get("outputs", {}).items())
    return visible(f"{prediction['sample']}: {_words(prediction)}{others}")


def _words(prediction: dict[str, Any]) -> str:
    """The words of an output about a sample."""
    parts = [f"{named(g['class'])} {g['probability']:.1%}{_deviation(g)}" for g in prediction.get("guesses", ())]
    if "probabilities" in prediction:
        parts = [f"{named(name)} {value:.1%}" for name, value in prediction["probabilities"].items()]
    shares = {**prediction.get("labels", {}), **prediction.get("shares", {})}
    parts += [f"{named(name)} {value:.1%}" for name, value in shares.items()]
    parts += [f"{named(name)} {value:.6g}" for name, value in prediction.get("values", {}).items()]
    mask = f" -> {prediction['mask']}" if "mask" in prediction else ""
    return f"{', '.join(parts)}{mask}"


def _deviation(guess: dict[str, float]) -> str:
    return f" +- {guess['deviation']:.1%}" if "deviation" in guess else ""
