"""Random uses of every op: what `check` accepts runs in PyTorch with the inferred types, computes what the interpreter
does, and is exported or refused with a reason. `make laws` draws more of them."""

from __future__ import annotations

from math import prod
from random import Random
from typing import Any

import pytest
import torch
from interpreter import worst
from op_edges import drawn_use
from op_harness import Use, onnx_outputs, torch_module, types_of
from op_rules import RULES

from netdsl.ops import REGISTRY
from netdsl.ops.base import OpError
from netdsl.ops.features import check_elements
from netdsl.sizes.constraints import Assumptions

LARGE = 300_000
"""Numbers beyond which a use is left out."""

CLOSE = 1e-3
LIMITS = {"embed": "num_embeddings", "one_hot": "num_classes", "scatter": "size"}
"""What the integers that an op reads stay below."""


def accepted(use: Use) -> Any:
    """The types of the results, or None where the use is refused or large."""
    try:
        result = use.op.infer(Assumptions(), *use.types)
        check_elements(use.op, *use.types)
    except OpError:
        return None
    count = sum(prod(t.shape) for t in types_of(result)) + sum(
        prod(p.shape) for p in use.op.params(*use.types).values()
    )
    return types_of(result) if count <= LARGE else None


def inputs(use: Use) -> list[torch.Tensor]:
    limit = getattr(use.given, LIMITS.get(use.given.kind, ""), None)
    if use.given.kind == "gather":
        limit = use.types[0].shape[0]
    values = use.values
    return [v % limit if limit and v.dtype == torch.int64 and i == len(values) - 1 else v for i, v in enumerate(values)]


def held(use: Use, random: Random) -> None:
    """Hold an accepted use to PyTorch, the interpreter and onnxruntime."""
    types = accepted(use)
    if types is None:
        return
    module = torch_module(use).eval()
    use.values = inputs(use)
    with torch.no_grad():
        found = module(*use.values)
    results = list(found) if isinstance(found, list | tuple) else [found]
    assert [str(r.dtype) for r in results] == [f"torch.{t.dtype}" for t in types]
    shapes = [list(r.shape[r.ndim - len(t.shape) :]) for r, t in zip(results, types, strict=True)]
    assert shapes == [list(t.shape) for t in types]
    tensors = [*module.named_parameters(), *module.named_buffers()]
    weights = {n.removeprefix("layer").removeprefix("."): v.detach() for n, v in tensors}
    wanted = RULES[use.op.kind](use.op, weights, *use.values)
    assert worst(tuple(results), dict(enumerate(wanted if isinstance(wanted, list | tuple) else [wanted]))) < CLOSE
    try:
        exported = onnx_outputs(use, module, random.choice((17, 18, 18, 20, 23)))
    except OpError:  # what the opset can't say is refused with the reason
        return
    if exported is not None:
        given = {i: r.detach() for i, r in enumerate(results)}
        assert [list(e.shape) for e in exported] == [list(r.shape) for r in results]
        assert worst(tuple(torch.as_tensor(e) for e in exported), given) < CLOSE


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_what_is_accepted_runs(kind: str, request: pytest.FixtureRequest) -> None:
    torch.set_num_threads(1)
    wrong = []
    for seed in range(request.config.getoption("--programs") // 38):
        random = Random(f"{kind}{seed}")
        torch.manual_seed(seed)
        use = drawn_use(kind, random)
        if use is None:
            continue
        try:
            held(use, random)
        except Exception as error:  # whatever goes wrong is told with the use
            wrong.append(f"{use.name}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
