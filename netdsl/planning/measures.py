"""The measures that an experiment can take of a run, by path: `test.top1`, `params`, `seconds`."""

from __future__ import annotations

from msgspec import Struct

from netdsl.recipe.metrics import METRICS

WEIGHTS = "weights"
"""What stands where others have a split: measures of the weights themselves."""

SPLITS = {"test": "test", "validation": "validation", "train": "training"}
"""Splits that a trained net is measured on, by the name of their measures, with what people call them."""


class MeasureKind(Struct, frozen=True):
    """One measure: what it is called where people read it, whether it is a fraction, whether more of it is better, and
    whether it is a time, which no two runs share."""

    said: str
    fraction: bool = False
    higher: bool = False
    timed: bool = False


OF_RUN: dict[str, MeasureKind] = {
    "params": MeasureKind("parameters"),
    "buffers": MeasureKind("buffers"),
    "macs": MeasureKind("MACs"),
    "steps": MeasureKind("steps"),
    "samples": MeasureKind("samples"),
    "seconds": MeasureKind("seconds", timed=True),
}
"""Measures without a split."""


OF_WEIGHTS: dict[str, MeasureKind] = {
    "zeros": MeasureKind("weights near 0", fraction=True, higher=True),
    "norm": MeasureKind("norm of the weights"),
}
"""Measures of the final weights, matrices and kernels: the share of those below 1e-3 in size, and the Euclidean norm of
all."""


def metrics() -> tuple[str, ...]:
    """The measures of a split: the loss, and every metric that is one number."""
    return ("loss", *(name for name, kind in METRICS.items() if kind.number))


def known() -> tuple[str, ...]:
    """The paths of all measures."""
    return (
        *(f"{split}.{metric}" for split in SPLITS for metric in metrics()),
        *(f"{WEIGHTS}.{name}" for name in OF_WEIGHTS),
        *OF_RUN,
    )


def measure_kind(path: str) -> MeasureKind | None:
    """The measure of a path; None where there is none."""
    split, dot, metric = path.partition(".")
    if not dot:
        return OF_RUN.get(path)
    if split == WEIGHTS:
        return OF_WEIGHTS.get(metric)
    if split not in SPLITS or metric not in metrics():
        return None
    if metric == "loss":
        return MeasureKind(f"{SPLITS[split]} loss")
    kind = METRICS[metric]
    return MeasureKind(f"{SPLITS[split]} {kind.said}", kind.fraction, kind.higher)
