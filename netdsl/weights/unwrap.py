"""Locates the weights in a checkpoint: a state dict may be wrapped in any key, beside an optimizer and a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netdsl.diagnostics.diagnostic import UserError

WRAPPERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights", "state_dict_ema",
    "model_ema", "ema", "ema_state_dict", "params_ema",
)  # fmt: skip
"""Under which keys checkpoints keep the weights, the usual ones first."""

PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every key."""

NOT_WEIGHTS = ("optim", "scaler", "sched", "exp_avg", "momentum")
"""Parts of names of what lies beside the weights."""

DEEPEST = 4


class WeightsError(UserError):
    """Weights that cannot be read or do not belong to the net."""


def is_tensor(value: Any) -> bool:
    """Whether a value of a checkpoint is a tensor or an array; one of ragged rows, which has no shape, is none."""
    if getattr(value, "is_nested", False):
        return False
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__getitem__")


def inner(path: str, loaded: Any, inside: str | None = None) -> tuple[Mapping[str, Any], str]:
    """The state dict in what a file holds, and under which key. Raises WeightsError where several could be meant."""
    if not isinstance(loaded, Mapping):
        kind = "a list of tensors without names" if isinstance(loaded, list | tuple) else f"a {type(loaded).__name__}"
        raise WeightsError("unreadable-weights", f"{path} holds {kind}, not a state dict", "save `model.state_dict()`")
    found = dict(_candidates(loaded, "", 0))
    if not found:
        raise WeightsError("unreadable-weights", f"{path} holds no tensors under names", "save `model.state_dict()`")
    if inside is not None and inside not in found and not _is_prefix(inside, found):
        listed = ", ".join(f"`{w}`" for w in found if w) or "none"
        raise WeightsError(
            "unclear-weights", f"{path} has no weights under `{inside}`", f"keys that hold weights: {listed}"
        )
    if inside in found:
        return found[inside], inside
    where = _only(path, found)
    return found[where], where if inside is None else ""


def beside(loaded: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The keys of other sets as large as the one under a key, such as an average of the weights."""
    return tuple(w for w in _large(dict(_candidates(loaded, "", 0))) if w and w != where)


def _is_prefix(name: str, found: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(str(k).startswith(f"{name}.") for state in found.values() for k in state)


def _candidates(value: Mapping[Any, Any], where: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping of names to tensors, but for those of optimizers, and its key."""
    if any(isinstance(k, str) and is_tensor(v) for k, v in value.items()):
        yield where, value
    for key, inside in value.items():
        if isinstance(inside, Mapping) and depth < DEEPEST and not any(n in str(key).lower() for n in NOT_WEIGHTS):
            yield from _candidates(inside, f"{where}.{key}" if where else str(key), depth + 1)


def _large(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The keys of the sets that could be meant: the largest, and those of more than half its tensors."""
    sizes = {where: sum(map(is_tensor, state.values())) for where, state in found.items()}
    return [w for w, n in sizes.items() if 2 * n > max(sizes.values())]


def _only(path: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The key of the one state dict that is meant: the only one, one of the usual keys, the largest by far."""
    usual = next((name for name in WRAPPERS if name in found), None)
    large = _large(found)
    if usual is None and len(large) > 1:
        listed = ", ".join(f"`{w}` ({sum(map(is_tensor, state.values()))} tensors)" for w, state in found.items())
        raise WeightsError(
            "unclear-weights",
            f"{path} holds several sets of weights: {listed}",
            "say which is meant: `--inside KEY` (`inside=` in a recipe)",
        )
    return usual if usual is not None else large[0]


def tensors_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a state dict as arrays, without what wrappers put before all keys. Raises WeightsError."""
    tensors = {str(k): v for k, v in state.items() if is_tensor(v)}
    empty = next((k for k, v in tensors.items() if getattr(v, "is_meta", False)), None)
    if empty is not None:
        raise WeightsError("unreadable-weights", f"`{empty}` has no numbers: it was saved from the device `meta`")
    arrays = {k: _as_array(k, v) for k, v in tensors.items()}
    for prefix in (*PREFIXES, *PREFIXES):
        if arrays and all(k.startswith(prefix) for k in arrays):
            arrays = {k.removeprefix(prefix): a for k, a in arrays.items()}
    return arrays


NARROW = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
"""Types that NumPy has from `ml_dtypes`, and those of as many bits."""


def _as_array(name: str, value: Any) -> Any:
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    tensor = tensor.dequantize() if tensor.is_quantized else tensor.to_dense().resolve_conj()
    dtype = str(tensor.dtype).removeprefix("torch.")
    try:
        return _narrow(tensor, dtype) if dtype in NARROW else tensor.numpy()
    except TypeError:
        raise WeightsError("unreadable-weights", f"`{name}` is of type {dtype}, which is not read") from None


def _narrow(tensor: Any, dtype: str) -> Any:
    import ml_dtypes
    import torch

    return tensor.contiguous().view(getattr(torch, NARROW[dtype])).numpy().view(getattr(ml_dtypes, dtype))
