"""How a command ends when it cannot do what was asked."""

from __future__ import annotations

from netdsl.diagnostics.diagnostic import Diagnostic

OK, WRONG, USAGE = 0, 1, 2
"""Exit codes: all is well; the spec or the check is wrong; the call is wrong, or a file cannot be read or written."""


class Failure(Exception):  # noqa: N818 - it ends a command, it is not a mistake of ours
    """Ends a command: `main` prints the message and its hint on the error stream and exits with `code`."""

    def __init__(self, message: str, hint: str | None = None, code: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Refused(Failure):
    """Ends a command with diagnostics: the spec is wrong."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], code: int = WRONG) -> None:
        super().__init__("\n".join(d.message for d in diagnostics), code=code)
        self.diagnostics = diagnostics
