"""Roles of the parameters of a plain torch module."""

from __future__ import annotations

from torch import nn

from netdsl.planning.groups import Parameter


def roles_of(module: nn.Module) -> tuple[Parameter, ...]:
    """Parameters of a plain torch module with their roles, read off the layers' types: for nets that have no spec."""
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
    found = []
    for name, layer in module.named_modules():
        for key, tensor in layer.named_parameters(recurse=False):
            if isinstance(layer, norms):
                role = "norm"
            elif isinstance(layer, nn.Embedding):
                role = "embedding"
            elif key.startswith("bias"):
                role = "bias"
            else:
                role = (
                    "conv" if isinstance(layer, nn.modules.conv._ConvNd) else "linear" if tensor.ndim > 1 else "scale"
                )
            found.append(Parameter(f"{name}.{key}".lstrip("."), role, tuple(tensor.shape)))
    return tuple(found)
