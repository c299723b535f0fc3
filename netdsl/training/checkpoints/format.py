"""Checkpoints: one safetensors file with the weights, their average, the optimizer's tensors and, as JSON, where it
stands.

Written to a temporary file, flushed, and renamed: a reader sees the old one or the new one. Nothing random is stored,
because everything random is a function of (seed, step).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from netdsl.backends.torch.module import check_state
from netdsl.diagnostics.regular import check_regular
from netdsl.training.checkpoints.stream import CHECKSUM, is_damaged, write_tensors
from netdsl.training.distributed.shards import assign, is_sharded, placed
from netdsl.training.errors import CheckpointError, WriteError

Tensors = Mapping[str, Tensor]


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, in a folder that is made where it is missing.

    Raises CheckpointError where it cannot be written; what was there before stays.
    """
    with open_atomic(path) as file:
        file.write(data)


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that replaces what was there when all is written. Raises CheckpointError, as above."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writing(path, temporary):
        path.parent.mkdir(exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def _writing(path: Path, temporary: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kept = "; the file that was there is unharmed" if path.exists() else ""
        raise WriteError("cannot-write", f"cannot write {path}: {error.strerror or error}{kept}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, at once; a copy where the file system has no links. Raises CheckpointError."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _writing(target, temporary):
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            with open(source, "rb") as file, open_atomic(target) as copy:
                shutil.copyfileobj(file, copy)
            return None
        os.replace(temporary, target)
    return None


def save_tensors(path: Path, tensors: Tensors, about: Mapping[str, Any] | None = None) -> None:
    """Write tensors by name, with JSON values in the header."""
    notes = {n: msgspec.json.encode(v).decode() for n, v in (about or {}).items()}
    with open_atomic(path) as file:
        write_tensors(file, tensors, notes)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file by name, and its JSON values. Raises CheckpointError for what is damaged."""
    try:
        check_regular(path)
        with open(path, "rb") as plain:
            if is_damaged(plain):
                raise CheckpointError(
                    "damaged-checkpoint", f"{path} is damaged: its bytes are not those that were written"
                )
        with safe_open(path, framework="pt") as file:
            notes = {n: msgspec.json.decode(v) for n, v in (file.metadata() or {}).items() if n != CHECKSUM}
            return {n: file.get_tensor(n) for n in file.keys()}, notes  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, msgspec.DecodeError) as error:
        raise CheckpointError("damaged-checkpoint", f"cannot read {path}: {error}") from None


def optimizer_tensors(module: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """The optimizers' state by `parameter/name`; numbers become tensors."""
    found: dict[str, Tensor] = {}
    for path, parameter in module.named_parameters():
        for optimizer in optimizers:
            for name, value in optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
                    found[f"{path}/{name}"] = tensor
    return found


def restore_optimizers(
    module: nn.Module, optimizers: Sequence[Optimizer], tensors: Tensors, by_place: bool = False
) -> None:
    """Put back what `optimizer_tensors` gave. `by_place`: keys of netdsl 0.2, `optimizer.place.name`, are of
    the parameters that stand there today. Raises CheckpointError for the state of other parameters."""
    parameters, owners = dict(module.named_parameters()), dict(_owned(optimizers))
    listed = list(owners) if by_place else []
    for key, tensor in tensors.items():
        path, name = key.rpartition("/")[::2]
        parameter = _by_place(listed, key) if not path else parameters.get(path)
        optimizer = None if parameter is None else owners.get(parameter)
        if parameter is None or optimizer is None or tensor.numel() not in (1, parameter.numel()):
            raise CheckpointError("unfit-weights", f"the optimizer's state `{key}` is of no parameter that is trained")
        name = name.rpartition(".")[2]
        beside = name != "step" or bool(tensor.ndim) or _on_device(optimizer)
        optimizer.state[parameter][name] = _restored(tensor, parameter, beside)


def _owned(optimizers: Sequence[Optimizer]) -> Iterator[tuple[Tensor, Optimizer]]:
    """The parameters that are trained, in the order of the optimizers' groups, each with its optimizer."""
    for optimizer in optimizers:
        yield from ((p, optimizer) for g in optimizer.param_groups for p in g["params"])


def _restored(tensor: Tensor, parameter: Tensor, beside: bool) -> Any:
    """A part of a parameter's state as an optimizer holds it: `beside` the parameter, or on the host."""
    if tensor.dtype == torch.float64 and not tensor.ndim:
        return tensor.item()
    device = parameter.device if beside else torch.device("cpu")
    own = tensor.shape == parameter.shape and device == parameter.device
    value = placed(tensor, parameter if own else torch.empty(0, device=device))
    # Fused kernels walk through memory: what belongs to a weight must lie in memory as the weight does.
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(value) if own else value.clone()


def _by_place(listed: Sequence[Tensor], key: str) -> Tensor | None:
    """The parameter of a key `optimizer.place.name`. Raises CheckpointError where none is listed: places are others."""
    if not listed:
        message = "netdsl 0.2 wrote the optimizer's state by place, and weights stand in other places now"
        hint = "begin a new run with its weights: `init = weights(...)`"
        raise CheckpointError("unfit-weights", message, hint)
    number, place, _ = key.split(".", 2)
    return listed[int(place)] if number == "0" and int(place) < len(listed) else None


def _on_device(optimizer: Optimizer) -> bool:
    """Whether the step counter lives beside the parameters."""
    return any(g.get("fused") or g.get("capturable") for g in optimizer.param_groups)


def prefixed(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{prefix}/{n}": t for n, t in tensors.items()}


def part(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {n.removeprefix(f"{prefix}/"): t for n, t in tensors.items() if n.startswith(f"{prefix}/")}


def load_state(module: nn.Module, tensors: Tensors) -> None:
    """Load weights, also into a module in shards. Raises UserError naming what is missing or has another shape."""
    check_state(module, tensors)
    if is_sharded(module):
        assign(module.state_dict(), tensors)
    else:
        module.load_state_dict(dict(tensors))
