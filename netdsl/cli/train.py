"""Trains a net as a recipe says: the spec's own recipe, the one named, or sensible defaults.

Without a recipe, or where it names no data, the data are scikit-learn's handwritten digits, resized to what the net
takes. The run goes into a folder: the spec, the resolved recipe, metrics as JSON lines, checkpoints,
model.safetensors, model.py,
model.onnx and a report. At the end the ONNX file is run on the test split.
"""

from __future__ import annotations

import argparse
import sys

from netdsl.cli.failure import Failure
from netdsl.cli.target import add_recipe_options, add_target

EXAMPLES = """\
examples:
  netdsl train lenet.net                        the file's first net, its recipe
  netdsl train convnext.net:ConvNeXt_T --recipe resnet:A2
  netdsl train convnext.net:ImageNet300         a recipe names its net
  netdsl train lenet.net --set epochs=3 --set optimizer.lr=1e-3
  netdsl train lenet.net --data 'npz("mine.npz")'
  netdsl train --resume runs/LeNet5-1           go on where it stopped
  netdsl train --resume runs/LeNet5-1 --set epochs=40     and train longer; says what changes
  netdsl train --resume runs/LeNet5-1/checkpoints/step-000460.safetensors     go on from a kept checkpoint
  netdsl train lenet.net --devices 2            two processes; or torchrun --nproc-per-node 2 -m netdsl train lenet.net
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, nargs="?")
    add_recipe_options(parser)
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help='the data, as the recipe would say it: `synthetic`, `cifar10("folder")`; paths from where you are',
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything random")
    parser.add_argument("-o", "--output", metavar="DIR", help="the run folder (default: runs/<net>-<n>)")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="go on with the run in this folder, or from one of its kept checkpoints; `--set` may change fields",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... (default: cuda if there is one)")
    parser.add_argument(
        "--devices", type=int, default=1, metavar="N", help="processes to train with, one for each device"
    )
    parser.add_argument("--no-onnx", action="store_true", help="leave out model.onnx and its verification")
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard, into the run folder")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, only the result")


def run(args: argparse.Namespace) -> int:
    if not args.spec and not args.resume:
        raise Failure("which spec?", "`netdsl train SPEC`, or `netdsl train --resume RUN`")
    if args.spec and args.resume:
        raise Failure("`--resume` goes on with a run's own spec", "leave out the spec")
    from netdsl.training.distributed.launch import launch, leave, needs_launch

    if needs_launch(args.devices):
        return launch(args.devices, sys.argv[1:])
    from netdsl.cli.training import guarded, open_request, show

    with guarded():
        from netdsl.training.entry import train

        code = train(open_request(args), show)
    return leave(code)
