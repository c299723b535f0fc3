"""Comparison of a net's outputs with recorded ones: matching shapes do not prove that constants such as eps match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netdsl.diagnostics.diagnostic import UserError, first_line
from netdsl.ir.model import Value


def difference(module: nn.Module, inputs: Sequence[Value], x: Any, expected: Any) -> tuple[float, float]:
    """The largest difference between a module's output and the expected one, and the largest expected number.

    `x`: an array for the only one of the net's `inputs`, or arrays by their names. A sample without a batch axis is a
    batch of one. Raises UserError where they do not fit.
    """
    given = [_tensor(value, array) for value, array in zip(inputs, _arrays(inputs, x), strict=True)]
    wanted = np.asarray(expected, "float64")
    with torch.no_grad():
        try:
            found = module.eval()(*given)
        except (RuntimeError, ValueError, IndexError) as error:
            try:
                found = module(*[t[None] for t in given])
            except (RuntimeError, ValueError, IndexError):
                shapes = " and ".join(str(list(t.shape)) for t in given)
                message = f"the net takes no input of shape {shapes}: {first_line(error)}"
                raise UserError("shape-mismatch", message) from None
    output = found[0] if isinstance(found, tuple | list) else found
    values = output.numpy().astype("float64")
    if values.size != wanted.size:
        raise UserError(
            "shape-mismatch", f"the net gives {list(values.shape)}, the expected output is {list(wanted.shape)}"
        )
    return float(abs(values.ravel() - wanted.ravel()).max()), float(abs(wanted).max())


def _arrays(inputs: Sequence[Value], x: Any) -> list[Any]:
    """The arrays of the inputs, in their order. Raises UserError where one is missing."""
    names = [value.name for value in inputs]
    if not isinstance(x, Mapping) and len(inputs) == 1:
        return [x]
    if not isinstance(x, Mapping) or not set(names) <= set(x):
        listed = ", ".join(f"{n}=..." for n in names)
        message = f"the net takes {' and '.join(f'`{n}`' for n in names)}"
        raise UserError("shape-mismatch", message, f"an `.npz` file has them by name: `np.savez(file, {listed})`")
    return [x[n] for n in names]


def _tensor(value: Value, array: Any) -> Tensor:
    """An array as what an input takes. Raises UserError for fractions where it takes whole numbers."""
    found = np.asarray(array).astype(value.type.dtype)
    if found.dtype.kind != "f" and not np.array_equal(found, array):
        raise UserError("dtype-mismatch", f"`{value.name}` takes {value.type.dtype}, and the array holds fractions")
    return torch.from_numpy(found)
