"""Run the language server: diagnostics, shapes, parameters, completion and fixes in an editor.

It communicates over standard input and output, or over TCP. docs/editor.md describes the setup of editors.
"""

from __future__ import annotations

import argparse

from netdsl.cli.numbers import whole

EXAMPLES = """\
examples:
  netdsl lsp                   started by an editor, over standard input and output
  netdsl lsp --tcp 7777        waits for one editor on this machine
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tcp", type=whole(1, 65535), metavar="PORT", help="listen on this port of this machine")


def run(args: argparse.Namespace) -> int:
    from netdsl.lsp.serve import serve

    serve(args.tcp)
    return 0
