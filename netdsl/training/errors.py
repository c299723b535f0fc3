"""What can go wrong in a run."""

from __future__ import annotations


class DataError(Exception):
    """Data that is missing, malformed, or does not fit the net. `hint` says what would mend it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ReaderDied(DataError):  # noqa: N818 - it is what happened
    """A process that reads the data has ended."""


class TrainingError(RuntimeError):
    """A training from Python that cannot begin or go on. `message` says what is wrong, `hint` what would mend it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(f"{message}\n  {hint}" if hint else message)
        self.message = message
        self.hint = hint
