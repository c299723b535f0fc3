"""Compare runs: results beside each other, the settings in which they differ, and their curves in one page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from netdsl.cli.failure import Failure
from netdsl.cli.files import check_ending, write
from netdsl.render.output import print_json
from netdsl.render.paint import paint_for

EXAMPLES = """\
examples:
  netdsl compare runs/LeNet5-1 runs/LeNet5-2
  netdsl compare runs/LeNet5-* -o curves.html          a page with the curves
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", metavar="RUN", nargs="+", help="run directories, or folders that have them below")
    parser.add_argument("-o", "--output", metavar="FILE.html", help="write a page with results, settings and curves")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from netdsl.records.compare import comparison_data, comparison_text
    from netdsl.records.page import comparison_page
    from netdsl.records.record import found_in

    check_ending(args.output, ".html", ".htm")
    for folder in map(Path, args.folders):
        if not folder.is_dir():
            raise Failure(f"there is no folder {folder}")
    records, refused = found_in([Path(f) for f in args.folders])
    if refused:
        raise refused[0]
    if len(records) < 2:
        raise Failure(f"a comparison needs two runs, found {len(records)}", "`netdsl runs` lists them")
    if args.output:
        write(args.output, comparison_page(records))
    if args.json:
        print_json(comparison_data(records))
    else:
        print(comparison_text(records, paint_for(sys.stdout)))
    return 0
