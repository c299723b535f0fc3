"""Options that would change nothing in the way in which a command is used: refused, and never ignored."""

from __future__ import annotations

import argparse

from netdsl.cli.failure import Failure

FLAGS = {"arguments": "-p", "sizes": "--size", "settings": "--set", "output": "-o"}
"""Options that have another name on the command line than in the parsed arguments."""


def refuse_unused(args: argparse.Namespace, names: tuple[str, ...], message: str, hint: str) -> None:
    """Raise Failure for the first of some options that was given. `message`: with `{}` for the option.

    Options that are refused have no default but None, False and the empty list.
    """
    values = {name: getattr(args, name) for name in names}
    given = next((n for n, v in values.items() if v is not None and v is not False and v != []), None)
    if given is not None:
        raise Failure(message.format(f"`{FLAGS.get(given) or '--' + given.replace('_', '-')}`"), hint)
