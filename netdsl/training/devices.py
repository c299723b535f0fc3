"""The device of a run, and the numbers that it computes with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor

from netdsl.recipe.schema import Recipe
from netdsl.training.errors import DataError


def choose_device(name: str | None) -> torch.device:
    """The device asked for, or the GPU if there is one: each process of this machine has a GPU of its own.

    Raises DataError for a device that is not there.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DataError(
            "no-such-device", f"there is no kind of device called `{name}`", "`cpu`, `cuda`, or `cuda:1`"
        ) from None
    if device.type == "cuda":
        device = torch.device("cuda", _index(device))
        torch.cuda.set_device(device)
    return device


def _index(device: torch.device) -> int:
    """The number of the GPU of this process. Raises DataError where it has none."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    rank, world = (int(os.environ.get(n, d)) for n, d in (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")))
    have = f"torch sees {count or 'no'} GPU{'s' * (count != 1)} here"
    if not count:
        raise DataError("no-such-device", have, "`--device cpu` computes without one")
    if world > count:
        raise DataError(
            "no-such-device", f"{world} processes of this machine need a GPU each, and {have}", f"`--devices {count}`"
        )
    if world > 1 and device.index is not None:
        hint = "`--device cuda`, and CUDA_VISIBLE_DEVICES for which they are"
        raise DataError("no-such-device", f"{world} processes cannot all compute on `{device}`", hint)
    index = rank if device.index is None else device.index
    if index >= count:
        raise DataError("no-such-device", f"there is no `cuda:{index}`: {have}")
    return index


def sent(tensors: Iterable[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """Tensors on a device. A GPU copies them by a stream of its own, from page-locked memory, while it computes what it
    has been given before; only what comes after waits for them.

    A copy from pageable memory, or in the stream that computes, would begin when everything before is computed.
    """
    given = tuple(tensors)
    if device.type != "cuda":
        return tuple(x.to(device) for x in given)
    copying, computing = _copying(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        found = tuple(x if x.device == device else locked(x).to(device, non_blocking=True) for x in given)
    computing.wait_stream(copying)
    for x, before in zip(found, given, strict=True):
        if x is not before:
            x.record_stream(computing)  # its memory is of the stream that copied, and is used by the other
    return found


def locked(x: Tensor) -> Tensor:
    """A tensor of the host in page-locked memory, from which a GPU copies by itself."""
    return x if x.is_pinned() else x.pin_memory()


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """The stream in which a GPU copies."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def half_precision(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """The type to which the forward pass is cast, or None. A CPU computes in fp32: half precision would be many times
    slower."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision) if device.type != "cpu" else None


def autocasting(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    """Around a forward pass: it is cast to `dtype`, where there is one."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def channels_last(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Inputs with those of images laid out as a channels-last net wants them."""
    return tuple(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs)
