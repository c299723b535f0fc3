"""One process or several: which share of the work is this process's, and how sums are joined."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Ranks:
    """This process among those of a run. Alone, everything is the identity."""

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank = rank
        self.world = world

    @classmethod
    def from_environment(cls, device: torch.device) -> Ranks:
        """Join the group that `torchrun` describes in the environment, or be alone."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), world)

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, count: int) -> tuple[int, int]:
        """The places of an update of `count` samples that are this process's: contiguous, none twice."""
        return count * self.rank // self.world, count * (self.rank + 1) // self.world

    def wrap(self, module: nn.Module, sync: bool) -> nn.Module:
        """The module whose backward pass adds up gradients over the processes."""
        if self.world == 1:
            return module
        device = next(module.parameters()).device
        ids = [device.index] if device.type == "cuda" else None
        if sync:
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(module, device_ids=ids)

    def sum(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors added up over the processes."""
        if self.world > 1:
            for name in sorted(tensors):
                dist.all_reduce(tensors[name])
        return tensors

    def same_buffers(self, module: nn.Module) -> None:
        """Give every process the first one's buffers, so that all evaluate what is saved."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def any(self, flag: bool) -> bool:
        """Whether any process says yes."""
        if self.world == 1:
            return flag
        vote = torch.tensor(float(flag))
        if dist.get_backend() == "nccl":
            vote = vote.cuda()
        dist.all_reduce(vote)
        return bool(vote.item())

    def close(self) -> None:
        if self.world > 1 and dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()
