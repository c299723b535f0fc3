"""The values of a net's tensors from those of a file, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any, Literal

import numpy as np

from netdsl.weights.match import Match
from netdsl.weights.slots import Shape, Source
from netdsl.weights.tied import copies
from netdsl.weights.unwrap import WeightsError

Arrays = Mapping[str, Any]
Channels = Literal["sum", "mean", "repeat"]
CHANNELS: tuple[Channels, ...] = ("sum", "mean", "repeat")


def own_values(match: Match, state: Arrays, shapes: Mapping[str, Shape], channels: Channels = "sum") -> dict[str, Any]:
    """The net's tensors of a match by key, from a file's tensors. Raises WeightsError."""
    pairs = _one_by_one(match.own, match.foreign)
    if pairs:
        return {own.key: evaluate(foreign, state).reshape(shapes[own.key]) for own, foreign in pairs}
    value = evaluate(match.foreign, state)
    if not match.own.key:
        return {k: a.reshape(shapes[k]) for k, a in _undone(match.own, value.reshape(match.own.shape)).items()}
    shape = shapes[match.own.key]
    if match.change == "channels":
        value = with_channels(value, shape, channels)
    elif match.change == "positions":
        value = with_positions(value, shape, match.own.key)
    return {match.own.key: value.reshape(shape)}


def _one_by_one(own: Source, foreign: Source) -> list[tuple[Source, Source]]:
    """The tensors of two weights that are normalised alike, each with its own; none where they are not."""
    alike = own.how == foreign.how in ("weight norm", "spectral norm")
    pairs = list(zip(own.inputs, foreign.inputs, strict=False))
    return pairs if alike and all(prod(a.shape) == prod(b.shape) for a, b in pairs) else []


def evaluate(source: Source, state: Arrays) -> Any:
    """The value of a source."""
    if source.key:
        return np.asarray(state[source.key])
    values = [evaluate(s, state) for s in source.inputs]
    if source.how == "zeros":
        return np.zeros(source.shape, "float32")
    if source.how == "transposed":
        return values[0].transpose(_first_two(values[0].ndim))
    if source.how == "joined":
        return np.concatenate([np.asarray(v, values[0].dtype) for v in values])
    if source.how == "weight norm":
        return _weight_norm(*values)
    if source.how == "spectral norm":
        return _spectral_norm(*values)
    return values[0].reshape(source.shape)


def _first_two(rank: int) -> list[int]:
    """The order of axes that puts the last two first, in the other order: outputs, then inputs."""
    return [rank - 1, rank - 2, *range(rank - 2)]


def _weight_norm(direction: Any, length: Any) -> Any:
    """The weight of `torch.nn.utils.weight_norm`: a direction and a length for every slice."""
    v = np.asarray(direction, "float64")
    norm = _lengths(v, length.shape)
    each = np.asarray(length, "float64") / norm
    return (v * (each if each.ndim in (0, v.ndim) else each.reshape(-1))).astype(direction.dtype)


def _spectral_norm(weight: Any, u: Any, v: Any) -> Any:
    """The weight of `torch.nn.utils.spectral_norm` at inference: divided by the estimate of its largest singular
    value."""
    w = np.asarray(weight, "float64")
    axis = 0 if u.shape[0] == w.shape[0] and v.shape[0] * u.shape[0] == w.size else 1
    matrix = np.moveaxis(w, axis, 0).reshape(u.shape[0], -1)
    return (w / (np.asarray(u, "float64") @ matrix @ np.asarray(v, "float64"))).astype(weight.dtype)


def with_channels(weight: Any, shape: Shape, how: Channels) -> Any:
    """A convolution for another number of input channels.

    `sum` keeps the response to a grey image (as timm): one channel gets the sum, more get a share each. `mean` gives
    every channel the mean, `repeat` repeats what is there.
    """
    given, wanted = weight.shape[1], shape[1]
    w = np.asarray(weight, "float32")
    if how == "mean":
        return np.repeat(w.mean(axis=1, keepdims=True), wanted, axis=1)
    if how == "sum" and wanted == 1:
        return w.sum(axis=1, keepdims=True)
    repeated = np.concatenate([w] * -(-wanted // given), axis=1)[:, :wanted]
    return repeated * (given / wanted) if how == "sum" else repeated


def with_positions(table: Any, shape: Shape, key: str) -> Any:
    """A table of positions on a square grid for a grid of another size, by bicubic interpolation (as timm).

    Rows that no grid explains (a class token's) come first and stay as they are. Raises WeightsError.
    """
    old = np.asarray(table, "float32").reshape(-1, shape[-1])
    given, wanted = len(old), shape[-2]
    extra = next((k for k in (1, 0, 2) if _square(given - k) and _square(wanted - k)), None)
    if extra is None:
        raise WeightsError(
            "unfit-weights",
            f"`{key}` has {wanted} positions, the file {given}: not those of two square grids",
            "give the net the size that the weights are for, or leave the table out: `--exclude`",
        )
    return np.concatenate([old[:extra], _bicubic(old[extra:], isqrt(wanted - extra))]).reshape(shape)


def _square(n: int) -> bool:
    return n > 0 and isqrt(n) ** 2 == n


def _bicubic(table: Any, size: int) -> Any:
    import torch
    from torch.nn import functional

    side = isqrt(len(table))
    grid = torch.from_numpy(np.ascontiguousarray(table)).reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.permute(0, 2, 3, 1).reshape(size * size, -1).numpy()


def foreign_values(match: Match, own: Arrays) -> dict[str, Any]:
    """The file's tensors of a match by key, from the net's tensors: the inverse. Raises WeightsError."""
    if match.change is not None:
        raise WeightsError("no-way-back", f"`{match.own.keys[0]}` has another size in the file: there is no way back")
    pairs = _one_by_one(match.own, match.foreign)
    if pairs:
        return {b.key: evaluate(a, own).reshape(b.shape) for a, b in pairs}
    value = evaluate(match.own, own)
    return _undone(match.foreign, value.reshape(match.foreign.shape) if match.foreign.shape else value)


def _undone(source: Source, value: Any) -> dict[str, Any]:
    """The tensors of a file under which a source has this value."""
    if source.key:
        return {source.key: value.reshape(source.shape)}
    if source.how == "zeros":
        return {}
    if source.how == "joined":
        rows = np.cumsum([s.shape[0] for s in source.inputs])[:-1]
        parts = zip(source.inputs, np.split(value, rows), strict=True)
        return {k: a for s, part in parts for k, a in _undone(s, part).items()}
    if source.how == "weight norm":
        direction, length = source.inputs
        return {direction.key: value, length.key: _lengths(value, length.shape)}
    if source.how == "spectral norm":
        raise WeightsError("no-way-back", f"`{source.inputs[0].key}` is spectrally normalised: there is no way back")
    if source.how == "transposed":
        return _undone(source.inputs[0], value.transpose(np.argsort(_first_two(value.ndim))))
    return _undone(source.inputs[0], value.reshape(source.inputs[0].shape))


def _lengths(direction: Any, shape: Shape) -> Any:
    """The norm of every slice of a weight, `shape` saying over which axes."""
    axes = tuple(i for i, n in enumerate(shape) if n == 1) if len(shape) == direction.ndim else None
    if direction.shape and shape == direction.shape:
        axes = tuple(range(1, direction.ndim))
    return np.sqrt((direction * direction).sum(axis=axes, keepdims=True)).reshape(shape)


def reverse(matches: Sequence[Match], own: Arrays, foreign: Arrays) -> tuple[dict[str, Any], list[str]]:
    """A net's tensors under the keys and in the types of a file; and which tensors stay as they are in the file.

    Raises WeightsError.
    """
    lost = next((k for m in matches for k in m.own.keys if k not in own), None)
    if lost is not None:
        raise WeightsError(
            "unfit-weights",
            f"the weights to go back have no `{lost}`",
            "they must be those of this net, by its own keys",
        )
    state: dict[str, Any] = {}
    for each in matches:
        state |= foreign_values(each, own)
    state |= {copy: state[first] for copy, first in copies(foreign, state).items()}
    kept = [k for k in foreign if k not in state]
    whole = {k: np.asarray(state.get(k, foreign[k])).astype(foreign[k].dtype) for k in foreign}
    return {k: np.ascontiguousarray(a).reshape(a.shape) for k, a in whole.items()}, kept
