"""Weights from elsewhere, for the commands that take them: their options, and the state of a net."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netdsl.cli.failure import Failure

if TYPE_CHECKING:
    from netdsl.pipeline import Net
    from netdsl.weights.load import Loaded, Rules
    from netdsl.weights.read import Foreign
    from netdsl.weights.repository import Repository

CHANNELS = ("sum", "mean", "repeat")


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how weights are taken over."""
    parser.add_argument("--map", metavar="FILE", help="a mapping of keys, as `--stub` of `netdsl weights` writes it")
    parser.add_argument("--inside", metavar="KEY", help="the key or prefix of the file under which the weights are")
    parser.add_argument(
        "--exclude",
        metavar="PREFIX",
        action="append",
        default=[],
        help="leave out all tensors below a prefix, of the net or of the file",
    )
    parser.add_argument(
        "--partial", action="store_true", help="initialize missing tensors, and a head with another number of classes"
    )
    parser.add_argument(
        "--channels",
        choices=CHANNELS,
        help="how the first convolution is converted to another number of channels (sum)",
    )


def add_pretrained(parser: argparse.ArgumentParser) -> None:
    """Add the options that name weights."""
    hub = "a repository of the Hugging Face Hub in place of --weights, or a folder with the same files"
    parser.add_argument("--pretrained", metavar="NAME", help=hub)
    parser.add_argument("--revision", metavar="REV", help="a commit or tag of it (main)")


def repository_of(args: argparse.Namespace, other: str | None) -> Repository | None:
    """The repository that is named; a licence that forbids commercial use is said. `other`: a file of weights that is
    named as well. Raises Failure, and WeightsError."""
    if args.pretrained is None:
        if args.revision is not None:
            raise Failure("`--revision` is a commit or tag of a repository", "name one with `--pretrained`")
        return None
    if other:
        raise Failure(f"{other} and `--pretrained` are two sources of weights", "name one of them")
    from netdsl.weights.hub import find

    found = find(args.pretrained, args.revision)
    for line in found.warnings:
        print(line, file=sys.stderr)
    return found


def rules_of(args: argparse.Namespace, net: Net) -> Rules:
    """The rules that a command was given; the spec's constant `weights` is a mapping too. Raises WeightsError."""
    from netdsl.weights.load import Rules
    from netdsl.weights.mapping import declared, read_mapping

    given = read_mapping(args.map) if args.map else []
    hints = declared(net.spec.constant("weights"))
    keep = bool(getattr(args, "keep_dtype", False))
    return Rules(
        tuple(given), tuple(hints), tuple(args.exclude), args.partial, channels=args.channels or "sum", keep_dtype=keep
    )


def read_foreign(path: str, inside: str | None = None) -> Foreign:
    """The tensors of a file. Raises WeightsError."""
    from netdsl.weights.read import read_file

    return read_file(path, inside)


def load_foreign(net: Net, path: str, args: argparse.Namespace) -> Loaded:
    """A net's weights from a file, whatever wrote it. Raises WeightsError."""
    from netdsl.weights.load import load

    foreign = read_foreign(path, args.inside)
    return load(net.checked, foreign, lambda: fresh(net, args.seed), rules_of(args, net))


def state_from(net: Net, path: str, args: argparse.Namespace) -> dict[str, Any]:
    """The state of a net from a file; what differs is said on the error stream. Raises WeightsError."""
    loaded = load_foreign(net, path, args)
    for note in loaded.notes:
        print(f"{path}: {note}", file=sys.stderr)
    return dict(loaded.state)


def fresh(net: Net, seed: int) -> Mapping[str, Any]:
    """The tensors that a net starts with."""
    return {k: v.detach().numpy() for k, v in net.module(seed).state_dict().items()}
