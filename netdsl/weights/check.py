"""Comparison of a net's outputs with recorded ones: matching shapes do not prove that constants such as eps match."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from netdsl.diagnostics.diagnostic import UserError, first_line


def difference(module: nn.Module, x: Any, expected: Any) -> tuple[float, float]:
    """The largest difference between a module's output and the expected one, and the largest expected number.

    A sample without a batch axis is a batch of one. Raises UserError where the input does not fit.
    """
    given = torch.from_numpy(np.asarray(x, "float32"))
    wanted = np.asarray(expected, "float64")
    with torch.no_grad():
        try:
            found = module.eval()(given)
        except (RuntimeError, ValueError, IndexError) as error:
            try:
                found = module(given[None])
            except (RuntimeError, ValueError, IndexError):
                raise UserError(
                    "shape-mismatch",
                    f"the net takes no input of shape {list(given.shape)}: {first_line(error)}",
                ) from None
    output = found[0] if isinstance(found, tuple | list) else found
    values = output.numpy().astype("float64")
    if values.size != wanted.size:
        raise UserError(
            "shape-mismatch", f"the net gives {list(values.shape)}, the expected output is {list(wanted.shape)}"
        )
    return float(abs(values.ravel() - wanted.ravel()).max()), float(abs(wanted).max())
