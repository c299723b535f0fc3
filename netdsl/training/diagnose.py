"""Find where a loss stops being finite: the first such layer, on the step where it happened."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from netdsl.training.distributed.shards import whole
from netdsl.training.errors import DataError
from netdsl.training.kernels.compiler import eager

HUGE = 1e15
"""Numbers of which a few thousand squares add up to more than float32 holds."""


IN_DATA = "the data holds values that are not finite"
IN_DATA_HINT = "no lr helps there: look at what `data` and `augment` make of the samples of this step"


class Diverged(DataError):  # noqa: N818 - it is what happened
    """The loss of a step (0-based), its gradient, or the weights after it are not finite. `reason` says where that
    begins."""

    def __init__(self, step: int, reason: str, what: Literal["loss", "gradient", "update"] = "loss") -> None:
        said = {
            "loss": "the loss is",
            "gradient": "the loss is finite, but its gradient is",
            "update": "the weights are",
        }
        hint = "a lower lr or `clip` may help"
        super().__init__("not-finite", f"at step {step + 1} {said[what]} not finite: {reason}", hint)
        self.step = step
        self.reason = reason


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, tuple | list):
        return all(map(_finite, value))
    return all(map(_finite, value.values())) if isinstance(value, dict) else True


@torch.no_grad()
def diagnose(module: nn.Module, batch: Any, criterion: Any) -> str:
    """Where it begins: in a weight, in a layer's output, or in the loss."""
    for name, p in module.named_parameters():
        if not _finite(whole(p)):
            return f"the weights `{name}` are not finite (they were before the last steps): lower the lr, or clip"
    if not _finite(batch.inputs):
        return IN_DATA
    found: list[str] = []
    hooks = []
    for name, layer in module.named_modules():
        if not list(layer.children()):
            hooks.append(layer.register_forward_hook(_recorder(name, found)))
    try:
        with eager(module):
            result = module(*batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        return f"the layer `{found[0]}` is the first whose output is not finite"
    if not _finite(result):
        return "the net's output is not finite, although every layer's is"
    if not _finite(criterion(result, batch.target, batch.inputs).loss):
        return "the net's output is finite, the loss of it is not"
    return "it does not happen again on the same samples without dropout and augmentation"


def diagnose_gradient(module: nn.Module, batch: Any, criterion: Any) -> str:
    """Where the gradient of a finite loss ceases to be finite, on its way from the loss back to the first layer."""
    order: list[tuple[str, bool]] = []
    hooks = []
    for name, layer in module.named_modules():
        if not list(layer.children()):
            hooks.append(layer.register_forward_hook(_watcher(name, order)))
    try:
        with eager(module):
            criterion(module(*batch.inputs), batch.target, batch.inputs).loss.sum().backward()
    finally:
        for hook in hooks:
            hook.remove()
    behind = "the loss"
    for name, good in order:
        if not good:
            return f"it ceases to be between the layer `{name}` and {behind}"
        behind = f"`{name}`"
    for name, p in module.named_parameters():
        if p.grad is not None and not _finite(whole(p.grad)):
            return f"that of `{name}` is the first"
    largest = max((float(whole(p.grad).abs().max()) for p in module.parameters() if p.grad is not None), default=0.0)
    if largest > HUGE:
        return f"its squares are beyond float32 (its largest number is {largest:.1e})"
    return "it does not happen again on the same samples without dropout and augmentation"


def _watcher(name: str, order: list[tuple[str, bool]]) -> Any:
    """Notes the gradient of a layer's output when it comes by."""

    def watch(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda gradient: order.append((name, _finite(gradient))))  # type: ignore[no-untyped-call]

    return watch


def _recorder(name: str, found: list[str]) -> Any:
    def record(layer: nn.Module, inputs: Any, output: Any) -> None:
        if not _finite(output):
            found.append(name)

    return record
