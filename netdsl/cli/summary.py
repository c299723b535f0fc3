"""What a net amounts to: a tree of its layers with output shapes, parameters and multiply-accumulates (MACs), then the
totals: state, activation memory, what must hold of its sizes, receptive field, residual links.

Equal neighbours are one row (`x 3`), whose numbers are those of all of them together: the columns add up. MACs are
those of convolutions, linears and matrix products for one sample at inference. The receptive field is that of the last
map before global pooling or flattening, along the vertical axis.
"""

from __future__ import annotations

import argparse
import sys

from netdsl.cli.target import add_target, open_net, summary_of
from netdsl.render.output import print_json

EXAMPLES = """\
examples:
  netdsl summary resnet.net                    the first net of the file
  netdsl summary resnet.net:ResNet50 --depth 1
  netdsl summary resnet.net:ResNet -p unit=Bottleneck -p depths=[3,4,6,3]
  netdsl summary unet.net --size H=256 --size W=256
  netdsl summary resnet.net --json | jq .params
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    parser.add_argument(
        "--depth",
        type=int,
        metavar="N",
        help="how deep the tree goes (as deep as 40 rows allow; all of it with --json)",
    )
    parser.add_argument(
        "--all", action="store_true", help="a row for every function, also activations and other rows that cost nothing"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an object for machines, sizes as integers")
    form.add_argument("--markdown", action="store_true", help="a document with a table")


def run(args: argparse.Namespace) -> int:
    from netdsl.render.paint import paint_for
    from netdsl.render.summary import as_markdown, render

    summary = summary_of(open_net(args), everything=args.all)
    if args.json:
        from netdsl.render.summary_data import as_data

        print_json(as_data(summary, args.depth))
    elif args.markdown:
        print(as_markdown(summary, args.depth))
    else:
        print(render(summary, args.depth, paint_for(sys.stdout)))
    return 0
