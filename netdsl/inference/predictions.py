"""Predictions of a trained net for new samples: classes with their probabilities, labels, numbers, masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.diagnostics.diagnostic import first_line
from netdsl.inference.errors import DataError
from netdsl.inference.masks import MaskFile, MaskFiles, write_mask
from netdsl.inference.samples import batches, samples, takes_graphs
from netdsl.inference.test_time import Compute, averaged
from netdsl.inference.trained import Trained
from netdsl.recipe.losses import Bce
from netdsl.recipe.metrics import LABELS, NODES, NUMBERS, is_yes_or_no, label_names

Prediction = dict[str, Any]


class Wanted(Struct, frozen=True):
    """The options of a prediction. `top`: so many classes; `every`: the probabilities of all; `deviation`: of a net
    that draws; `batch`: samples at once; `masks`: the folder that masks are written to; `net_size`: as
    large as the net gives them, not as their images; `tell` hears of values that are taken for others."""

    top: int = 1
    every: bool = False
    deviation: bool = False
    invert: bool = False
    batch: int = 32
    masks: Path | None = None
    net_size: bool = False
    tell: Callable[[str], object] = str


def predict(trained: Trained, paths: Iterable[Path], wanted: Wanted = Wanted()) -> Iterator[Prediction]:  # noqa: B008
    """Predict the samples of some files, one after the other. Raises DataError."""
    masks = MaskFiles(wanted.masks, wanted.net_size) if wanted.masks is not None else None
    compute = trained.compute if wanted.deviation else averaged(trained)
    for batch in batches(samples(trained, paths, wanted.invert, wanted.tell), wanted.batch):
        inputs = (np.concatenate(x) for x in zip(*(s.inputs for s in batch), strict=True))
        first, *others = _outputs(trained, _computed(compute, inputs, batch[0].name), wanted)
        for i, sample in enumerate(batch):
            file = partial(masks.of, sample) if masks is not None else _no_file
            for node in range(first.values.shape[2]) if first.of_nodes else (None,):
                yield {
                    "sample": sample.name if node is None else f"{sample.name}:{node + 1}",
                    **_said(trained, first.of(i, node), wanted, file()),
                    **_beside(trained, others, (i, node), wanted, file),
                }


def _computed(compute: Compute, inputs: Iterable[np.ndarray], first: str) -> tuple[np.ndarray, ...]:
    """The outputs of a batch, which begins with the sample `first`. Raises DataError for values that the net does not
    take, such as the number of a word that it has no vector for."""
    try:
        return compute(*inputs)
    except Exception as error:
        if type(error).__name__ != "InvalidArgument" or not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = first_line(error).rpartition("Status Message: ")[2]
        raise DataError("unfit-input", f"onnxruntime refuses values of {first} or after it: {reason}") from error


def _no_file(output: str = "") -> None:
    """No file for a mask: none is written."""


class Output(Struct, frozen=True, eq=False):
    """An output of a batch. `values`: [passes, B, ...]; `learned`: what targets were compared with; `of_nodes`:
    whether axis 2 counts the nodes of a graph, or the places of a sequence."""

    name: str
    values: np.ndarray
    learned: bool
    of_nodes: bool

    def of(self, sample: int, node: int | None) -> np.ndarray:
        """The values of a sample, or of a node of it, [passes, ...]."""
        here = self.values[:, sample]
        return here if node is None or not self.of_nodes else here[:, node]


def _outputs(trained: Trained, computed: Iterable[Any], wanted: Wanted) -> Iterator[Output]:
    """The outputs of a batch: those that learned as probabilities or numbers, the others as they are."""
    nodes = 0
    for name, learned, x in zip(trained.kept, trained.learned, map(np.asarray, computed), strict=True):
        values = x.astype(np.float32) if wanted.deviation else x.astype(np.float32)[None]
        if not learned:
            yield Output(name, values, False, bool(nodes) and values.shape[2:3] == (nodes,))
            continue
        of_nodes = _gives_nodes(trained, values)
        if takes_graphs(trained) and not of_nodes:  # [passes, B, 1, C]: each sample is a batch of one graph
            values = values.squeeze(-2)
        nodes = nodes or (values.shape[2] if of_nodes else 0)
        yield Output(name, _activated(trained, values, -1 if of_nodes else 2), True, of_nodes)


def _beside(
    trained: Trained,
    outputs: Iterable[Output],
    at: tuple[int, int | None],
    wanted: Wanted,
    file: Callable[[str], MaskFile | None],
) -> Prediction:
    """The predictions of the outputs behind the first for a sample, or for a node of it, by their names."""
    found = {}
    for output in outputs:
        values = output.of(*at)
        mask = file(output.name) if output.learned and trained.task == "mask" else None
        found[output.name] = _said(trained, values, wanted, mask) if output.learned else _as_values((), values)
    return {"outputs": found} if found else {}


def _gives_nodes(trained: Trained, computed: np.ndarray) -> bool:
    """Whether outputs [..., C] are those of nodes, or of the places of a sequence. A file that stands alone need not
    say its task."""
    return trained.task in (*NODES, "tags") or (not trained.task and takes_graphs(trained) and computed.shape[-2] != 1)


def _activated(trained: Trained, output: np.ndarray, axis: int) -> np.ndarray:
    """An output of a batch, [passes, B, ...]: probabilities of classes, along an axis, and of labels; numbers as they
    are."""
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
    return trained.task in NUMBERS or trained.recipe.loss.task in ("numbers", "pairs")


def is_sigmoid(trained: Trained) -> bool:
    """Whether each of the outputs is a yes or no of its own."""
    return trained.task in LABELS or isinstance(trained.recipe.loss, Bce)


def _said(trained: Trained, outputs: np.ndarray, wanted: Wanted, file: MaskFile | None) -> Prediction:
    """One sample's prediction from its outputs, [passes, ...]; a mask is written to the file."""
    two = is_yes_or_no(trained.task, len(trained.classes), outputs.shape[1] if outputs.ndim == 2 else None)
    if two:
        outputs = np.concatenate((1 - outputs, outputs), 1)
    mean, deviation = outputs.mean(0), outputs.std(0)
    if is_numbers(trained):
        return _as_values(trained.targets, outputs)
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


def _as_values(names: tuple[str, ...], outputs: np.ndarray) -> Prediction:
    """Numbers as they are, the mean over the passes [passes, ...]."""
    mean = outputs.mean(0)
    return {"values": _named(value_names(names, mean.size), mean.ravel())}


def _named(names: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def class_names(trained: Trained, count: int) -> list[str]:
    """The names of the classes or labels (of a table: of the columns that hold them); numbers where there are none."""
    own = label_names(trained.task, trained.classes, count)
    named = next((names for names in (own, trained.targets) if len(names) == count), None)
    return list(map(str, range(count))) if named is None else list(named)


def value_names(names: tuple[str, ...], count: int) -> list[str]:
    """Names for `count` numbers: their own, where each has one."""
    return list(names) if len(names) == count else ["value"] if count == 1 else [f"value_{i}" for i in range(count)]


def _mask(trained: Trained, chances: np.ndarray, file: MaskFile | None) -> Prediction:
    """The share of each class in a mask, and the mask itself as a PNG file of class numbers."""
    guess = chances.argmax(0).astype(np.uint8)
    counts = np.bincount(guess.ravel(), minlength=len(chances)) / guess.size
    names = class_names(trained, len(chances))
    found: Prediction = {"shares": _named(names, counts)}
    if file is not None:
        write_mask(file, guess, trained.recipe)
        found["mask"] = str(file.path)
    return found
