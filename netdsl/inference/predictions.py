"""Predictions of a trained net for new samples: classes with their probabilities, labels, numbers, masks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.inference.errors import DataError
from netdsl.inference.samples import Sample, batches, samples, takes_graphs
from netdsl.inference.test_time import averaged
from netdsl.inference.trained import Trained
from netdsl.recipe.losses import Bce
from netdsl.recipe.metrics import LABELS, NODES, is_yes_or_no, label_names
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import MaskFolder

Prediction = dict[str, Any]


class Wanted(Struct, frozen=True):
    """The options of a prediction. `top`: so many classes; `every`: the probabilities of all; `deviation`: of a net
    that draws; `batch`: samples at once; `masks`: the folder that masks are written to."""

    top: int = 1
    every: bool = False
    deviation: bool = False
    invert: bool = False
    batch: int = 32
    masks: Path | None = None


def predict(trained: Trained, paths: Iterable[Path], wanted: Wanted = Wanted()) -> Iterator[Prediction]:  # noqa: B008
    """Predict the samples of some files, one after the other. Raises DataError."""
    written: set[Path] = set()
    compute = trained.compute if wanted.deviation else averaged(trained.compute, trained.recipe)
    for batch in batches(samples(trained, paths, wanted.invert), wanted.batch):
        inputs = (np.concatenate(x) for x in zip(*(s.inputs for s in batch), strict=True))
        computed = np.asarray(compute(*inputs))
        of_nodes = _gives_nodes(trained, computed)
        if takes_graphs(trained) and not of_nodes:  # [..., B, 1, C]: each sample is a batch of one graph
            computed = computed.squeeze(-2)
        outputs = _activated(trained, computed, wanted, -1 if of_nodes else 2)
        for i, sample in enumerate(batch):
            if of_nodes:
                yield from _of_nodes(trained, sample, outputs[:, i], wanted)
                continue
            yield {"sample": sample.name, **_said(trained, outputs[:, i], wanted, _mask_file(sample, wanted, written))}


def _gives_nodes(trained: Trained, computed: np.ndarray) -> bool:
    """Whether outputs [..., C] are those of nodes, or of the places of a sequence. A file that stands alone need not
    say its task."""
    return trained.task in (*NODES, "tags") or (not trained.task and takes_graphs(trained) and computed.shape[-2] != 1)


def _of_nodes(trained: Trained, sample: Sample, outputs: np.ndarray, wanted: Wanted) -> Iterator[Prediction]:
    """Predict each node of a graph, or place of a sequence, counted from 1, from its outputs [passes, nodes, C]."""
    for node in range(outputs.shape[1]):
        yield {"sample": f"{sample.name}:{node + 1}", **_said(trained, outputs[:, node], wanted, None)}


def _mask_file(sample: Sample, wanted: Wanted, written: set[Path]) -> Path | None:
    """The file for a sample's mask, where masks are written. Raises DataError where it would replace another's, or
    the image that it is of."""
    if wanted.masks is None:
        return None
    file = wanted.masks / f"{_stem(sample.name)}.png"
    if file in written:
        message = f"two samples have the mask {file}: the second is {sample.name}"
        raise DataError("unpaired-samples", message, "predict them into different folders")
    if file.exists() and os.path.realpath(file) == os.path.realpath(sample.name):
        raise DataError("cannot-write", f"the mask of {sample.name} would be written over it", "name another folder")
    written.add(file)
    return file


def _activated(trained: Trained, output: np.ndarray, wanted: Wanted, axis: int) -> np.ndarray:
    """The outputs of a batch, [passes, B, ...]: probabilities of classes, along an axis, and of labels; numbers as they
    are."""
    output = np.asarray(output, dtype=np.float32)
    output = output if wanted.deviation else output[None]
    if trained.task == "tokens":
        output = output[:, :, -1]  # of the token that comes next
    if is_sigmoid(trained):
        chances: np.ndarray = np.exp(-np.logaddexp(np.float32(0), -output))
        return chances
    return output if is_numbers(trained) else softmax(output, axis)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Exponentials along an axis, divided by their sum."""
    powers = np.exp(x - x.max(axis, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis, keepdims=True)
    return found


def is_numbers(trained: Trained) -> bool:
    return trained.task == "numbers" or trained.recipe.loss.task in ("numbers", "pairs")


def is_sigmoid(trained: Trained) -> bool:
    """Whether each of the outputs is a yes or no of its own."""
    return trained.task in LABELS or isinstance(trained.recipe.loss, Bce)


def _said(trained: Trained, outputs: np.ndarray, wanted: Wanted, file: Path | None) -> Prediction:
    """One sample's prediction from its outputs, [passes, ...]; a mask is written to the file."""
    two = is_yes_or_no(trained.task, len(trained.classes), outputs.shape[1] if outputs.ndim == 2 else None)
    if two:
        outputs = np.concatenate((1 - outputs, outputs), 1)
    mean, deviation = outputs.mean(0), outputs.std(0)
    if is_numbers(trained):
        return {"values": _named(target_names(trained, mean.size), mean.ravel())}
    if trained.task in LABELS and not two:
        return {"labels": _named(class_names(trained, len(mean)), mean)}
    if mean.ndim == 3:
        return _mask(trained, mean, file)
    if mean.ndim != 1:
        hint = "`predict` shows classes, labels, numbers and masks"
        raise DataError("unfit-net", f"the net gives {list(mean.shape)} for a sample", hint)
    names, guesses = class_names(trained, len(mean)), []
    for i in np.argsort(-mean, kind="stable")[: wanted.top].tolist():
        guess = {"class": names[i], "probability": float(mean[i])}
        guesses.append(guess | ({"deviation": float(deviation[i])} if wanted.deviation else {}))
    return {"guesses": guesses} | ({"probabilities": _named(names, mean)} if wanted.every else {})


def _named(names: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def class_names(trained: Trained, count: int) -> list[str]:
    """The names of the classes or labels (of a table: of the columns that hold them); numbers where there are none."""
    own = label_names(trained.task, trained.classes, count)
    named = next((names for names in (own, trained.targets) if len(names) == count), None)
    return list(map(str, range(count))) if named is None else list(named)


def target_names(trained: Trained, count: int) -> list[str]:
    """Names for regression targets: those of their columns in a table."""
    return value_names(trained.targets, count)


def value_names(names: tuple[str, ...], count: int) -> list[str]:
    """Names for `count` numbers: their own, where each has one."""
    return list(names) if len(names) == count else ["value"] if count == 1 else [f"value_{i}" for i in range(count)]


def _mask(trained: Trained, chances: np.ndarray, file: Path | None) -> Prediction:
    """The share of each class in a mask, and the mask itself as a PNG file of class numbers."""
    guess = chances.argmax(0).astype(np.uint8)
    counts = np.bincount(guess.ravel(), minlength=len(chances)) / guess.size
    names = class_names(trained, len(chances))
    found: Prediction = {"shares": _named(names, counts)}
    if file is not None:
        write_mask(file, guess, class_colors(trained.recipe))
        found["mask"] = str(file)
    return found


def _stem(name: str) -> str:
    path, _, row = name.rpartition(":")
    return f"{Path(path).stem}-{row}" if path and row.isdigit() else Path(name).stem


def class_colors(recipe: Recipe) -> list[int]:
    """The colours of classes, three numbers each: those of the masks that a run was trained on, else those of PASCAL
    VOC."""
    own = recipe.data.colors if isinstance(recipe.data, MaskFolder) else ()
    named = [int(color[at : at + 2], 16) for color in own for at in (1, 3, 5)]
    return named + palette()[len(named) :]


def write_mask(file: Path, classes: np.ndarray, colors: list[int]) -> None:
    """A PNG file whose pixels are class numbers, shown in their colours (three numbers each)."""
    from PIL import Image

    image = Image.fromarray(classes, mode="P")
    image.putpalette(colors)
    image.save(file)


def palette() -> list[int]:
    """The colours of PASCAL VOC: bits of a class number, from the highest bits of each channel down."""
    colours = []
    for number in range(256):
        channels = [0, 0, 0]
        for bit in range(8):
            for c in range(3):
                channels[c] |= (number >> (3 * bit + c) & 1) << (7 - bit)
        colours += channels
    return colours
