"""Values that are the same for every sample (parameters) meet every op like values that are not."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from op_harness import Use, onnx_outputs, torch_module, types_of, uses

from netdsl.ops.base import OpError

IMAGES_ONLY = {"bn", "dropout2d", "prelu", "groupnorm", "fill", "alpha_dropout", "scatter", "propagate"}
"""Ops for which a parameter that is a vector makes no sense."""


def cases() -> list[tuple[Use, int, bool]]:
    found = []
    for use in uses():
        for i, t in enumerate(use.types):
            if use.given.kind not in IMAGES_ONLY and not ("mask=" in use.name and (i == 0 or t.rank == 1)):
                found += [
                    (use, i, batch_axis)
                    for batch_axis in ((True, False) if t.rank < 2 and t.dtype == "float32" else (True,))
                ]
    return found


CASES = cases()


@pytest.mark.parametrize(
    ("use", "index", "batch_axis"), CASES, ids=[f"{u.name} {i} {'1' if b else 'bare'}" for u, i, b in CASES]
)
def test_constant_operand(use: Use, index: int, batch_axis: bool) -> None:
    torch.manual_seed(zlib.crc32(use.name.encode()))
    other = use.with_constant(index, batch_axis=batch_axis)
    repeated = use.with_constant(-1, batch_axis=True)
    repeated.values[index] = use.values[index][:1].expand_as(use.values[index])
    reference, module = torch_module(repeated).eval(), torch_module(other).eval()
    module.load_state_dict(reference.state_dict())
    with torch.no_grad():
        expected = results(reference(*repeated.values))
        forms = [module, module.expressed] if module.both else [module]
        outputs = [results(form(*other.values)) for form in forms]
    kinds = types_of(other.inferred())
    assert [t.shape for t in kinds] == [t.shape for t in types_of(repeated.inferred())]
    for got in outputs:
        for value, want, kind in zip(got, expected, kinds, strict=True):
            assert value.shape == want.shape or not kind.batched
            check_close(value, want)
    for value, want in zip(onnx_outputs(other, module, 23) or expected, expected, strict=True):
        check_close(torch.from_numpy(np.asarray(value)), want)


def check_close(value: torch.Tensor, want: torch.Tensor) -> None:
    scale = want.float().abs().max().item()
    torch.testing.assert_close(value.expand_as(want), want, rtol=0, atol=1e-5 * scale)


def results(value: object) -> list[torch.Tensor]:
    return list(value) if isinstance(value, tuple | list) else [value]


def test_a_parameter_is_not_scattered() -> None:
    (use,) = (u for u in uses() if u.name.startswith("scatter(index=y, size=4) "))
    with pytest.raises(OpError, match="parameter"):
        use.with_constant(0, batch_axis=True).inferred()
