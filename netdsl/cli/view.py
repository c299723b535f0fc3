"""Draw a net: blocks as boxes with the shapes between them, residual links beside them, equal blocks in a row as one
box.

The page (`.html`) is a single file that works offline: a box shows its parameters, its MACs and its source, and opens
to show the layers inside. The image (`.svg`, or `.tex` for TikZ) is for papers and documentation; `.pdf` and `.png`
need rsvg-convert, inkscape or chromium on this machine.
"""

from __future__ import annotations

import argparse
import os

from netdsl.cli.failure import Failure
from netdsl.cli.files import check_ending, write
from netdsl.cli.numbers import whole
from netdsl.cli.target import add_target, open_net
from netdsl.cli.unused import refuse_unused

EXAMPLES = """\
examples:
  netdsl view resnet                             writes resnet.html, the first net of the file
  netdsl view resnet:ResNet50 -o resnet50.svg
  netdsl view vit:ViT_B16 -o vit.svg --depth 3
  netdsl view unet --size H=256 --size W=256
  netdsl view resnet:ResNet50 --diff resnet:ResNet101 -o diff.html
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the file to write: `.html`, `.svg`, `.pdf`, `.png`, or `.tex` for TikZ "
        "(the name of the net with .html; `-` prints SVG)",
    )
    parser.add_argument(
        "--depth", type=whole(1), metavar="N", help="levels of blocks to open (as many as stay readable)"
    )
    parser.add_argument(
        "--diff", metavar="OTHER[:Net]", help="a page with both nets side by side and their differences"
    )


def run(args: argparse.Namespace) -> int:
    from netdsl.view import image, page, tex

    if args.diff:
        return _compare(args)
    forms = {".html": page, ".svg": image, ".pdf": image, ".png": image, ".tex": tex}
    form = ".svg" if args.output == "-" else check_ending(args.output, *forms)
    net = open_net(args)
    text: str | bytes = forms[form](net.checked, net.name, args.depth)
    if form in (".pdf", ".png"):
        text = _converted(str(text), args.output)
    if args.output == "-":
        print(text, end="")
        return 0
    path = args.output or f"{net.name}.html"
    write(path, text)
    print(path)
    return 0


def _converted(svg: str, path: str) -> bytes:
    """A drawing as PDF or PNG. Raises Failure where nothing here can make one."""
    from netdsl.view.convert import ConversionError, converted

    stem, form = os.path.splitext(path)
    try:
        return converted(svg, form.lower())
    except ConversionError as reason:
        hint = f"write {stem}.svg (any program that reads SVG converts it) or {stem}.tex (pdflatex makes a PDF of it)"
        raise Failure(f"cannot write {path}: {reason}", hint) from None


def _compare(args: argparse.Namespace) -> int:
    """The page of `netdsl diff`."""
    from netdsl.cli.diff import compared, side_of
    from netdsl.diff.specs import as_page

    refuse_unused(args, ("depth",), "{} is for a drawing: the page of a comparison opens what differs", "leave it out")
    path = args.output or "diff.html"
    check_ending(path, ".html")
    write(path, as_page(compared(side_of(args.spec), side_of(args.diff), args)))
    print(path)
    return 0
