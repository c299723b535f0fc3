"""Format specs. Only whitespace and line breaks change: the syntax tree and the comments stay the same.

For a folder, every *.net file below it is formatted, but for those of runs, which are records; `-` reads standard input
and writes standard output.
Lines end as the first one of the file does, with LF or CRLF.
"""

from __future__ import annotations

import argparse
import sys

from netdsl.cli.failure import OK, WRONG, Refused
from netdsl.cli.files import find_specs, read_spec, write
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.render.numbers import plural
from netdsl.source import Source

EXAMPLES = """\
examples:
  netdsl fmt                   every spec below this folder
  netdsl fmt mine.net specs
  netdsl fmt --check specs     change nothing; exit code 1 if a file is not formatted
  netdsl fmt --diff mine.net
  netdsl fmt - < mine.net

exit codes: 0 fine, 1 mistakes in a spec (or, with --check or --diff, something to format), 2 a file cannot be read or
written
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", default=["."], help="files and folders (this folder), or `-`"
    )
    parser.add_argument("--check", action="store_true", help="list the files that would change, and write nothing")
    parser.add_argument("--diff", action="store_true", help="show the changes, and write nothing")


def run(args: argparse.Namespace) -> int:
    mistakes: list[Diagnostic] = []
    changed, code = 0, OK
    files = find_specs(args.paths)
    for file in files:
        try:
            changed += _format(file, args)
        except Refused as refused:
            mistakes += refused.diagnostics
            code = max(code, refused.code)
    if mistakes:
        from netdsl.render.diagnostics import render_all

        print(render_all(mistakes, sys.stderr), file=sys.stderr)
    dry = args.check or args.diff
    if files != ["-"] and not args.diff:
        rest = len(files) - changed
        what = "would change" if dry else "formatted"
        print(f"{plural(changed, 'file')} {what}, {rest} {'fine' if dry else 'left as they are'}", file=sys.stderr)
    return max(code, WRONG if dry and changed else OK)


def _format(file: str, args: argparse.Namespace) -> bool:
    """Format one file; gives whether it changes. Raises Refused for a spec with mistakes in its syntax."""
    from netdsl.syntax.format import format_source

    source = read_spec(file)
    text, diagnostics = format_source(source)
    if text is None:
        raise Refused(_errors(diagnostics))
    changed = text != source.text
    if args.diff:
        sys.stdout.writelines(_diff(source, text))
    elif args.check:
        if changed:
            print(f"would format {source.name}")
    elif file == "-":
        sys.stdout.write(text)
        return False
    elif changed:
        write(file, text)
        print(f"formatted {file}")
    return changed


def _errors(diagnostics: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    return tuple(d for d in diagnostics if d.severity == "error") or diagnostics


def _diff(source: Source, text: str) -> list[str]:
    from difflib import unified_diff

    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    lines = unified_diff(before, after, source.name, f"{source.name} (formatted)")
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
