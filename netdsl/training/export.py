"""The trained net in onnxruntime, compared with PyTorch on real samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from netdsl.backends.onnx.session import Session
from netdsl.training.data.dataset import Split
from netdsl.training.evaluate import first_output


def forward_of(session: Session) -> Any:
    """An ONNX file as a function of tensors, giving its outputs in order."""
    names = list(session.inputs)

    def forward(*inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = {n: np.ascontiguousarray(x.cpu().numpy()) for n, x in zip(names, inputs, strict=True)}
        found = session.run(arrays)
        return tuple(torch.from_numpy(np.asarray(found[n])) for n in session.outputs)

    return forward


@torch.no_grad()
def largest_difference(ours: Any, theirs: Any, split: Split, at_once: int) -> float:
    """max|a - b| / max|a| over the main output of every sample of a split on the CPU, `at_once` at a time."""
    difference = size = 0.0
    for inputs, _ in split.batches(torch.split(torch.arange(len(split)), at_once)):
        a, b = first_output(ours(*inputs)), first_output(theirs(*inputs))
        difference = max(difference, float((a - b).abs().max()))
        size = max(size, float(a.abs().max()))
    return difference / max(size, 1e-12)
