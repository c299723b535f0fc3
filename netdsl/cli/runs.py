"""List runs: their nets, states, results and the settings in which they differ.

Folders are searched at any depth (default: `runs`). Every setting of the recipe is a field by its path, such as
`optimizer.lr`; its last part alone is enough where no other field ends so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netdsl.cli.failure import Failure
from netdsl.render.output import csv_text, print_json
from netdsl.render.paint import paint_for

if TYPE_CHECKING:
    from netdsl.records.record import Record

EXAMPLES = """\
examples:
  netdsl runs                                          the runs in runs/
  netdsl runs --sort top1 --reverse                    the most accurate first
  netdsl runs sweeps/ --where 'top1>=98%' --columns seed,optimizer.lr
  netdsl runs --csv > runs.csv                         every field of every run
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", metavar="FOLDER", nargs="*", help="run directories, or folders that have them below")
    parser.add_argument("--sort", metavar="FIELD", help="sort by a field")
    parser.add_argument("--reverse", action="store_true", help="with --sort: the largest first")
    parser.add_argument(
        "--where", metavar="COND", action="append", default=[], help="only runs with FIELD=VALUE (!=, <, <=, >, >=)"
    )
    parser.add_argument("--columns", metavar="FIELDS", default="", help="also show these fields, separated by commas")
    parser.add_argument("--json", action="store_true", help="print JSON, with all fields")
    parser.add_argument("--csv", action="store_true", help="print CSV, with all fields")


def run(args: argparse.Namespace) -> int:
    from netdsl.records.record import found_in
    from netdsl.records.table import FieldError, ordered, selected, shown_fields

    folders = [Path(f) for f in args.folders] or [Path("runs")]
    missing = next((f for f in folders if not f.is_dir()), None)
    if missing is not None:
        raise Failure(f"there is no folder {missing}", "`netdsl train` makes runs in `runs`")
    records, refused = found_in(folders)
    for error in refused:
        print(f"left out: {error}", file=sys.stderr)
    more = [c for c in args.columns.replace(" ", "").split(",") if c]
    try:
        records = selected(records, args.where)
        records = ordered(records, args.sort, args.reverse) if args.sort else records
        columns = shown_fields(records, more)
    except FieldError as error:
        raise Failure(str(error), error.hint) from None
    _show(records, columns, args)
    return 0


def _show(records: list[Record], columns: list[str], args: argparse.Namespace) -> None:
    if args.json:
        print_json({"runs": [dict(r.fields) for r in records]})
    elif args.csv:
        print(csv_text([r.fields for r in records]), end="")
    elif records:
        from netdsl.records.table import table_text

        print(table_text(records, columns, paint_for(sys.stdout)))
    else:
        print("no runs")
