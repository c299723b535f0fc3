"""Weights in parts, one on each process (FSDP2): what the rest of the engine needs to know of them.

A checkpoint of such a run is the same file as that of any other: each weight and each tensor of the optimizer is
gathered, one after the other, and the first process writes them. So a run in shards continues with any number of
processes, also with one, and its checkpoint is there whole or not at all. The price is the memory of the host for one
copy. (torch's own sharded checkpoints are a folder of pickled metadata.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LEAST = 10_000
"""Numbers in a block below which it is gathered together with what is around it."""


Norm = nn.modules.batchnorm._BatchNorm


def shard(module: nn.Module, world: int, device: torch.device, half: torch.dtype | None = None) -> nn.Module:
    """Split every weight over the processes, in place; each block is gathered when it is computed.

    `half`: what autocast computes in. Blocks without batch norms, whose statistics are float32, are then gathered in
    it, which is half as much to exchange; gradients are added up in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (world,))
    whole_numbers = MixedPrecisionPolicy(cast_forward_inputs=False)
    halved = MixedPrecisionPolicy(half, torch.float32, cast_forward_inputs=False)
    for block in blocks(module):
        normed = any(isinstance(m, Norm) for m in block.modules())
        fully_shard(block, mesh=mesh, mp_policy=whole_numbers if half is None or normed else halved)
    fully_shard(module, mesh=mesh)
    return module


def blocks(module: nn.Module) -> list[nn.Module]:
    """The outermost blocks that are computed at once: lists and chains are looked into."""
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential | nn.ModuleDict):
            found += blocks(child)
        elif list(child.children()) and sum(p.numel() for p in child.parameters()) >= LEAST:
            found.append(child)
    return found


def is_sharded(module: nn.Module) -> bool:
    """Whether a module's weights are in parts. (Asked without importing what takes a second.)"""
    return hasattr(module, "reshard")


def in_parts(tensor: Any) -> bool:
    return hasattr(tensor, "full_tensor")


def rest(module: nn.Module) -> None:
    """Give back what an evaluation gathered."""
    for part in module.modules():
        if is_sharded(part):
            part.reshard()  # type: ignore[operator]


def local(tensor: Any) -> Tensor:
    """This process's part of a tensor."""
    found: Tensor = tensor.to_local() if in_parts(tensor) else tensor
    return found


def whole(tensor: Any) -> Tensor:
    """A tensor with the parts of all processes, which must all ask for it."""
    found: Tensor = tensor.full_tensor() if in_parts(tensor) else tensor
    return found


def gathered(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """Whole tensors, in the memory of the host where they were in parts; with `keep` false they are freed at once."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if in_parts(tensor):
            full = whole(tensor.detach())
            if keep:
                found[name] = full.cpu()
        elif keep:
            found[name] = tensor
    return found


def placed(tensor: Tensor, like: Any) -> Tensor:
    """A whole tensor as `like` is: on its device, and this process's part of it where `like` is in parts."""
    tensor = tensor.to(like.device)
    if not in_parts(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def assign(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy whole tensors into those of the same names."""
    for name, tensor in tensors.items():
        own[name].copy_(placed(tensor, own[name]))


@contextmanager
def exchanged(module: nn.Module, state: Mapping[str, Tensor]) -> Iterator[None]:
    """A module in shards with other weights for a while; its own come back bit for bit."""
    own: dict[str, Any] = module.state_dict()
    before = {n: t.clone() for n, t in own.items()}
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])
    try:
        yield
    finally:
        rest(module)
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                tensor.copy_(before[name])
