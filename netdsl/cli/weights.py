"""Map a foreign state dict (torchvision's, timm's) onto a net, and write it as safetensors with the net's own keys.

Tensors are matched by order within the same kind and shape, a pointwise convolution counting as a linear; by name
where the spec has a constant `weights`, pairs of a foreign and an own prefix: `weights = [("conv1", "stem.0.conv")]`.
What cannot be told apart is refused, not guessed.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import WRONG, Failure
from netdsl.cli.files import read_weights, write
from netdsl.cli.target import add_target, open_net
from netdsl.render.numbers import plural
from netdsl.render.output import print_json
from netdsl.weights.match import Match, Matching, Slot, match, slots

if TYPE_CHECKING:
    from netdsl.pipeline import Net

EXAMPLES = """\
examples:
  netdsl weights resnet.net:ResNet50 resnet50-11ad3fa6.pth -o resnet50.safetensors
  netdsl compile resnet.net:ResNet50 -o out --weights resnet50.safetensors
  netdsl weights convnext.net convnext_tiny.pth --list       every tensor and where it went

exit codes: 0 every tensor of the net was found, 1 some were not or could not be told apart, 2 a file cannot be read
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    parser.add_argument("file", metavar="FILE", help="a state dict: .pth, .pt or .safetensors")
    parser.add_argument("-o", "--output", metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--list", action="store_true", help="list every tensor that was matched")
    parser.add_argument("--json", action="store_true", help="say what was matched as an object")


def run(args: argparse.Namespace) -> int:
    net = open_net(args)
    foreign = read_foreign(args.file)
    found = match(slots(net.checked.main), [Slot(k, tuple(v.shape)) for k, v in foreign.items()], _mapping(net))
    if args.json:
        print_json(_object(found))
    else:
        _print(found, args.list)
    if not found.complete:
        return WRONG
    if args.output:
        size = write(args.output, _packed(found, foreign))
        print(f"{args.output}: {plural(len(found.matches), 'tensor')}, {size:,} bytes")
    return 0


def read_foreign(path: str) -> dict[str, Any]:
    """The tensors of a foreign file as arrays, in its order. Raises Failure."""
    if path.endswith(".safetensors"):
        return read_weights(path)
    from netdsl.weights.read import read_state

    try:
        with open(path, "rb") as file:
            return read_state(file.read())
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Failure(f"cannot use {path}: {error}") from None


def _mapping(net: Net) -> list[tuple[str, str]]:
    """The spec's constant `weights`: pairs of a foreign and an own prefix. Raises Failure for anything else."""
    given = net.spec.constant("weights")
    pairs = [] if given is None else given
    fits = isinstance(pairs, tuple | list) and all(
        isinstance(p, tuple) and len(p) == 2 and all(isinstance(s, str) for s in p) for p in pairs
    )
    if not fits:
        raise Failure(
            "`weights` must be a list of pairs of texts", 'as in `weights = [("conv1", "stem.0.conv")]`', WRONG
        )
    return list(pairs)


def _packed(found: Matching, foreign: dict[str, Any]) -> bytes:
    from safetensors.numpy import save

    return bytes(save({m.own.key: foreign[m.foreign.key].reshape(m.own.shape).copy() for m in found.matches}))


def _print(found: Matching, everything: bool) -> None:
    reshaped = [m for m in found.matches if m.reshaped]
    for m in found.matches if everything else reshaped:
        print(f"  {m.own.key}  <-  {m.foreign.key}{_shapes(m)}")
    for title, items in (("missing", found.missing), ("left over", found.left_over)):
        for slot in items:
            print(f"  {title}: {slot.key} {[*slot.shape]}")
    for reason in found.ambiguous:
        print(f"  ambiguous: {reason}")
    counts = [
        f"{len(found.matches)} matched ({len(reshaped)} reshaped)",
        f"{len(found.missing)} missing",
        f"{len(found.left_over)} left over",
    ]
    print(", ".join(counts) + (": refused, the match is ambiguous" if found.ambiguous else ""))


def _shapes(m: Match) -> str:
    return f"  {[*m.foreign.shape]} as {[*m.own.shape]}" if m.reshaped else ""


def _object(found: Matching) -> dict[str, Any]:
    return {
        "matched": [{"key": m.own.key, "from": m.foreign.key, "reshaped": m.reshaped} for m in found.matches],
        "missing": [s.key for s in found.missing],
        "left_over": [s.key for s in found.left_over],
        "ambiguous": list(found.ambiguous),
    }
