"""The metrics that a recipe can name: each with the tasks that it applies to, declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from netdsl.recipe.registry import Open

CLASSES = ("classes", "mask", "tokens", "tags", "nodes")
"""Tasks whose targets are one of several classes, for a sample or at each of its places."""
LABELS = ("labels", "node_labels")
"""Tasks whose targets are labels, several of which may hold, for a sample or at each of its places."""
NUMBERS = ("numbers", "node_numbers")
"""Tasks whose targets are numbers, of a sample or of each node."""
NODES = ("nodes", "node_labels", "node_numbers")
"""Tasks whose targets are those of the nodes of graphs."""

TARGETS = {
    "classes": "classes", "distributions": "shares of classes", "mask": "masks", "tokens": "the next tokens",
    "tags": "classes of places", "nodes": "classes of nodes", "labels": "labels", "node_labels": "labels of nodes",
    "numbers": "numbers", "node_numbers": "numbers of nodes", "pairs": "other views",
}  # fmt: skip
"""The targets of each task, for readers."""

MOST_PAIRED = 1000
"""Classes above which pairs of true and guessed classes are not counted."""


def is_yes_or_no(task: str, classes: int, outputs: int | None) -> bool:
    """Whether one output tells two classes apart by its sign: the second one is the yes."""
    return task in LABELS and classes == 2 and outputs == 1


def label_names(task: str, classes: tuple[str, ...], outputs: int | None) -> tuple[str, ...]:
    """The names of what is measured of each output or class: of one that tells two classes apart, the yes."""
    return classes[1:] if is_yes_or_no(task, len(classes), outputs) else classes


class MetricKind(Struct, frozen=True):
    """One metric: the tasks that have it, what it is called where people read it, whether it is a fraction and whether
    more of it is better. `pairs`: it is counted from pairs of true and guessed classes; `scores`: it looks at the order
    of all samples, whose scores are kept until the end; `number`: it is one number, and no list."""

    tasks: tuple[str, ...]
    said: str
    fraction: bool = True
    higher: bool = True
    pairs: bool = False
    scores: bool = False
    number: bool = True


METRICS: dict[str, MetricKind] = {
    "top1": MetricKind((*CLASSES, *LABELS, "pairs"), "accuracy"),
    "top5": MetricKind(CLASSES, "top-5"),
    "balanced_accuracy": MetricKind((*CLASSES, *LABELS), "balanced accuracy", pairs=True),
    "precision": MetricKind((*CLASSES, *LABELS), "precision", pairs=True),
    "recall": MetricKind((*CLASSES, *LABELS), "recall", pairs=True),
    "f1": MetricKind((*CLASSES, *LABELS), "F1", pairs=True),
    "micro_f1": MetricKind(LABELS, "micro F1"),
    "auroc": MetricKind(("classes", "nodes", *LABELS), "AUROC", scores=True),
    "average_precision": MetricKind(("classes", "nodes", *LABELS), "average precision", scores=True),
    "mean_iou": MetricKind((*CLASSES, *LABELS), "mean IoU", pairs=True),
    "per_class": MetricKind((*CLASSES, *LABELS), "of each class", pairs=True, number=False),
    "confusion": MetricKind(CLASSES, "confusion matrix", pairs=True, number=False),
    "confidence": MetricKind(CLASSES, "confidence"),
    "calibration_error": MetricKind(CLASSES, "calibration error", higher=False),
    "rmse": MetricKind(NUMBERS, "rmse", fraction=False, higher=False),
    "mae": MetricKind(NUMBERS, "mae", fraction=False, higher=False),
    "r2": MetricKind(NUMBERS, "R2", fraction=False),
    "perplexity": MetricKind(("tokens",), "perplexity", fraction=False, higher=False),
    "bits_per_byte": MetricKind(("tokens",), "bits per byte", fraction=False, higher=False),
}
"""All metrics, in the order in which they are shown."""

if TYPE_CHECKING:
    Metric = str
    Deciding = str
else:
    Metric = Open("metric", lambda: Literal[tuple(METRICS)])
    Deciding = Open("deciding", lambda: Literal[("loss", *(n for n, kind in METRICS.items() if kind.number))])
"""Names of metrics; those that can decide when to stop, or when lr falls, are numbers."""


def always_measured(task: str) -> tuple[str, ...]:
    """The metrics that are measured also where no recipe asks for them."""
    if task in NUMBERS:
        return ("rmse",)
    of_task = {"mask": ("top1", "mean_iou"), "tokens": ("top1", "perplexity", "bits_per_byte")}
    return of_task.get(task, ("top1",))


def said(name: str, value: float, digits: str = ".4f") -> str:
    """A metric's value as people read it: fractions in percent."""
    return f"{value:.2%}" if name in METRICS and METRICS[name].fraction else format(value, digits)


def counted(count: int, task: str, which: str = "") -> str:
    """The number of samples that an evaluation counts: `120 test samples`, and of graphs `1 node`."""
    return f"{count:,} {which}{'node' if task in NODES else 'sample'}{'s' * (count != 1)}"


def title(name: str) -> str:
    """The name of a metric for readers."""
    return METRICS[name].said if name in METRICS else name


def headline(task: str) -> str:
    """The metric that tells how good a net of this task is."""
    if task in NUMBERS:
        return "rmse"
    return {"mask": "mean_iou", "tokens": "loss", "pairs": "loss"}.get(task, "top1")


def described(result: dict[str, Any], task: str) -> str:
    """Metrics in one line."""
    parts = []
    for name, value in result.items():
        if isinstance(value, float) and name not in ("seconds", "onnx_difference"):
            parts.append(f"{title(name)} {said(name, value)}")
    return ", ".join(parts) + f" on {counted(result['n'], task)}"
