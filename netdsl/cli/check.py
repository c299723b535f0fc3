"""Find mistakes in specs: syntax, names, arguments, shapes, recipes and expectations (`expect`). Nothing is run, and
PyTorch is not imported.

For a folder, every *.net file below it is checked. A net with arguments that have no default is checked with
`SPEC:Net -p name=value`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from msgspec.structs import replace

from netdsl.checked import SHOWN, Checked, Reported, check_named, check_source
from netdsl.cli.failure import FILE_CODES, OK, USAGE, WRONG, Failure, Refused
from netdsl.cli.files import find_specs, read_spec, write
from netdsl.cli.target import add_target, given_arguments, given_sizes, open_spec, split_target
from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.loader import locate
from netdsl.render.numbers import plural

FORMATS = ("text", "json", "github", "sarif")

EXAMPLES = """\
examples:
  netdsl check resnet
  netdsl check specs                      every spec below a folder
  netdsl check resnet:ResNet -p unit=Basic -p depths=[1,1]
  netdsl check mine.net --fix             apply the verified fixes
  netdsl check old.net --migrate          lines whose meaning has changed since older versions of the language
  netdsl check specs --json | jq '.files[].diagnostics[]'
  netdsl check specs --format github      annotations in a workflow; sarif for code scanning

exit codes: 0 no mistakes, 1 mistakes (with `--deny warnings`: or warnings), 2 a file that cannot be read
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_target(parser, nargs="+")
    parser.add_argument("--fix", action="store_true", help="apply the fixes that have been verified, and check again")
    parser.add_argument(
        "--unsafe", action="store_true", help="with --fix: also fixes that may change what the net computes"
    )
    parser.add_argument(
        "--migrate",
        action="store_true",
        help="list lines whose meaning has changed since older versions; --fix rewrites them",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="the output format (text)")
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    parser.add_argument("--deny", choices=("warnings",), help="exit with code 1 if there are warnings")


def run(args: argparse.Namespace) -> int:
    return _migrate(args) if args.migrate else _report(args)


def _migrate(args: argparse.Namespace) -> int:
    from netdsl.cli.migrate import migrate

    return migrate(args.spec, args.fix)


def _report(args: argparse.Namespace) -> int:
    if args.unsafe and not args.fix:
        raise Failure("`--unsafe` says which fixes are applied", "netdsl check SPEC --fix --unsafe")
    fixed = _fix(args) if args.fix else 0
    found = list(_all(args))
    _PRINTERS[args.format](found)
    if fixed and args.format == "text":
        print(f"fixed {plural(fixed, 'mistake')}")
    return _code([d for c in found for d in c.diagnostics], args.deny == "warnings")


def _code(found: list[Diagnostic], strict: bool) -> int:
    if any(d.code in FILE_CODES for d in found):
        return USAGE
    return WRONG if any(d.severity == "error" or (strict and d.severity == "warning") for d in found) else OK


def _fix(args: argparse.Namespace) -> int:
    """Apply fixes to the files; gives how many."""
    from netdsl.fixes.apply import fix
    from netdsl.fixes.hinted import everything_wrong

    count = 0
    for target in args.spec:
        path, _ = split_target(target)
        for file in find_specs([path]):
            if file == "-":
                raise Failure("`--fix` writes to files, and this is the standard input")
            try:
                source = read_spec(locate(file))
            except Failure:
                continue  # the check that follows says why
            fixed = fix(source, everything_wrong, args.unsafe)
            if fixed.text != source.text:
                write(source.name, fixed.text)
            count += fixed.count
    return count


def _all(args: argparse.Namespace) -> Iterator[Checked]:
    reported = Reported()
    for target in args.spec:
        path, net = split_target(target)
        for file in find_specs([path]):
            yield reported.new(_check(file, net, args))


def _check(file: str, net: str | None, args: argparse.Namespace) -> Checked:
    try:
        if net or args.arguments or args.sizes:
            return check_named(file, open_spec(file), net, given_arguments(args), given_sizes(args))
        source = read_spec(locate(file))
    except Refused as refused:
        return Checked(file, (), refused.diagnostics)
    except Failure as failure:
        return Checked(file, (), (diagnostic("unreadable", failure.message, hint=failure.hint),))
    checked = check_source(source)
    if checked.diagnostics:
        from netdsl.fixes.hinted import hinted

        checked = hinted(source, checked)
    if checked.empty:
        hint = "a spec declares blocks, nets and recipes: `net Name { input image [3, 224, 224] ... }`"
        return Checked(file, (), (diagnostic("empty-spec", f"{file} declares nothing", hint=hint),))
    return replace(checked, file=file)


def _print_json(found: list[Checked]) -> None:
    from netdsl.render.diagnostics import as_data
    from netdsl.render.output import print_json

    files = [
        {
            "file": c.file,
            "nets": c.nets,
            "recipes": c.recipes,
            "experiments": c.experiments,
            "diagnostics": [*map(as_data, c.diagnostics[:SHOWN])],
            "more": c.more,
        }
        for c in found
    ]
    print_json({"ok": not any(c.errors for c in found), "errors": sum(c.errors for c in found), "files": files})


def _print_github(found: list[Checked]) -> None:
    from netdsl.render.formats import github

    diagnostics = [d for c in found for d in c.diagnostics]
    if diagnostics:
        print(github(diagnostics))


def _print_sarif(found: list[Checked]) -> None:
    from netdsl.render.formats import sarif
    from netdsl.render.output import print_json

    print_json(sarif(d for c in found for d in c.diagnostics))


def _print_text(found: list[Checked]) -> None:
    from netdsl.render.diagnostics import render_all

    for checked in found:
        if checked.diagnostics:
            print(render_all(checked.diagnostics[:SHOWN], sys.stdout), end="\n\n")
        if checked.more:
            print(f"{checked.file}: {plural(checked.more, 'more diagnostic')}, not shown", end="\n\n")
    what = found[0].file if len(found) == 1 else plural(len(found), "file")
    print(f"{what}: {', '.join(_counts(found))}")


def _counts(found: list[Checked]) -> Iterator[str]:
    """The counts of the last line: mistakes, or all that was checked; and warnings."""
    errors, warnings = sum(c.errors for c in found), sum(c.warnings for c in found)
    lengths = [(len(c.nets), len(c.recipes), len(c.experiments)) for c in found]
    counts = zip(map(sum, zip(*lengths, strict=True)), ("net", "recipe", "experiment"), strict=True)
    if errors:
        yield plural(errors, "mistake")
    else:
        yield from [plural(n, name) for n, name in counts if n] or [plural(0, "net")]
    if warnings:
        yield plural(warnings, "warning")
    elif not errors:
        yield "no mistakes"


_PRINTERS = {"text": _print_text, "json": _print_json, "github": _print_github, "sarif": _print_sarif}
