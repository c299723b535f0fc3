"""Write a net as PyTorch source (model.py, which imports nothing but torch) and as an ONNX file (model.onnx).

The ONNX file is verified before it is written: the outputs of onnxruntime are compared with those of PyTorch at
several batch and image sizes, with the given weights and with random ones. If a comparison fails, or the disk is
full, the folder is left unchanged.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from msgspec.structs import replace

from netdsl.analysis.count import totals
from netdsl.cli.failure import Failure, Refused
from netdsl.cli.files import folder
from netdsl.cli.foreign import add_pretrained, add_rules, repository_of, state_from
from netdsl.cli.numbers import seed, whole
from netdsl.cli.precision import add_precision, lines, remark, wanted_of
from netdsl.cli.subject import subject_of
from netdsl.cli.target import add_recipe_options, add_target
from netdsl.cli.unused import refuse_unused
from netdsl.publish.artifacts import Artifacts, Options, Subject, Weights, prepared_for
from netdsl.render.numbers import in_bytes, plural
from netdsl.render.output import print_json

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
    kinds = _kinds(args.emit)
    if args.precision is not None and "onnx" not in kinds:
        raise Failure("`--precision` makes an ONNX file", "`--emit onnx`")
    build = _artifacts(args)
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


def _artifacts(args: argparse.Namespace) -> Artifacts:
    """The files that a command asks for, to be written. Raises Failure and Refused."""
    subject, wanted = subject_of(args), wanted_of(args)
    if wanted is not None and wanted.kind == "int8" and subject.recipe is None and args.calibrate is None:
        raise Failure("int8 needs samples to calibrate on", "`--calibrate DATA`, or the directory of a run")
    subject, weights = _weights(subject, args)
    options = Options(args.opset, args.target, not args.no_verify, args.seed, wanted, args.calibrate, args.samples)
    return Artifacts(subject, options, weights)


def _weights(subject: Subject, args: argparse.Namespace) -> tuple[Subject, Weights | None]:
    """The given weights, if any, and the net as it is prepared for them."""
    repository = repository_of(args, args.weights)
    if repository is not None:
        net, preparation = prepared_for(subject.net, repository)
        state = state_from(net, str(repository.folder), args)
        return replace(subject, net=net), Weights(state, repository, preparation)
    if args.weights:
        return subject, Weights(state_from(subject.net, args.weights, args))
    refuse_unused(
        args, ("map", "inside", "exclude", "partial", "channels"),
        "{} says how given weights are read, and none are", "`--weights FILE`, or `--pretrained NAME`",
    )  # fmt: skip
    return subject, None


def _onnx(artifacts: Artifacts, folder: str) -> None:
    """Write the ONNX file. Raises Refused with the cases where it failed its verification."""
    if artifacts.options.wanted is None:
        _verified(artifacts, folder)
        return
    from netdsl.cli.training import guarded

    with guarded():  # a smaller file is measured on data
        _verified(artifacts, folder)


def _verified(artifacts: Artifacts, folder: str) -> None:
    if not artifacts.options.verified:
        artifacts.onnx(folder)
        return
    from netdsl.verify.compare import VerificationError

    try:
        artifacts.onnx(folder)
    except VerificationError as error:
        from netdsl.render.cases import render_cases

        print(render_cases(error.cases))
        raise Refused((error.diagnostic,)) from None


EMITTERS: dict[str, Callable[[Artifacts, str], None]] = {
    "torch": Artifacts.torch,
    "onnx": _onnx,
    "weights": Artifacts.tensors,
    "ir": Artifacts.ir,
    "summary": Artifacts.summary,
}


def _report(build: Artifacts, files: dict[str, int], json: bool) -> None:
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


def _remark(path: str, build: Artifacts) -> str:
    if not path.endswith(".onnx"):
        return ""
    if build.smaller is not None:
        return remark(build.smaller)
    if not build.cases:
        return f"opset {build.options.opset}, not verified"
    worst = max(c.difference for c in build.cases)
    text = (
        f"opset {build.options.opset}, verified in {plural(len(build.cases), 'case')}, largest difference {worst:.1e}"
    )
    accepted = max(c.accepted for c in build.cases)
    rounding = any(c.widened for c in build.cases)
    return f"{text} ({accepted:.1e} accepted: PyTorch's own rounding is above the gate)" if rounding else text
