"""Write a net as PyTorch source (model.py, which imports nothing but torch) and as an ONNX file (model.onnx).

The ONNX file is verified before it is written: the outputs of onnxruntime are compared with those of PyTorch at
several batch and image sizes, with the given weights and with random ones. If a comparison fails, or the disk is
full, the folder is left unchanged.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netdsl.analysis.count import totals
from netdsl.cli.failure import Failure, Refused
from netdsl.cli.files import folder, write
from netdsl.cli.foreign import add_rules, state_from
from netdsl.cli.target import add_recipe_options, add_target, live_module, open_net, summary_of
from netdsl.render.numbers import in_bytes, plural
from netdsl.render.output import print_json

if TYPE_CHECKING:
    from torch import nn

    from netdsl.ir.initial import Initialization
    from netdsl.pipeline import Net
    from netdsl.verify.compare import Case

EXAMPLES = """\
examples:
  netdsl compile resnet.net:ResNet50 -o out
  netdsl compile unet.net -o out --emit onnx --weights trained.safetensors
  netdsl compile unet.net -o out --size H=256 --size W=256 --opset 20
  netdsl compile resnet.net -o out --emit torch        writes model.py, without loading PyTorch
  netdsl compile resnet:A1 -o out --recipe A1          model.py has `init_weights`, the recipe's `init`

what can be written (--emit, comma-separated):
  torch     model.py             the net as a class, in plain PyTorch
  onnx      model.onnx           verified in onnxruntime
  weights   model.safetensors    the weights that are in model.onnx
  ir        model.ir             the typed program, for reading
  summary   summary.json         the same as `netdsl summary --json`

exit codes: 0 written, 1 the spec is wrong or the ONNX file failed its verification, 2 nothing could be read or written
"""

TARGETS = ("onnxruntime", "portable", "openvino")


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    add_recipe_options(parser)
    parser.add_argument("-o", "--output", metavar="DIR", default="out", help="the folder to write to (out)")
    parser.add_argument("--emit", metavar="KINDS", default="torch,onnx", help="what to write (torch,onnx)")
    parser.add_argument("--opset", type=int, default=18, metavar="N", help="ONNX opset, 17 to 23 (18)")
    parser.add_argument(
        "--target", choices=TARGETS, default=TARGETS[0], help="the runtime that the ONNX file is written for"
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="write the ONNX file without comparing it with PyTorch"
    )
    parser.add_argument("--weights", metavar="FILE", help="weights, as `netdsl weights` reads them (else: fresh ones)")
    add_rules(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of fresh weights (0)")
    parser.add_argument("--json", action="store_true", help="print the written files as JSON")


def run(args: argparse.Namespace) -> int:
    kinds = [k.strip() for k in args.emit.split(",") if k.strip()]
    unknown = [k for k in kinds if k not in EMITTERS]
    if unknown or not kinds:
        what = f"cannot emit `{unknown[0]}`" if unknown else "nothing to emit"
        raise Failure(what, f"--emit takes {', '.join(EMITTERS)}, with commas between")
    build = Build(*_wanted(args), args)
    with folder(args.output) as temporary:
        for kind in kinds:
            EMITTERS[kind](build, temporary)
        sizes = {name: os.path.getsize(os.path.join(temporary, name)) for name in sorted(os.listdir(temporary))}
    _report(build, {os.path.join(args.output, name): size for name, size in sizes.items()}, args.json)
    return 0


def _wanted(args: argparse.Namespace) -> tuple[Net, tuple[Initialization, ...]]:
    """The net, and the initialization of the recipe where one is named. Raises Refused with its mistakes."""
    if args.recipe is None:
        if args.settings:
            raise Failure("`--set` changes a recipe", "name one with `--recipe`")
        return open_net(args), ()
    from netdsl.cli.training import open_recipe
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.planning.initialization import initializations

    net, recipe = open_recipe(args)
    try:
        return net, initializations(recipe.init, net.checked)
    except Fault as mistake:
        raise Refused((mistake.diagnostic,)) from None


class Build:
    """One net on its way to files. `weights` are arrays by state-dict key, None for fresh ones; `init` is how those
    start."""

    def __init__(self, net: Net, init: tuple[Initialization, ...], args: argparse.Namespace) -> None:
        self.net = net
        self.init = init
        self.args = args
        self.cases: list[Case] = []
        self.weights = state_from(net, args.weights, args) if args.weights else None

    @cached_property
    def module(self) -> nn.Module:
        """The live module with its weights."""
        return live_module(self.net, self.args.seed, self.weights, self.init)

    @property
    def state(self) -> dict[str, Any]:
        """The weights as arrays by state-dict key; those of a file without torch."""
        if self.weights is not None:
            return self.weights
        return {k: v.detach().numpy() for k, v in self.module.state_dict().items()}

    def torch(self, folder: str) -> None:
        write(os.path.join(folder, "model.py"), self.net.source(self.init))

    def onnx(self, folder: str) -> None:
        from netdsl.render.status import working

        path = os.path.join(folder, "model.onnx")
        if self.args.no_verify:
            with working("writing model.onnx"):
                self._export(path, self.module if self.weights is None else self.weights)
            return
        from netdsl.verify.compare import VerificationError

        try:
            with working("writing and verifying model.onnx"):
                self.cases = self._export(path, self.module)
        except VerificationError as error:
            from netdsl.render.cases import render_cases

            print(render_cases(error.cases))
            raise Refused((error.diagnostic,)) from None

    def _export(self, path: str, weights: nn.Module | dict[str, Any]) -> list[Case]:
        from netdsl.verify.export import export_onnx

        args = self.args
        verified = not args.no_verify
        return export_onnx(self.net, path, weights, opset=args.opset, target=args.target, verified=verified)

    def weights_file(self, folder: str) -> None:
        import numpy as np
        from safetensors.numpy import save

        state = {k: np.ascontiguousarray(v).reshape(v.shape) for k, v in self.state.items()}
        write(os.path.join(folder, "model.safetensors"), save(state))

    def ir(self, folder: str) -> None:
        from netdsl.ir.text import program_text

        write(os.path.join(folder, "model.ir"), program_text(self.net.checked))

    def summary(self, folder: str) -> None:
        from netdsl.render.output import json_text
        from netdsl.render.summary_data import as_data

        write(os.path.join(folder, "summary.json"), json_text(as_data(summary_of(self.net))) + "\n")


EMITTERS: dict[str, Callable[[Build, str], None]] = {
    "torch": Build.torch,
    "onnx": Build.onnx,
    "weights": Build.weights_file,
    "ir": Build.ir,
    "summary": Build.summary,
}


def _report(build: Build, files: dict[str, int], json: bool) -> None:
    params = totals(build.net.checked.main).params
    worst = max((c.difference for c in build.cases), default=None)
    if json:
        accepted = max((c.accepted for c in build.cases), default=None)
        measured = {"cases": len(build.cases), "largest_difference": worst, "accepted": accepted}
        verified = measured if build.cases else None
        written = [{"path": path, "bytes": size} for path, size in files.items()]
        print_json({"net": build.net.name, "params": params, "files": written, "verified": verified})
        return
    from netdsl.render.table import columns

    print(f"{build.net.name}, {plural(params, 'parameter')}")
    print(columns([(path, in_bytes(size), _remark(path, build)) for path, size in files.items()], "<><"))


def _remark(path: str, build: Build) -> str:
    if not path.endswith(".onnx"):
        return ""
    if not build.cases:
        return f"opset {build.args.opset}, not verified"
    worst = max(c.difference for c in build.cases)
    text = f"opset {build.args.opset}, verified in {plural(len(build.cases), 'case')}, largest difference {worst:.1e}"
    accepted = max(c.accepted for c in build.cases)
    rounding = any(c.widened for c in build.cases)
    return f"{text} ({accepted:.1e} accepted: PyTorch's own rounding is above the gate)" if rounding else text
