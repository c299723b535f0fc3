"""Mistakes in data and in the files of a run."""

from __future__ import annotations

from netdsl.diagnostics.diagnostic import UserError


class DataError(UserError):
    """Data that is missing, malformed, or does not fit the net or the recipe."""


class CheckpointError(UserError):
    """A file of a run that cannot be read or written, or that belongs to another run."""
