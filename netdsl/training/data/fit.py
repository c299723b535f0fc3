"""Data made to fit a net's input: size, channels, classes; and the statistics of the training split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.metrics import is_yes_or_no
from netdsl.recipe.schema import validation_samples
from netdsl.recipe.standardization import Channel, Fixed
from netdsl.training.data.constant import constant, is_constant, made_of
from netdsl.training.data.dataset import DataError, DataSet, Split, as_floats
from netdsl.training.rng import KeyedRng, permutation

Size = int | str
LARGEST = 20_000
"""Images that statistics are taken from where they are read from files."""


def fit(data: DataSet, shape: tuple[Size, ...], outputs: int | None, argument: str | None = None) -> DataSet:
    """The data set with images of `shape` (named sizes take the data's own), checked against the net's outputs.

    Raises DataError where it cannot fit.
    """
    notes = list(data.notes)
    check_classes(data, outputs, argument)
    have = tuple(data.train.example()[0].shape[1:])
    if not data.images:
        check_shape(data.name, have, shape)
        return data
    if len(shape) == 1:
        return _flattened(data, have, shape[0])
    if len(shape) != 3:
        raise DataError(
            "unfit-input", f"`{data.name}` has images, the net takes {list(shape)}", "declare `input image [1, 28, 28]`"
        )
    channels, size = shape[0], tuple(w if isinstance(w, int) else h for w, h in zip(shape[1:], have[1:], strict=True))
    if channels != have[0] and have[0] != 1:
        last = have[2] in (1, 3) and have[0] not in (1, 3)
        turn = "channels come first: `x.transpose(0, 3, 1, 2)`"
        hint = turn if last else f"declare `input image [{have[0]}, ...]`"
        raise DataError("unfit-input", f"`{data.name}` has {have[0]} channels, the net takes {channels}", hint)
    if channels != have[0]:
        notes.append(f"grey images repeated on {channels} channels")
    if size != have[1:]:
        notes.append(f"images resized from {have[1]} x {have[2]} to {size[0]} x {size[1]}")
    splits = [_resized(s, int(channels), size, data.task) for s in (data.train, data.test)]
    return replace(data, train=splits[0], test=splits[1], images=True, notes=tuple(notes))


def check_shape(name: str, have: tuple[int, ...], shape: Sequence[Any]) -> None:
    """Raise DataError where a sample that is no image has another shape than the net's input."""
    same = all(not isinstance(w, int) or w == h for w, h in zip(shape, have, strict=False))
    if len(have) != len(shape) or not same:
        hint = "images are [N, channels, height, width]" if len(shape) == 3 else None
        takes = ", ".join(map(str, shape))
        raise DataError("unfit-input", f"the net takes [{takes}], and a sample of `{name}` is {list(have)}", hint)


def check_classes(data: DataSet, outputs: int | None, argument: str | None = None) -> None:
    """Raise DataError where the net has another number of outputs than the data has classes. `argument`: the net's own
    that says how many, where it has one."""
    count = len(data.classes)
    if is_yes_or_no(data.task, count, outputs):
        return
    if outputs is not None and count == 1 and outputs > 1:
        message = f"every target of `{data.name}` is the class {data.classes[0]}: there is nothing to distinguish"
        raise DataError("wrong-count", message, "look at the column, array or folder of the targets")
    if outputs is not None and count and outputs != count:
        bind = f"bind the net's argument: `-p {argument}={count}`"
        hint = bind if argument else f"let the net end with {count} outputs"
        raise DataError("wrong-count", f"the net has {outputs} outputs, `{data.name}` has {count} classes", hint)


def _flattened(data: DataSet, have: tuple[int, ...], features: Size) -> DataSet:
    count = have[0] * have[1] * have[2]
    if features != count:
        message = f"the net takes {features} numbers, an image of `{data.name}` has {count}"
        raise DataError("unfit-input", message, f"declare `input pixels [{count}]`, or an image input")
    splits = [replace(s, inputs=(as_floats(s.inputs[0]).flatten(1),)) for s in (data.train, data.test)]
    return replace(data, train=splits[0], test=splits[1], images=False, notes=(*data.notes, "images flattened"))


def _resized(split: Split, channels: int, size: tuple[int, ...], task: str) -> Split:
    if split.read is not None:
        return replace(split, read=partial(_read_resized, split.read, channels, size))
    have, target = split.inputs[0].shape[1:], split.target
    inputs = (_kept_images(x, channels, size) if x.shape[1:] == have else x for x in split.inputs)
    if task == "mask" and tuple(target.shape[1:]) != size:
        target = functional.interpolate(target[:, None].to(torch.float32), size=size, mode="nearest-exact")[:, 0].to(
            target.dtype
        )
    return replace(split, inputs=tuple(inputs), target=target)


def _read_resized(
    read: Callable[[Tensor], tuple[Tensor, ...]], channels: int, size: tuple[int, ...], index: Tensor
) -> tuple[Tensor, ...]:
    first, *others = read(index)
    return (_images(first, channels, size), *others)


def _kept_images(images: Tensor, channels: int, size: tuple[int, ...]) -> Tensor:
    """Images at another size; of constant ones constant."""
    made = made_of(images)
    if (channels, size) not in made:
        resized = _images(images, channels, size)
        made[channels, size] = constant(resized) if is_constant(images) else resized
    found: Tensor = made[channels, size]
    return found


def _images(images: Tensor, channels: int, size: tuple[int, ...]) -> Tensor:
    images = resize(images, size)
    return images.expand(-1, channels, -1, -1).contiguous()


def resize(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Images at another size, antialiased; uint8 stays uint8."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    floats = functional.interpolate(
        as_floats(images), size=tuple(size), mode="bilinear", antialias=True, align_corners=False
    )
    return (floats * 255).round().to(torch.uint8) if images.dtype == torch.uint8 else floats


def held_out(data: DataSet, fraction: float, seed: int) -> tuple[Split, Split]:
    """The training split and the validation part taken from it (empty for 0); the same for every run of a seed.

    Raises DataError where nothing would be left, or the data have a validation split of their own.
    """
    if data.validation is not None:
        if fraction:
            message = (
                f"`validation` would divide the training split, and `{data.name}` has one of its own to validate on"
            )
            raise DataError("conflicting-fields", message, "leave out `validation`")
        return data.train, data.validation
    if not fraction:
        return data.train, data.train.subset(torch.arange(0))
    count = validation_samples(fraction, len(data.train))
    if count >= len(data.train):
        raise DataError(
            "no-samples", f"`validation = {fraction:g}` leaves none of {len(data.train)} samples to train on"
        )
    return data.train.parted(count, seed)


def with_noise(split: Split, fraction: float, classes: int, seed: int) -> Split:
    """The split with that fraction of its labels replaced by uniformly random classes (Zhang et al. 2017)."""
    if not fraction:
        return split
    count = round(fraction * len(split))
    which = permutation(seed, len(split))[:count]
    target = split.target.clone()
    target[which] = KeyedRng(seed, which).integers("label", classes)
    return replace(split, target=target)


def statistics(
    split: Split, component: Any, workers: int | str = 0
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation per channel over the training split, to six digits; None for no such numbers.

    A channel that hardly changes keeps its scale, so that nothing explodes: in pixels by a quarter of a level, in other
    numbers by no more than rounding does, whatever their unit.
    """
    if isinstance(component, Fixed):
        return component.mean, component.std
    if not isinstance(component, Channel) or not len(split) or not as_floats(split.example()[0]).is_floating_point():
        return None
    made = made_of(split.inputs[0]) if split.inputs else {}
    if "statistics" not in made:
        made["statistics"] = _statistics(split, workers)
    found: tuple[tuple[float, ...], tuple[float, ...]] = made["statistics"]
    return found


def _statistics(split: Split, workers: int | str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for (images, *_), _ in split.batches(measured(split), workers):
        x = images.to(torch.float64, copy=True).transpose(0, 1).flatten(1)
        count += x.shape[1]
        total, squares = total + x.sum(1), squares + x.square_().sum(1)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    least = torch.full_like(std, 1e-3) if split.example()[0].dtype == torch.uint8 else 1e-6 * mean.abs()
    std = torch.where(std <= least, torch.ones_like(std), std)
    places = [6 if s >= 1e-3 else 5 - math.floor(math.log10(s)) for s in std.tolist()]
    return _rounded(mean, places), _rounded(std, places)


def _rounded(values: Tensor, places: Sequence[int]) -> tuple[float, ...]:
    """Numbers as they stand in the net's source, each to so many decimal places."""
    return tuple(round(v, n) for v, n in zip(values.tolist(), places, strict=True))


def measured(split: Split) -> tuple[Tensor, ...]:
    """The samples that statistics are taken from, in parts: all, or some of those that must be read from files."""
    few = split.read is not None and len(split) > LARGEST
    places = permutation(0, len(split))[:LARGEST] if few else torch.arange(len(split))
    return split.pieces(places.to(split.target.device))
