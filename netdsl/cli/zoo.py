"""List the specs of the installed zoo. Every command takes them by name, without a path: `netdsl summary
resnet:ResNet50`. With a name, list the nets of one spec with parameters and multiply-accumulates (MACs).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from netdsl.cli.failure import Failure
from netdsl.cli.target import open_spec
from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.loader import zoo
from netdsl.render.numbers import grouped, scaled
from netdsl.render.output import print_json
from netdsl.render.paint import paint_for
from netdsl.render.table import Cell, columns

EXAMPLES = """\
examples:
  netdsl zoo                   all specs, with the nets of each
  netdsl zoo resnet            the nets of one spec
  netdsl zoo --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a spec of the zoo")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    specs = zoo()
    if args.name is None:
        listed = [
            {"name": name, "file": path, "nets": list(open_spec(path).module.nets)} for name, path in specs.items()
        ]
        if args.json:
            print_json({"specs": listed})
        else:
            _print_specs(listed)
        return 0
    if args.name not in specs:
        raise Failure(f"the zoo has no spec `{args.name}`", did_you_mean(args.name, specs) or "`netdsl zoo` lists them")
    _nets(args.name, args.json)
    return 0


def _print_specs(listed: Sequence[Mapping[str, object]]) -> None:
    paint = paint_for(sys.stdout)
    rows = []
    for spec in listed:
        nets = spec["nets"]
        assert isinstance(nets, list)
        more = f" and {len(nets) - 6} more" if len(nets) > 6 else ""
        rows.append((Cell(str(spec["name"]), "bold"), Cell(", ".join(nets[:6]) + more, "dim")))
    print(columns(rows, "<<", paint))


def _nets(name: str, json: bool) -> None:
    from netdsl.summary import summarize

    spec = open_spec(name)
    found = [summarize(spec.net(net).checked, net) for net in spec.nets]
    if json:
        print_json({"name": name, "nets": [{"net": s.net, "params": s.params, "macs": _plain(s.macs)} for s in found]})
        return
    rows = [(Cell("net", "bold"), Cell("params", "bold"), Cell("MACs", "bold"), Cell("input", "bold"))]
    rows += [
        (Cell(s.net), Cell(grouped(s.params)), Cell(scaled(s.macs)), Cell(", ".join(str(p.type) for p in s.inputs)))
        for s in found
    ]
    print(columns(rows, "<>><", paint_for(sys.stdout)))


def _plain(macs: object) -> object:
    return macs if isinstance(macs, int) else str(macs)
