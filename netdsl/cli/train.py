"""Train a net with a recipe: the first recipe of the spec, the one named, or defaults.

Without a recipe, or if it names no data, the net is trained on scikit-learn's handwritten digits, resized to the size
of its input. The run directory holds the spec, the recipe with all defaults, metrics as JSON lines, checkpoints,
model.safetensors, model.py, model.onnx and a report. At the end the ONNX file is evaluated on the test split.
"""

from __future__ import annotations

import argparse
import sys

from netdsl.cli.failure import Failure
from netdsl.cli.numbers import whole
from netdsl.cli.target import add_recipe_options, add_target

EXAMPLES = """\
examples:
  netdsl train lenet                        the file's first net, its recipe
  netdsl train convnext:ConvNeXt_T --recipe resnet:A2
  netdsl train convnext:ImageNet300         a recipe names its net
  netdsl train lenet --set epochs=3 --set optimizer.lr=1e-3
  netdsl train lenet --data 'npz("mine.npz")'
  netdsl train --resume runs/LeNet5-1           continue where it stopped
  netdsl train --resume runs/LeNet5-1 --set epochs=40     train longer; prints what changes
  netdsl train --resume runs/LeNet5-1/checkpoints/step-000460.safetensors     resume from a kept checkpoint
  netdsl train lenet --devices 2            two processes; or torchrun --nproc-per-node 2 -m netdsl train lenet
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, nargs="?")
    add_recipe_options(parser)
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help='the data, as in a recipe: `synthetic`, `cifar10("folder")`; paths are relative to the working directory',
    )
    parser.add_argument("--seed", type=whole(0), metavar="N", help="the random seed")
    parser.add_argument("-o", "--output", metavar="DIR", help="the run directory (default: runs/<net>-<n>)")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="resume the run in this folder, or from one of its kept checkpoints; `--set` may change fields",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 ... (default: cuda if there is one)")
    parser.add_argument(
        "--devices", type=whole(1), default=1, metavar="N", help="number of processes, one for each device"
    )
    parser.add_argument("--no-onnx", action="store_true", help="do not write model.onnx")
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write a TensorBoard log into the run directory"
    )
    parser.add_argument(
        "--probe", action="store_true", help="also look at updates and dead units while training (in the report)"
    )
    parser.add_argument("--csv", action="store_true", help="also write the log as metrics.csv into the run directory")
    parser.add_argument(
        "--track", choices=("mlflow", "wandb"), default="", help="also log into MLflow or Weights & Biases"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the result")


def run(args: argparse.Namespace) -> int:
    if not args.spec and not args.resume:
        raise Failure("which spec?", "`netdsl train SPEC`, or `netdsl train --resume RUN`")
    if args.spec and args.resume:
        raise Failure("`--resume` continues with a run's own spec", "leave out the spec")
    from netdsl.training.distributed.launch import launch, leave, needs_launch

    if needs_launch(args.devices):
        return launch(args.devices, sys.argv[1:])
    from netdsl.cli.training import guarded, open_request, show

    with guarded():
        from netdsl.training.entry import train

        code = train(open_request(args), show)
    return leave(code)
