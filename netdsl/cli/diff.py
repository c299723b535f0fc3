"""Compare two nets or two recipes: layers that were added, removed, moved or changed, with their parameters and MACs,
and the keys of the state dict that stay. A change that many blocks share is listed once.

Nets are matched by structure and name, not by text. Two files without names are compared by the nets and recipes that
both have; one file alone is compared with its last commit.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from netdsl.cli.failure import USAGE, Failure, Refused
from netdsl.cli.files import check_ending, write
from netdsl.cli.target import add_bindings, given_arguments, given_sizes, open_spec
from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import locate
from netdsl.render.output import json_text

if TYPE_CHECKING:
    from netdsl.diff.specs import Compared, Named

EXAMPLES = """\
examples:
  netdsl diff resnet:ResNet50 resnet:ResNet101
  netdsl diff old.net new.net                        every net and recipe of both
  netdsl diff convnext:ImageNet300 convnext:ImageNet300_B    two recipes
  netdsl diff mine.net                               against its last commit
  netdsl diff HEAD~3:mine.net mine.net --format json
  netdsl diff resnet:ResNet50 roadmap:T_Baseline -o diff.html

exit codes, as those of diff(1): 0 equal, 1 different, 2 nothing was compared: a file cannot be read, or a spec is wrong
"""


def configure(parser: argparse.ArgumentParser) -> None:
    what = "a spec, and after a colon a net or a recipe of it; `REV:FILE[:Name]` is a file of a git revision"
    parser.add_argument("before", metavar="A[:Name]", help=what)
    parser.add_argument("after", metavar="B[:Name]", nargs="?", help="the spec, net or recipe to compare it with")
    parser.add_argument("--git", metavar="REV", help="with one spec: the git revision to compare with (HEAD)")
    add_bindings(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="the output format (text)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (.html: a page; .txt, .md, .json)")


def run(args: argparse.Namespace) -> int:
    ending = check_ending(args.output, ".txt", ".html", ".htm", ".json", ".md")
    try:
        found = compared(*_sides(args), args)
    except Refused as mistake:
        raise Refused(mistake.diagnostics, USAGE) from None  # 1 says that both sides differ
    except Fault as mistake:
        raise Refused((mistake.diagnostic,), USAGE) from None
    text = _shown(found, "page" if ending in (".html", ".htm") else ending[1:], args)
    if args.output:
        write(args.output, text)
        print(args.output)
    else:
        print(text, end="")
    return int(not found.equal)


def compared(before: Named, after: Named, args: argparse.Namespace) -> Compared:
    """The comparison of two sides. Raises Failure, and Refused for what does not check."""
    from netdsl.diff.specs import Given, Incomparable, compare

    try:
        return compare(before, after, Given(given_arguments(args), given_sizes(args)))
    except Incomparable as mistake:
        if mistake.diagnostics:
            raise Refused(mistake.diagnostics) from None
        raise Failure(mistake.message, mistake.hint) from None


def _sides(args: argparse.Namespace) -> tuple[Named, Named]:
    if args.after is None:
        return side_of(args.before, args.git or "HEAD"), side_of(args.before)
    if args.git is not None:
        raise Failure("`--git` compares one spec with its own past", "for two specs write `REV:FILE` where it is meant")
    return side_of(args.before), side_of(args.after)


def side_of(text: str, revision: str | None = None) -> Named:
    """The side that `[REV:]FILE[:Name]` means; a file of exactly that name comes first. Raises Refused."""
    from netdsl.diff.specs import Named
    from netdsl.pipeline import Spec
    from netdsl.revision import spec_at

    head, colon, name = text.rpartition(":")
    named = bool(colon and head) and name.isidentifier() and not os.path.exists(text)
    path = head if named else text
    if revision is None and not os.path.exists(locate(path)) and ":" in path:
        revision, _, path = path.partition(":")
    title = f"{revision}:{path}" if revision else path
    spec = open_spec(path) if revision is None else Spec(*spec_at(revision, path))
    return Named(title, spec, name if named else None)


def _shown(found: Compared, form: str, args: argparse.Namespace) -> str:
    """A comparison in the form that is asked for."""
    from netdsl.diff.specs import as_data, as_page, as_text
    from netdsl.render.paint import PLAIN, paint_for

    if form == "page":
        return as_page(found)
    if "json" in (args.format, form):
        return json_text(as_data(found)) + "\n"
    return as_text(found, PLAIN if args.output else paint_for(sys.stdout)) + "\n"
