"""Element types: whatever an op accepts, PyTorch computes, with the element types and shapes that were inferred."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from op_harness import Use, torch_module, types_of, uses

from netdsl.ops.base import OpError

NOT_ON_A_CPU = ("not implemented for",)
"""What torch says of kernels that a device lacks; another device has them."""


def variants() -> Iterator[Use]:
    """Every example of an op with other element types in all of its inputs, or in one."""
    for use in uses():
        count = len(use.types)
        own = tuple(t.dtype for t in use.types)
        for dtype, one in product(("float64", "int64", "bool"), (None, *range(count if count > 1 else 0))):
            dtypes = tuple(dtype if one in (None, i) else d for i, d in enumerate(own))
            if dtypes != own:
                yield use.with_elements(dtypes)


@pytest.mark.parametrize("kind", sorted({u.given.kind for u in variants()}))
def test_what_is_accepted_runs(kind: str) -> None:
    for use in (u for u in variants() if u.given.kind == kind):
        try:
            expected = types_of(use.inferred())
        except OpError:
            continue
        said = f"{use.text} on {[str(t) for t in use.types]}"
        module = torch_module(use).eval()
        try:
            result = module(*use.values)
        except RuntimeError as error:
            if not any(words in str(error) for words in NOT_ON_A_CPU):
                raise AssertionError(said) from error
            continue
        outputs = result if isinstance(result, tuple) else (result,)
        for output, type in zip(outputs, expected, strict=True):
            assert output.dtype == getattr(torch, type.dtype), said
            assert tuple(output.shape)[-type.rank or output.ndim :] == type.shape, said
