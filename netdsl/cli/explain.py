"""Explain an error code, with a wrong and a right spec. Without a code, list all codes."""

from __future__ import annotations

import argparse
import sys

from netdsl.cli.failure import OK, Failure

EXAMPLES = """\
examples:
  netdsl explain                   a line for each code
  netdsl explain shape-mismatch
  netdsl explain indivisible --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE", nargs="?", help="a code, as `check` prints it: error[CODE]")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from msgspec import to_builtins

    from netdsl.diagnostics.codes import TABLE
    from netdsl.render.errors import explained, listed
    from netdsl.render.output import print_json
    from netdsl.render.paint import paint_for

    if args.code is None:
        if args.json:
            print_json([to_builtins(code) for code in TABLE.values()])
        else:
            print(listed(paint_for(sys.stdout)))
        return OK
    if args.code not in TABLE:
        from netdsl.diagnostics.diagnostic import did_you_mean

        hint = did_you_mean(args.code, TABLE) or "`netdsl explain` lists them all"
        raise Failure(f"there is no code `{args.code}`", hint)
    if args.json:
        print_json(to_builtins(TABLE[args.code]))
    else:
        print(explained(TABLE[args.code], paint_for(sys.stdout)), end="")
    return OK
