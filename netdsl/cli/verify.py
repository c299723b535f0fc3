"""Compare the outputs of onnxruntime and PyTorch. Each row is one comparison at one batch size and (where it is
symbolic) one image size, with onnxruntime's graph optimizations off or on, and shows the largest relative difference.

A net is compared twice: with random values for all weights, because initial values (zeros, ones) hide mistakes, and
with its own weights. An ONNX file written by netdsl contains its spec: its graph is compared with that net, and its
weights too if the .safetensors file is given or in the same folder. Of any other ONNX file, only the outputs with and
without optimizations are compared.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import OK, WRONG, Failure, Refused, unreadable
from netdsl.cli.files import read_weights
from netdsl.cli.numbers import real, seed, whole
from netdsl.cli.target import add_target, open_net
from netdsl.cli.unused import refuse_unused
from netdsl.diagnostics.diagnostic import UserError

if TYPE_CHECKING:
    from netdsl.pipeline import Net
    from netdsl.verify.compare import Case

EXAMPLES = """\
examples:
  netdsl verify resnet:ResNet18
  netdsl verify unet --opset 20 --target openvino
  netdsl verify out/model.onnx --weights out/model.safetensors
  netdsl verify out/model.onnx --against runs/best         names the first layer that computes something else

exit codes: 0 all comparisons are within the gate, 1 one is not (or the spec is wrong), 2 a file cannot be read
"""


def configure(parser: argparse.ArgumentParser) -> None:
    from netdsl.cli.compile import TARGETS

    add_target(parser, what="a spec (and a net of it), or an .onnx file")
    parser.add_argument("--weights", metavar="FILE", help="a .safetensors file (without one: fresh weights)")
    parser.add_argument(
        "--against",
        metavar="RUN",
        help="weights or a run: show the first layer of the .onnx file that computes something else",
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="the seed of fresh weights (0)")
    parser.add_argument("--opset", type=whole(17, 26), metavar="N", help="ONNX opset, 17 to 26 (18)")
    parser.add_argument("--target", choices=TARGETS, help="the runtime that the ONNX form is written for (onnxruntime)")
    parser.add_argument(
        "--gate", type=real(above=0), default=1e-5, metavar="X", help="the largest difference accepted (1e-5)"
    )
    parser.add_argument("--json", action="store_true", help="print all comparisons as JSON")


def run(args: argparse.Namespace) -> int:
    from netdsl.render.status import working

    if args.spec.endswith(".onnx"):
        refuse_unused(
            args, ("arguments", "sizes", "opset", "target"),
            "a file is verified as it is: {} cannot change it", "name the spec that it is of",
        )  # fmt: skip
    if args.against:
        return _compare(args)
    weights = read_weights(args.weights) if args.weights else None
    if args.spec.endswith(".onnx"):
        name, said = args.spec, _said(args.spec)
        net = _net_of(said, name)
        with working(f"verifying {name}"):
            cases = _file_cases(net, said, args, weights)
    else:
        net = open_net(args)
        name = net.name
        with working(f"verifying {name}"):
            cases = _net_cases(net, args, weights)
    _report(name, cases, args)
    return OK if all(c.ok for c in cases) else WRONG


def _net_cases(net: Net, args: argparse.Namespace, weights: dict[str, Any] | None) -> list[Case]:
    from functools import partial

    from netdsl.verify.compare import verify
    from netdsl.verify.live import live

    export = partial(net.onnx, opset=args.opset or 18, target=args.target or "onnxruntime")
    return verify(net.checked, live(net, args.seed, weights), export, gate=args.gate)


def _file_cases(
    net: Net | None, said: dict[str, str], args: argparse.Namespace, weights: dict[str, Any] | None
) -> list[Case]:
    from netdsl.verify.file import verify_file
    from netdsl.verify.origin import is_of, outdated_by

    if net is None:
        return verify_file(args.spec, gate=args.gate)
    from netdsl.verify.live import live

    try:
        module = live(net, args.seed, weights or _weights_beside(args.spec))
    except UserError as error:
        raise outdated_by(said, args.spec, net, error.message) or error from None
    trained = is_of(net, module, said)
    if args.weights and not trained:
        raise UserError("unfit-weights", f"{args.weights} does not hold the weights of {args.spec}")
    cases = verify_file(args.spec, net.checked, module, trained=trained, gate=args.gate)
    _refuse_older(cases, said, args.spec, net)
    return cases


def _weights_beside(path: str) -> dict[str, Any] | None:
    beside = os.path.join(os.path.dirname(path), "model.safetensors")
    return read_weights(beside) if os.path.exists(beside) else None


def _refuse_older(cases: list[Case], said: dict[str, str], path: str, net: Net) -> None:
    """Raise UserError for a file of an older version that does not compute what its spec says today."""
    from netdsl.verify.origin import outdated_by

    for failed in [c for c in cases if not c.ok][:1]:
        older = outdated_by(said, path, net, failed.error or f"they differ by {failed.difference:.1e}")
        if older is not None:
            raise older


def _compare(args: argparse.Namespace) -> int:
    """Say whether an ONNX file computes what weights of its net do, and where not."""
    from netdsl.backends.onnx.file import load
    from netdsl.verify.file import of_today
    from netdsl.verify.inputs import draw_inputs
    from netdsl.verify.locate import first_difference
    from netdsl.verify.sizes import choose

    if not args.spec.endswith(".onnx"):
        raise Failure("`--against` compares an .onnx file", "`netdsl verify model.onnx --against runs/best`")
    said = _said(args.spec)
    net = _net_of(said, args.spec)
    if net is None:
        message = f"{args.spec} does not hold the spec of its net"
        raise UserError("foreign-model", message, "netdsl writes the spec into each ONNX file that it makes")
    model = of_today(load(args.spec), net.checked)
    opset = next(o.version for o in model.opset_import if not o.domain)
    point = choose(net.checked)[0]
    inputs = draw_inputs(net.checked, point.batch, point.named, args.seed)
    feed = {v.name: x.numpy() for v, x in zip(net.checked.main.inputs, inputs, strict=True)}
    expected = net.onnx(_weights(net, args.against), opset=opset, target=said.get("target", "onnxruntime"))
    found = first_difference(model, expected, feed, args.gate)
    if found is None:
        print(f"{args.spec} computes what {args.against} does")
        return OK
    print(f"{args.spec} and {args.against} part at {found.node} ({found.op}): difference {found.difference:.1e}")
    return WRONG


def _weights(net: Net, path: str) -> dict[str, Any]:
    """The state of a net from a file or a run, by the rules of `netdsl weights`. Raises Failure."""
    from netdsl.cli.foreign import fresh, read_foreign
    from netdsl.weights.load import Rules, load
    from netdsl.weights.mapping import declared

    rules = Rules(hints=tuple(declared(net.spec.constant("weights"))))
    return dict(load(net.checked, read_foreign(path), lambda: fresh(net, 0), rules).state)


def _said(path: str) -> dict[str, str]:
    """The metadata of an ONNX file. Raises Failure."""
    from netdsl.backends.onnx.file import load, metadata

    try:
        return metadata(load(path))
    except OSError as error:
        raise unreadable(path, error) from None


def _net_of(said: dict[str, str], path: str) -> Net | None:
    """The net that an ONNX file says it was made from, or None. Raises UserError, and Refused for one with mistakes."""
    from netdsl.verify.origin import net_of, outdated_by

    net = net_of(said, path)
    if net is not None and net.program is None:
        raise outdated_by(said, path, net, "") or Refused(net.diagnostics)
    return net


def _report(name: str, cases: list[Case], args: argparse.Namespace) -> None:
    failed = sum(not c.ok for c in cases)
    if args.json:
        from netdsl.render.cases import cases_data
        from netdsl.render.output import print_json

        print_json({"name": name, "ok": not failed, "gate": args.gate, "cases": cases_data(cases)})
        return
    from netdsl.render.cases import render_cases, verdict
    from netdsl.render.paint import paint_for

    print(f"{name}: onnxruntime against PyTorch\n")
    print(render_cases(cases, paint_for(sys.stdout)))
    print(f"\n{verdict(cases, args.gate)}")
