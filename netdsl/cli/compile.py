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
from netdsl.cli.foreign import add_pretrained, add_rules, repository_of, state_from
from netdsl.cli.numbers import seed, whole
from netdsl.cli.precision import add_precision, lines, remark, wanted_of, write_smaller
from netdsl.cli.subject import Subject, subject_of
from netdsl.cli.target import add_recipe_options, add_target, live_module, summary_of
from netdsl.cli.unused import refuse_unused
from netdsl.render.numbers import in_bytes, plural
from netdsl.render.output import print_json

if TYPE_CHECKING:
    from torch import nn

    from netdsl.precision.shrink import Smaller, Wanted
    from netdsl.recipe.schema import Recipe
    from netdsl.verify.compare import Case
    from netdsl.weights.repository import Repository

EXAMPLES = """\
examples:
  netdsl compile resnet:ResNet50 -o out
  netdsl compile unet -o out --emit onnx --weights trained.safetensors
  netdsl compile resnet:ResNet50 -o out --pretrained timm/resnet50.a1_in1k
  netdsl compile unet -o out --size H=256 --size W=256 --opset 20
  netdsl compile resnet -o out --emit torch        writes model.py, without loading PyTorch
  netdsl compile runs/best --precision int8 -o out     model.int8.onnx, and what it loses on the run's test split
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
    add_target(parser, what="a spec (and a net of it), or a run directory")
    add_recipe_options(parser)
    parser.add_argument("-o", "--output", metavar="DIR", default="out", help="the folder to write to (out)")
    parser.add_argument("--emit", metavar="KINDS", default="torch,onnx", help="what to write (torch,onnx)")
    parser.add_argument("--opset", type=whole(17, 26), default=18, metavar="N", help="ONNX opset, 17 to 26 (18)")
    parser.add_argument(
        "--target", choices=TARGETS, default=TARGETS[0], help="the runtime that the ONNX file is written for"
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="write the ONNX file without comparing it with PyTorch"
    )
    parser.add_argument("--weights", metavar="FILE", help="weights, as `netdsl weights` reads them (else: fresh ones)")
    add_pretrained(parser)
    add_rules(parser)
    add_precision(parser)
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="the seed of fresh weights (0)")
    parser.add_argument("--json", action="store_true", help="print the written files as JSON")


def run(args: argparse.Namespace) -> int:
    kinds, wanted = _kinds(args.emit), wanted_of(args)
    if wanted is not None and "onnx" not in kinds:
        raise Failure("`--precision` makes an ONNX file", "`--emit onnx`")
    build = Build(subject_of(args), args, wanted)
    with folder(args.output) as temporary:
        for kind in kinds:
            EMITTERS[kind](build, temporary)
        sizes = {name: os.path.getsize(os.path.join(temporary, name)) for name in sorted(os.listdir(temporary))}
    _report(build, {os.path.join(args.output, name): size for name, size in sizes.items()}, args.json)
    return 0


def _kinds(emit: str) -> list[str]:
    """The kinds of files to write. Raises Failure for an unknown one."""
    kinds = [k.strip() for k in emit.split(",") if k.strip()]
    unknown = [k for k in kinds if k not in EMITTERS]
    if unknown or not kinds:
        what = f"cannot emit `{unknown[0]}`" if unknown else "nothing to emit"
        raise Failure(what, f"--emit takes {', '.join(EMITTERS)}, with commas between")
    return kinds


class Build:
    """One net on its way to files. `weights` are arrays by state-dict key, None for fresh ones and those of a run."""

    def __init__(self, subject: Subject, args: argparse.Namespace, wanted: Wanted | None) -> None:
        self.subject, self.net, self.init = subject, subject.net, subject.init
        self.args, self.wanted = args, wanted
        self.cases: list[Case] = []
        self.smaller: Smaller | None = None
        self.prepared: Recipe
        self.repository = repository_of(args, args.weights)
        if not args.weights and self.repository is None:
            refuse_unused(
                args, ("map", "inside", "exclude", "partial", "channels"),
                "{} says how given weights are read, and none are", "`--weights FILE`, or `--pretrained NAME`",
            )  # fmt: skip
        if self.repository is not None:
            self._prepare(self.repository)
        path = args.weights if self.repository is None else str(self.repository.folder)
        self.weights = state_from(self.net, path, args) if path else None

    def _prepare(self, repository: Repository) -> None:
        """Let the net standardise its images as the weights are used to."""
        from netdsl.elaborate.builder import Options
        from netdsl.planning.preparation import as_it_saw

        self.prepared, standard = as_it_saw(repository.images, self.net.checked)
        if standard is not None:
            self.net = self.net.spec.net(self.net.name, self.net.arguments, self.net.sizes, Options(standard=standard))

    @cached_property
    def module(self) -> nn.Module:
        """The live module with its weights."""
        if self.subject.run is not None and self.subject.run.module is not None:
            return self.subject.run.module
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
        if self.wanted is not None:
            from netdsl.cli.training import guarded

            with guarded():
                self.smaller = write_smaller(self.subject, self.wanted, self.args, self.export, folder)
        else:
            self.export(os.path.join(folder, "model.onnx"))

    def export(self, path: str) -> None:
        """Write the ONNX file in float, verified unless that is not wanted. Raises Refused."""
        from netdsl.render.status import working

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

        args, notes = self.args, self._notes()
        options = {"opset": args.opset, "target": args.target, "verified": not args.no_verify}
        return export_onnx(self.net, path, weights, metadata=notes, **options)

    def _notes(self) -> dict[str, Any]:
        """The metadata on data that the ONNX file of a run has."""
        run = self.subject.run
        if self.repository is not None:
            return self._repository_notes(self.repository)
        if run is None:
            return {}
        from netdsl.training.export import notes

        standardized = self.net.options.standard is not None
        return notes(run.recipe, run.task, run.classes, run.columns, standardized)

    def _repository_notes(self, repository: Repository) -> dict[str, Any]:
        """Where the weights are from, how images are prepared for them, and what classes are called."""
        from netdsl.inference.trained import preprocessing_of

        found: dict[str, Any] = {"pretrained": [repository.notes]}
        found["preprocessing"] = preprocessing_of(self.prepared, self.net.options.standard is not None)
        shape = next(o for o in self.net.checked.main.outputs if not o.training).value.type.shape
        named = shape == (len(repository.classes),)
        return found | ({"class_names": [*repository.classes]} if named else {})

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
        found = {"net": build.net.name, "params": params, "files": written, "verified": verified}
        print_json(found | ({"precision": build.smaller.record} if build.smaller is not None else {}))
        return
    from netdsl.render.table import columns

    print(f"{build.net.name}, {plural(params, 'parameter')}")
    print(columns([(path, in_bytes(size), _remark(path, build)) for path, size in files.items()], "<><"))
    for line in lines(build.smaller) if build.smaller is not None else ():
        print(line)


def _remark(path: str, build: Build) -> str:
    if not path.endswith(".onnx"):
        return ""
    if build.smaller is not None:
        return remark(build.smaller)
    if not build.cases:
        return f"opset {build.args.opset}, not verified"
    worst = max(c.difference for c in build.cases)
    text = f"opset {build.args.opset}, verified in {plural(len(build.cases), 'case')}, largest difference {worst:.1e}"
    accepted = max(c.accepted for c in build.cases)
    rounding = any(c.widened for c in build.cases)
    return f"{text} ({accepted:.1e} accepted: PyTorch's own rounding is above the gate)" if rounding else text
