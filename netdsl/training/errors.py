"""Mistakes that end a run or keep it from beginning. Each carries a diagnostic with a code of the table."""

from __future__ import annotations

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.diagnostics.memory import is_out_of_memory, out_of_memory
from netdsl.inference.errors import CheckpointError, DataError
from netdsl.render.diagnostics import render

__all__ = ["CheckpointError", "DataError", "ReaderDied", "TrainingError", "WriteError", "diagnosed"]


class ReaderDied(DataError):  # noqa: N818 - it is what happened
    """A process that reads the data has ended."""


class WriteError(CheckpointError):
    """A file of a run that cannot be written."""


class TrainingError(RuntimeError):
    """A training from Python that cannot begin or continue.

    `code` names an entry of the table of error codes, `message` says what is wrong, `hint` how to fix it.
    """

    def __init__(self, found: Diagnostic) -> None:
        super().__init__(render(found))
        self.diagnostic = found
        self.code = found.code
        self.message = found.message
        self.hint = found.hint


def diagnosed(error: Exception, setting: str) -> Diagnostic | None:
    """The diagnostic of an exception that a package raises for something a user can fix; None for any other.

    `setting` is how the caller writes the field `micro_batch`.
    """
    if type(error).__name__ == "SafetensorError":
        return diagnostic("damaged-checkpoint", str(error))
    if isinstance(error, PermissionError):
        return diagnostic("unreadable", f"{error.filename}: {error.strerror}")
    if isinstance(error, MemoryError):  # of the weights, or of arrays of the data: not of a batch
        return out_of_memory(error)
    if is_out_of_memory(error):
        less = f"{setting} computes the gradient of the same batch from fewer samples at a time"
        return out_of_memory(error, less)
    if isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error):
        return diagnostic("not-supported", str(error).partition(",")[0], None, "leave out `deterministic`")
    return None
