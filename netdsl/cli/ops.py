"""Show the reference of all layers and functions: arguments, what they compute, and examples with output shapes."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from netdsl.cli.failure import Failure

EXAMPLES = """\
examples:
  netdsl ops               a line for each
  netdsl ops conv          arguments, defaults and examples of one
  netdsl ops conv --json
"""


WORDS = {
    "taps": 'c3, c4 = taps(NET, "label", ...)    values from inside a net: docs/language.md, "Parts and taps"',
    "residual": 'residual(shortcut=..., scale=...) { ... }    it + branch: docs/language.md, "Residual links"',
    "share": 'share f = ARROW    one set of weights for every use of f: docs/language.md, "Bodies"',
    "repeat": 'repeat n { ... }    unrolled when the net is compiled: docs/language.md, "Bodies"',
    "input": 'input image [3, H, W]    an input of a net, without the batch: docs/language.md, "Bodies"',
    "output": 'output logits = ARROW    a named output: docs/language.md, "Bodies"',
    "it": 'it    the value that flows in: docs/language.md, "Bodies"',
    "require": 'require c % groups == 0, "message"    a check of a block: docs/language.md, "Bodies"',
}
"""Words that stand where layers do, and are none."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a layer or function, such as conv")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from netdsl.ops import REGISTRY
    from netdsl.render.output import print_json
    from netdsl.render.paint import paint_for
    from netdsl.render.reference import page, pages, render_index, render_page

    if args.name is None:
        if args.json:
            print_json([_data(p) for p in pages()])
        else:
            print(render_index(pages(), paint_for(sys.stdout)))
        return 0
    if args.name in WORDS:
        raise Failure(f"`{args.name}` is a word of the language, not a layer", WORDS[args.name])
    if args.name not in REGISTRY:
        from netdsl.diagnostics.diagnostic import did_you_mean

        hint = did_you_mean(args.name, REGISTRY) or "`netdsl ops` lists them all"
        raise Failure(f"there is no layer or function `{args.name}`", hint)
    found = page(args.name)
    if args.json:
        print_json(_data(found))
    else:
        print(render_page(found, paint_for(sys.stdout)))
    return 0


def _data(page: Any) -> dict[str, Any]:
    import msgspec

    data: dict[str, Any] = msgspec.to_builtins(page)
    examples = [{"text": text, "inputs": given, "outputs": got} for text, given, got in page.examples]
    return data | {"signature": page.signature, "examples": examples}
