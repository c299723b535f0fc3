"""Show the layers of a net as a tree with output shapes, parameters and multiply-accumulates (MACs), and its totals:
size of the state dict, activation memory, constraints on sizes, receptive field and residual links.

Equal layers in a row are shown as one row (`x 3`) with their sum, so each column adds up to its total. MACs are those
of convolutions, linear layers and matrix products, for one sample at inference. The receptive field is that of the
last feature map before global pooling or flattening, along the vertical axis.
"""

from __future__ import annotations

import argparse
import sys

from netdsl.cli.numbers import whole
from netdsl.cli.target import add_target, open_net, summary_of
from netdsl.render.output import print_json

EXAMPLES = """\
examples:
  netdsl summary resnet                    the first net of the file
  netdsl summary resnet:ResNet50 --depth 1
  netdsl summary resnet:ResNet -p unit=Bottleneck -p depths=[3,4,6,3]
  netdsl summary unet --size H=256 --size W=256
  netdsl summary resnet --json | jq .params
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    parser.add_argument(
        "--depth",
        type=whole(1),
        metavar="N",
        help="levels of the tree to show (as many as fit into 40 rows; all with --json)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="show every function, also activations and others without parameters and MACs",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a table in Markdown")


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
