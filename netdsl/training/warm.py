"""Imports that every run makes, in one place, for a process that trains several."""

from __future__ import annotations

from contextlib import suppress

import torch

import netdsl.training.entry  # noqa: F401


def warm_up() -> None:
    """Import what the first run would import while its time is taken: scikit-learn, and torch's compiler, which the
    first optimizer that is made imports."""
    with suppress(ImportError):
        import sklearn.datasets  # noqa: F401
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()
