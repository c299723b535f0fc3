"""A stress copy of a net: every weight and buffer is random, and no signal vanishes or explodes.

Real initial values hide errors: a LayerScale of 1e-6 hides its whole branch, a head of zeros hides the net.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program

LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def stress(program: Program, module: nn.Module, inputs: Sequence[Tensor], seed: int = 0) -> nn.Module:
    """A copy of the module with random weights, tuned by one pass over `inputs`.

    Weights of convolutions and linears are scaled to give outputs of deviation 1, running statistics have the magnitude
    of what they normalise, gains and factors are near 1; all else is drawn by the role of the parameter.
    """
    random = torch.Generator().manual_seed(seed)
    twin = copy.deepcopy(module).eval()
    roles = _roles(program)
    with torch.no_grad():
        for key, parameter in twin.named_parameters():
            parameter.copy_(_drawn(key, parameter, roles.get(key, ""), random))
        persistent = twin.state_dict().keys()
        for key, buffer in twin.named_buffers():
            if buffer.is_floating_point() and key in persistent:
                buffer.mul_(0.7 + 0.6 * torch.rand(buffer.shape, generator=random))
                buffer.add_(0.1 * torch.rand(buffer.shape, generator=random))
        _tune(twin, inputs, random)
    return twin


def state_of(module: nn.Module) -> dict[str, Any]:
    """A module's state dict as arrays."""
    return {key: value.detach().cpu().numpy() for key, value in module.state_dict().items()}


def on_cpu(module: nn.Module) -> nn.Module:
    """The module itself, or a copy on the CPU in float32 where it is elsewhere or of another precision."""
    tensors = [*module.parameters(), *module.buffers()]
    there = all(t.device.type == "cpu" and t.dtype in (torch.float32, torch.int64, torch.bool) for t in tensors)
    return module if there else copy.deepcopy(module).to("cpu").float()


def _roles(program: Program) -> dict[str, str]:
    roles = {}
    for node in flatten(program, training=True):
        for name, param in node.op.params(*node.types).items():
            roles[f"{node.layer_path}.{name}" if name else node.layer_path] = param.role
    return roles


def _drawn(key: str, like: Tensor, role: str, random: torch.Generator) -> Tensor:
    normal = torch.randn(like.shape, generator=random)
    uniform = 0.5 + torch.rand(like.shape, generator=random)
    if role == "bias" or key.endswith("bias"):
        return 0.2 * normal
    if role in ("norm", "scale"):
        return uniform
    if like.ndim >= 2 and role in ("conv", "linear", "recurrent", "gate"):
        return torch.mul(normal, like[0].numel() ** -0.5)
    return 0.5 * normal


def _tune(twin: nn.Module, inputs: Sequence[Tensor], random: torch.Generator) -> None:
    """Run the module once, and set each layer for what flows into it."""
    seen: set[nn.Module] = set()

    def scale(layer: nn.Module, _: Any, out: Tensor) -> Tensor | None:
        deviation = float(out.std()) if out.numel() > 1 else 0.0
        if layer in seen or not 0 < deviation < float("inf"):
            return None
        seen.add(layer)
        for parameter in layer.parameters(recurse=False):
            parameter.div_(deviation)
        return out / deviation

    def observe(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if layer not in seen:
            seen.add(layer)
            _set_statistics(layer, given[0], random)

    hooks = [m.register_forward_hook(scale) for m in twin.modules() if type(m) in LINEAR]
    hooks += [m.register_forward_pre_hook(observe) for m in twin.modules() if type(m) in NORMS]
    twin(*inputs)
    for hook in hooks:
        hook.remove()


def _set_statistics(layer: Any, x: Tensor, random: torch.Generator) -> None:
    """Running statistics of the right magnitude, drawn for each channel.

    Exact ones would take the mean away at each layer: that leaves the rounding errors, and grows them by a factor for
    each layer, until in a deep net they hide what is to be seen.
    """
    power = float(x.square().mean()) + 1e-6
    layer.running_var.copy_(power * (0.6 + 0.9 * torch.rand(layer.running_var.shape, generator=random)))
    layer.running_mean.copy_(0.2 * power**0.5 * torch.randn(layer.running_mean.shape, generator=random))
