"""The target of a command: `SPEC[:Net]`, with arguments for the net (`-p`) and sizes for its inputs (`--size`)."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from netdsl.cli.failure import Failure, Refused
from netdsl.cli.files import read_spec

if TYPE_CHECKING:
    from netdsl.elaborate.given import Expression
    from netdsl.pipeline import Net, Spec
    from netdsl.summary import Summary


WHAT = "a spec, and after a colon one of its nets; without one, the first that needs no arguments"


def add_target(parser: argparse.ArgumentParser, nargs: str | None = None, what: str = WHAT) -> None:
    """Add `SPEC[:Net]`, `-p` and `--size` to a command."""
    if nargs:
        parser.add_argument("spec", metavar="SPEC[:Net]", nargs=nargs, help=what)
    else:
        parser.add_argument("spec", metavar="SPEC[:Net]", help=what)
    add_bindings(parser)


def add_bindings(parser: argparse.ArgumentParser) -> None:
    """Add `-p` and `--size` to a command."""
    parser.add_argument(
        "-p",
        dest="arguments",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="give the net an argument: `-p classes=10`, `-p depths=[2,2,2,2]`, `-p unit=Basic`",
    )
    parser.add_argument(
        "--size",
        dest="sizes",
        metavar="NAME=N",
        action="append",
        default=[],
        help="fix a named size of its inputs: `--size H=224`",
    )


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add `--recipe` and `--set` to a command."""
    parser.add_argument(
        "--recipe", metavar="NAME", help="a recipe of the spec, or `SPEC:NAME` of another spec; `none`: defaults"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change a field of the recipe",
    )


def split_target(text: str) -> tuple[str, str | None]:
    """The file and the net of `SPEC[:Net]`. Raises Failure where no net can be called so."""
    from netdsl.loader import referred

    path, net = referred(text)
    if net is not None and not net.isidentifier():
        raise Failure(f"`{net}` in `{text}` is not the name of a net", "write `SPEC:Net`, as in resnet:ResNet50")
    return path, net


def given_arguments(args: argparse.Namespace) -> dict[str, Expression]:
    """The `-p` of a command, by name, as expressions of the language."""
    from netdsl.elaborate.given import Expression

    return {name: Expression(value) for name, value in map(_pair, args.arguments)}


def given_sizes(args: argparse.Namespace) -> dict[str, int]:
    """The `--size` of a command, by name."""
    sizes = {}
    for name, value in map(_pair, args.sizes):
        if not value.isdecimal() or int(value) < 1:
            raise Failure(f"`--size {name}={value}`: a size is a whole number of at least 1")
        sizes[name] = int(value)
    return sizes


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier() or not value.strip():
        raise Failure(f"`{text}` should be NAME=VALUE", "for example `-p classes=10` or `--size H=224`")
    return name.strip(), value.strip()


def open_spec(path: str) -> Spec:
    """The spec in a file. Raises Failure where it cannot be read."""
    from netdsl.loader import locate, read_import
    from netdsl.pipeline import Spec

    return Spec(read_spec(locate(path)), read_import)


def open_net(args: argparse.Namespace) -> Net:
    """The net a command works on, elaborated. Raises Refused with its mistakes; warnings are printed."""
    path, name = split_target(args.spec)
    net = open_spec(path).net(name, given_arguments(args), given_sizes(args))
    if net.program is None:
        raise Refused(net.diagnostics)
    if net.diagnostics:
        from netdsl.render.diagnostics import render_all

        print(render_all(net.diagnostics, sys.stderr), file=sys.stderr)
    return net


def summary_of(net: Net, everything: bool = False) -> Summary:
    """The summary of an elaborated net. Raises Refused for one that is too long."""
    from netdsl.diagnostics.diagnostic import Fault
    from netdsl.summary import summarize

    try:
        return summarize(net.checked, net.name, everything)
    except Fault as mistake:
        raise Refused((mistake.diagnostic,)) from None
