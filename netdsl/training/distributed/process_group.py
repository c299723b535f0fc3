"""One process or several: which share of the work is this process's, and how sums are joined."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from inspect import signature
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from netdsl.recipe.schema import Recipe
from netdsl.training.distributed.shards import Norm, shard
from netdsl.training.errors import DataError

OLD_NAME = "broadcast_buffers"
"""What torch before 2.12 calls whether every forward pass shares the buffers."""

T = TypeVar("T")
R = TypeVar("R")


class ProcessGroup:
    """This process among those of a run. Alone, everything is the identity."""

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank = rank
        self.world = world

    @classmethod
    def from_environment(cls, device: torch.device) -> ProcessGroup:
        """Join the group that `torchrun` describes in the environment, or be alone."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not dist.is_initialized():
            on_gpu = device.type == "cuda"
            dist.init_process_group("nccl" if on_gpu else "gloo", device_id=device if on_gpu else None)
        return cls(dist.get_rank(), world)

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, count: int) -> tuple[int, int]:
        """The places of a step of `count` samples that are this process's: contiguous, none twice."""
        return count * self.rank // self.world, count * (self.rank + 1) // self.world

    def parts(self, count: int, micro: int) -> list[tuple[int, int]]:
        """This process's places in parts of at most `micro` (0: at once), nearly equal; as many as any process has."""
        first, last = self.share(count)
        most = -(-count // self.world)
        number = -(-most // (micro or most))
        ends = [first + (last - first) * i // number for i in range(number + 1)]
        return [(a, b) for a, b in pairwise(ends) if a < b]

    def wrap(self, module: nn.Module, recipe: Recipe, half: torch.dtype | None = None) -> nn.Module:
        """The module whose backward pass adds up gradients over the processes. `half`: what a forward pass computes
        in. Raises DataError."""
        if self.world == 1:
            return module
        device = next(module.parameters()).device
        if recipe.batch_norm == "sync" and any(isinstance(m, Norm) for m in module.modules()):
            if device.type == "cpu":
                raise DataError(
                    "not-supported", "torch has no `batch_norm = sync` on a CPU", "use `reduce_at_eval` or `local`"
                )
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        if recipe.shard == "fsdp":
            return shard(module, self.world, device, half)
        # Weights with one input channel have two layouts that are the same.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        ids = [device.index] if device.type == "cuda" else None
        parallel: Any = nn.parallel.DistributedDataParallel
        unshared = "forward_sync_buffers" if "forward_sync_buffers" in signature(parallel).parameters else OLD_NAME
        joined = parallel(module, device_ids=ids, **{unshared: False})
        return _exchanging(joined, recipe.exchange)

    @contextmanager
    def accumulating(self, module: Any, final: bool) -> Iterator[None]:
        """Around a part of a step: gradients are added up over the processes with the last one only."""
        sharded = self.world > 1 and hasattr(module, "set_requires_gradient_sync")
        if sharded:
            module.set_requires_gradient_sync(final)
        with nullcontext() if self.world == 1 or final or sharded else module.no_sync():
            yield

    def sum(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors added up over the processes."""
        if self.world > 1:
            for name in sorted(tensors):
                dist.all_reduce(tensors[name])
        return tensors

    def agree(self, buffers: Mapping[str, Tensor], averaged: Collection[str] = ()) -> None:
        """Give every process the first one's buffers, or for those `averaged` the mean over all, in place: what is
        evaluated is what is saved."""
        if self.world == 1:
            return
        for name in sorted(buffers):
            plain = buffers[name].contiguous()
            if name in averaged:
                dist.all_reduce(plain)
                plain /= self.world
            else:
                dist.broadcast(plain, 0)
            buffers[name].copy_(plain)

    def give(self, tensors: dict[str, Tensor] | None, like: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first process's tensors, or `like` where it has none, for all."""
        found = like if tensors is None else tensors
        if self.world == 1:
            return found
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        # Plain layouts: what is exchanged is memory, and not every process has the same one.
        if not self.first:
            found = {n: torch.empty(t.shape, dtype=t.dtype) for n, t in like.items()}
        found = {n: t.to(device).contiguous() for n, t in found.items()}
        for name in sorted(found):
            dist.broadcast(found[name], 0)
        return found

    def any(self, flag: bool) -> bool:
        """Whether any process says yes."""
        if self.world == 1:
            return flag
        vote = torch.tensor(float(flag))
        if dist.get_backend() == "nccl":
            vote = vote.cuda()
        dist.all_reduce(vote)
        return bool(vote.item())

    def tell(self, value: Any) -> Any:
        """The first process's value, a text or None, for all."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def close(self) -> None:
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


def _exchanging(joined: Any, numbers: str) -> nn.Module:
    """A module of several processes that adds up its gradients in some numbers. Raises DataError."""
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    if numbers == "bf16" and dist.get_backend() == "gloo":
        raise DataError("not-supported", "processes on a CPU cannot add up bf16", "`exchange = fp16`, or leave it out")
    hooks = {"bf16": default_hooks.bf16_compress_hook, "fp16": default_hooks.fp16_compress_hook}
    if numbers in hooks:
        joined.register_comm_hook(None, hooks[numbers])
    return cast(nn.Module, joined)


def divided(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """`work` for every item, each done by one of the processes and told to the others. Raises the first DataError of
    any process in all of them."""
    if not (dist.is_available() and dist.is_initialized()):
        return [work(item) for item in items]
    rank, world = dist.get_rank(), dist.get_world_size()
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, _attempted(items[rank::world], work))
    failed = next((p for p in parts if isinstance(p, DataError)), None)
    if failed is not None:
        raise failed
    return [parts[i % world][i // world] for i in range(len(items))]


def _attempted(items: Sequence[T], work: Callable[[T], R]) -> list[R] | DataError:
    try:
        return [work(item) for item in items]
    except DataError as error:
        return error
    except OSError as error:  # the others wait for an answer
        return DataError("unreadable-data", f"cannot read the data: {error.filename}: {error.strerror or error}")
