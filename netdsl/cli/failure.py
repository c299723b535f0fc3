"""The ways in which a command fails."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.render.paint import visible

OK, WRONG, USAGE = 0, 1, 2
"""Exit codes: all is well; the spec or the check is wrong; the call is wrong, or a file cannot be read or written."""


class Failure(Exception):  # noqa: N818 - it ends a command, it is not a mistake of ours
    """Ends a command: `main` prints the message and its hint on the error stream and exits with `code`."""

    def __init__(self, message: str, hint: str | None = None, code: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


FILE_CODES = {
    "no-such-file", "is-a-directory", "unreadable", "cannot-write", "not-empty", "run-in-use",
    "not-a-run", "unfinished-run", "outdated-run", "damaged-checkpoint", "unreadable-model", "unreadable-weights",
    "unclear-weights", "not-an-experiment", "changed-experiment",
    "unknown-plugin", "missing-plugin", "missing-package",
}  # fmt: skip
"""Codes of files that cannot be read or written, and of code that is not installed: the exit code is USAGE."""


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """The exit code of a command that diagnostics end."""
    return USAGE if any(d.code in FILE_CODES for d in diagnostics) else WRONG


class Refused(Failure):
    """Ends a command with diagnostics. `code` is that of `exit_code` unless given."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], code: int | None = None) -> None:
        super().__init__(
            "\n".join(d.message for d in diagnostics), code=exit_code(diagnostics) if code is None else code
        )
        self.diagnostics = diagnostics


def unreadable(path: str, error: OSError) -> Refused:
    """The refusal of a file that the operating system does not let a command read."""
    if isinstance(error, FileNotFoundError):
        return Refused((diagnostic("no-such-file", f"there is no file {path}"),))
    return Refused((diagnostic("unreadable", f"cannot read {path}: {error.strerror or error}"),))


def note(text: str) -> None:
    """Say, beside what is printed, what whoever reads it should know."""
    print(f"note: {visible(text)}", file=sys.stderr)
