"""Write an ONNX model, or a PyTorch program, as a spec that can be read, changed and trained, with its weights.

The graph is read as layers of the language: sizes that it computes become sizes again, what exporters take apart is
put together. The spec is then compiled, filled with the weights of the file, and both run in onnxruntime at several
sizes; nothing is written unless they compute the same. What has no form in the language is refused, with the node.
A net of the installed zoo becomes an import of it.
A .pt2 file is read by torch, whose loader may run code that the file holds: open only files that you trust.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import OK, Failure, unreadable
from netdsl.cli.files import check_apart, check_ending, write

if TYPE_CHECKING:
    from netdsl.lift.lift import Lift

EXAMPLES = """\
examples:
  netdsl lift model.onnx                                   print the spec
  netdsl lift model.onnx -o model.net --weights model.safetensors
  netdsl lift model.onnx -o model.net --name Detector
  netdsl lift resnet50.onnx --no-library                   layer by layer, though it is a net of the zoo
  netdsl lift model.pt2 -o model.net                       a PyTorch program (this loads torch)

exit codes: 0 lifted and proven, 1 the model has no form in the language, 2 a file cannot be read or written
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="an .onnx file, or a .pt2 file that torch.export.save wrote (may run its code)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the spec to write (without it: printed)")
    parser.add_argument("--weights", metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--name", default="Net", metavar="NAME", help="what the net is called (Net)")
    parser.add_argument("--no-library", action="store_true", help="write the layers of a net of the zoo out")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def run(args: argparse.Namespace) -> int:
    from netdsl.lift.names import is_name
    from netdsl.ops import REGISTRY
    from netdsl.render.status import working

    if not is_name(args.name) or args.name in REGISTRY:
        raise Failure(
            f"`{args.name}` is no name of a net", "letters, digits and `_`, no word of the language and no op"
        )
    check_ending(args.output, ".net")
    check_ending(args.weights, ".safetensors")
    check_apart(args.model, args.output, args.weights)
    with working(f"lifting {args.model}"):
        found = _lifted(args)
    if args.weights:
        from safetensors.numpy import save

        write(args.weights, bytes(save(dict(found.state))))
    if args.output:
        write(args.output, found.text)
    if args.json:
        from netdsl.render.output import print_json

        print_json(_object(found))
    elif not args.output:
        print(found.text, end="")
    _report(found, args)
    return OK


def _lifted(args: argparse.Namespace) -> Lift:
    from netdsl.lift.lift import PLACE, lift

    try:
        return lift(args.model, args.name, not args.no_library, args.output or PLACE)
    except OSError as error:
        raise unreadable(args.model, error) from None


def _report(found: Lift, args: argparse.Namespace) -> None:
    """Report what was lifted, on the error stream, so that the spec alone is printed."""
    lines = len(found.text.splitlines())
    worst = max(c.difference for c in found.proof)
    places = [p for p in (args.output, args.weights) if p]
    written = f" -> {', '.join(places)}" if places else ""
    said = f"{args.model}: {found.nodes} nodes, {lines} lines{written}; equal in onnxruntime in {len(found.proof)} runs"
    print(f"{said} (largest difference {worst:.1e})", file=sys.stderr)
    if found.zoo:
        file, _, net = found.zoo.partition(":")
        print(f"this net is {net} of the zoo's {file}; --no-library writes its layers out", file=sys.stderr)


def _object(found: Lift) -> dict[str, Any]:
    return {
        "spec": found.text,
        "zoo": found.zoo or None,
        "nodes": found.nodes,
        "lines": len(found.text.splitlines()),
        "tensors": len(found.state),
        "proof": [
            {"batch": c.at.batch, "sizes": c.at.named, "difference": c.difference, "accepted": c.accepted}
            for c in found.proof
        ],
    }
