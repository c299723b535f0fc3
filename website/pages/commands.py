"""Every command with its options, from the parsers of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc

from netdsl.cli.main import COMMANDS

HEAD = """\
# Commands

`netdsl COMMAND --help` shows the same in a terminal. Exit codes: 0 success, 1 a mistake in the spec or a failed check,
2 wrong usage, or a file that cannot be read or written.

"""


def pages() -> dict[str, str]:
    """The page by its path."""
    return {"reference/commands.md": HEAD + "\n".join(_page())}


def _page() -> Iterator[str]:
    yield "| command | purpose |\n|---|---|"
    yield from (f"| [`{name}`](#{name}) | {text} |" for name, text in COMMANDS.items())
    for name in COMMANDS:
        module = import_module(f"netdsl.cli.{name}")
        parser = argparse.ArgumentParser(prog=f"netdsl {name}", formatter_class=_Wide, add_help=False)
        module.configure(parser)
        yield f"\n## {name}\n"
        yield cleandoc(module.__doc__ or "") + "\n"
        yield f"```text\n{parser.format_usage().removeprefix('usage: ').strip()}\n```\n"
        yield from _options(parser)
        yield from _examples(getattr(module, "EXAMPLES", ""))


class _Wide(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    actions = [a for a in parser._actions if a.help != argparse.SUPPRESS]
    if actions:
        yield "| argument | meaning |\n|---|---|"
        formatter = parser._get_formatter()
        for action in actions:
            shown = formatter._format_action_invocation(action).replace("|", "&#124;")
            text = formatter._expand_help(action) if action.help else ""
            yield f"| `{shown}` | {text.replace('|', '&#124;')} |"
        yield ""


def _examples(text: str) -> Iterator[str]:
    lines = cleandoc(text).splitlines()
    if lines:
        body = "\n".join(line.removeprefix("  ") for line in lines if line.strip() != "examples:")
        yield f"```text\n{body}\n```\n"
