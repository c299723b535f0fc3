"""Report every mistake in specs: syntax, names, arguments, shapes, recipes, promises (`expect`). Nothing is run and
PyTorch is not loaded.

A folder stands for every *.net file in it, at any depth. Every net that needs no further arguments is checked; one
that does is checked with `SPEC:Net -p name=value`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from msgspec.structs import replace

from netdsl.checked import SHOWN, Checked, check_source
from netdsl.cli.failure import OK, USAGE, WRONG, Failure, Refused
from netdsl.cli.files import UNREADABLE, find_specs, read_spec
from netdsl.cli.target import add_target, given_arguments, given_sizes, open_spec, split_target
from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.loader import locate
from netdsl.render.numbers import plural

EXAMPLES = """\
examples:
  netdsl check resnet.net
  netdsl check specs                      every spec below a folder
  netdsl check resnet.net:ResNet -p unit=Basic -p depths=[1,1]
  netdsl check old.net --migrate          lines that meant something else in version 1 of the language
  netdsl check specs --json | jq '.files[].diagnostics[]'

exit codes: 0 no mistakes, 1 mistakes, 2 a file that cannot be read
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, nargs="+")
    parser.add_argument("--json", action="store_true", help="all diagnostics as one object")
    parser.add_argument("--migrate", action="store_true", help="list what meant something else in version 1")
    parser.add_argument("--fix", action="store_true", help="rewrite what --migrate lists as it was meant")


def run(args: argparse.Namespace) -> int:
    return _migrate(args) if args.migrate or args.fix else _report(args)


def _migrate(args: argparse.Namespace) -> int:
    from netdsl.cli.migrate import migrate

    return migrate(args.spec, args.fix)


def _report(args: argparse.Namespace) -> int:
    found = list(_all(args))
    if args.json:
        from netdsl.render.diagnostics import as_data
        from netdsl.render.output import print_json

        files = [
            {
                "file": c.file,
                "nets": c.nets,
                "recipes": c.recipes,
                "diagnostics": [*map(as_data, c.diagnostics[:SHOWN])],
                "more": c.more,
            }
            for c in found
        ]
        print_json({"ok": not any(c.errors for c in found), "errors": sum(c.errors for c in found), "files": files})
    else:
        _print(found)
    if any(d.code in UNREADABLE for c in found for d in c.diagnostics):
        return USAGE
    return WRONG if any(c.errors for c in found) else OK


def _all(args: argparse.Namespace) -> Iterator[Checked]:
    seen: set[tuple[str, str, int, str]] = set()
    for target in args.spec:
        path, net = split_target(target)
        for file in find_specs([path]):
            checked = _check(file, net, args)
            fresh = tuple(d for d in checked.diagnostics if _key(d) not in seen)
            seen.update(map(_key, fresh))
            yield replace(checked, diagnostics=fresh)


def _key(found: Diagnostic) -> tuple[str, str, int, str]:
    """What tells one mistake from another: a file that several others import is reported once."""
    at = found.at
    return found.code, os.path.normpath(at.source.name) if at else "", at.span.start if at else 0, found.message


def _check(file: str, net: str | None, args: argparse.Namespace) -> Checked:
    try:
        if net or args.arguments or args.sizes:
            return _check_one(file, net, args)
        checked = check_source(read_spec(locate(file)))
    except Refused as refused:
        return Checked(file, (), refused.diagnostics)
    except Failure as failure:
        return Checked(file, (), (diagnostic("unreadable", failure.message, hint=failure.hint),))
    if checked.empty:
        hint = "a spec declares blocks, nets and recipes: `net Name { input image [3, 224, 224] ... }`"
        return Checked(file, (), (diagnostic("empty-spec", f"{file} declares nothing", hint=hint),))
    return replace(checked, file=file)


def _check_one(file: str, net: str | None, args: argparse.Namespace) -> Checked:
    """Check one net or recipe of a file, with its arguments and sizes."""
    from netdsl.selection import select

    spec = open_spec(file)
    if net is not None and spec.module.is_recipe(net):
        found = select(spec, net, None, {}, given_arguments(args), given_sizes(args))
        return Checked(file, (found.net.name,) if found.net else (), found.diagnostics, (net,))
    one = spec.net(net, given_arguments(args), given_sizes(args))
    return Checked(file, (one.name,), one.diagnostics)


def _print(found: list[Checked]) -> None:
    from netdsl.render.diagnostics import render_all

    for checked in found:
        if checked.diagnostics:
            print(render_all(checked.diagnostics[:SHOWN], sys.stdout), end="\n\n")
        if checked.more:
            print(f"{checked.file}: {plural(checked.more, 'more diagnostic')}, not shown", end="\n\n")
    errors = sum(c.errors for c in found)
    nets, recipes = sum(len(c.nets) for c in found), sum(len(c.recipes) for c in found)
    counts = [plural(n, name) for n, name in ((nets, "net"), (recipes, "recipe")) if n] or [plural(0, "net")]
    what = found[0].file if len(found) == 1 else plural(len(found), "file")
    print(f"{what}: " + (plural(errors, "mistake") if errors else f"{', '.join(counts)}, no mistakes"))
