"""What a trained net says of new samples: classes with their probabilities, labels, numbers, masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.losses import Bce
from netdsl.training.errors import DataError
from netdsl.training.evaluate import first_output
from netdsl.training.opened import Trained
from netdsl.training.regularization import drop_paths, dropouts
from netdsl.training.samples import Sample, batches, samples
from netdsl.training.test_time import averaged

Prediction = dict[str, Any]


class Wanted(Struct, frozen=True):
    """What is asked of each sample. `top`: so many classes; `every`: the probabilities of all; `passes`: of Monte Carlo
    dropout; `batch`: samples at once; `masks`: the folder that masks are written to."""

    top: int = 1
    every: bool = False
    passes: int = 0
    invert: bool = False
    batch: int = 32
    masks: Path | None = None


def predict(trained: Trained, paths: Iterable[Path], wanted: Wanted = Wanted()) -> Iterator[Prediction]:  # noqa: B008
    """What a net says of the samples in some files, one after the other. Raises DataError."""
    written: set[str] = set()
    trained = replace(trained, forward=averaged(trained.forward, trained.recipe))
    for batch in batches(samples(trained, paths, wanted.invert), wanted.batch):
        inputs = tuple(torch.cat(x) for x in zip(*(s.inputs for s in batch), strict=True))
        outputs = monte_carlo(trained, inputs, wanted.passes) if wanted.passes else _once(trained, inputs)[None]
        for i, sample in enumerate(batch):
            found = {"sample": sample.name, **_said(trained, sample, outputs[:, i], wanted)}
            _check_new(found, written)
            yield found


def _check_new(found: Prediction, written: set[str]) -> None:
    """Raise DataError where a mask would take the place of another."""
    if "mask" not in found:
        return
    if found["mask"] in written:
        message = f"two samples have the mask {found['mask']}: the second is {found['sample']}"
        raise DataError("unpaired-samples", message, "predict them into different folders")
    written.add(found["mask"])


@torch.no_grad()
def _once(trained: Trained, inputs: tuple[Tensor, ...]) -> Tensor:
    """The main output of a batch: probabilities of classes and labels, numbers as they are, [B, ...]."""
    output = first_output(trained.forward(*inputs)).float()
    if trained.task == "tokens":
        output = output[:, -1]  # of the token that comes next
    if is_sigmoid(trained):
        return output.sigmoid()
    return output if is_numbers(trained) else output.softmax(1)


def is_numbers(trained: Trained) -> bool:
    return trained.task == "numbers" or trained.recipe.loss.task in ("numbers", "pairs")


def is_sigmoid(trained: Trained) -> bool:
    """Whether each of the outputs is a yes or no of its own."""
    return trained.task == "labels" or isinstance(trained.recipe.loss, Bce)


@torch.no_grad()
def monte_carlo(trained: Trained, inputs: tuple[Tensor, ...], passes: int) -> Tensor:
    """The outputs of several passes with dropout on, [passes, B, ...]; normalisation stays as at inference."""
    assert trained.module is not None
    noisy = [*dropouts(trained.module), *drop_paths(trained.module)]
    if not noisy:
        raise DataError("unfit-net", "this net has no dropout to draw from")
    torch.manual_seed(trained.recipe.seed)
    try:
        for layer in noisy:
            layer.train()
        return torch.stack([_once(trained, inputs) for _ in range(passes)])
    finally:
        trained.module.eval()


def _said(trained: Trained, sample: Sample, outputs: Tensor, wanted: Wanted) -> Prediction:
    """One sample's prediction from its outputs, [passes, ...]."""
    mean, deviation = outputs.mean(0), outputs.std(0, correction=0)
    if is_numbers(trained):
        return {"values": _named(target_names(trained, mean.numel()), mean.flatten())}
    if trained.task == "labels":
        return {"labels": _named(class_names(trained, len(mean)), mean)}
    if mean.ndim == 3:
        return _mask(trained, sample, mean, wanted)
    if mean.ndim != 1:
        hint = "`predict` shows classes, labels, numbers and masks"
        raise DataError("unfit-net", f"the net gives {list(mean.shape)} for a sample", hint)
    names, guesses = class_names(trained, len(mean)), []
    for i in mean.topk(min(wanted.top, len(mean))).indices.tolist():
        guess = {"class": names[i], "probability": float(mean[i])}
        guesses.append(guess | ({"deviation": float(deviation[i])} if wanted.passes else {}))
    return {"guesses": guesses} | ({"probabilities": _named(names, mean)} if wanted.every else {})


def _named(names: list[str], values: Tensor) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def class_names(trained: Trained, count: int) -> list[str]:
    """The names of the classes or labels; numbers where there are none."""
    return list(trained.classes) if len(trained.classes) == count else list(map(str, range(count)))


def target_names(trained: Trained, count: int) -> list[str]:
    """What regression targets are called: by their columns in a table."""
    names = trained.targets
    return list(names) if len(names) == count else ["value"] if count == 1 else [f"value_{i}" for i in range(count)]


def _mask(trained: Trained, sample: Sample, chances: Tensor, wanted: Wanted) -> Prediction:
    """The share of each class in a mask, and the mask itself as a PNG file of class numbers."""
    guess = chances.argmax(0).to(torch.uint8)
    counts = torch.bincount(guess.flatten().long(), minlength=len(chances)).double() / guess.numel()
    names = class_names(trained, len(chances))
    found: Prediction = {"shares": _named(names, counts)}
    if wanted.masks is not None:
        file = wanted.masks / f"{_stem(sample.name)}.png"
        write_mask(file, guess.numpy())
        found["mask"] = str(file)
    return found


def _stem(name: str) -> str:
    path, _, row = name.rpartition(":")
    return f"{Path(path).stem}-{row}" if path and row.isdigit() else Path(name).stem


def write_mask(file: Path, classes: np.ndarray) -> None:
    """A PNG file whose pixels are class numbers, shown in colours of their own (the palette of PASCAL VOC)."""
    from PIL import Image

    image = Image.fromarray(classes, mode="P")
    image.putpalette(palette())
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
