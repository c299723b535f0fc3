"""Single samples of the test split on the page of a run: confusions, the worst mistakes, masks, predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from netdsl.inference.masks import class_colors
from netdsl.inference.predictions import value_names
from netdsl.inference.trained import targets_of
from netdsl.recipe.metrics import NODES, NUMBERS, label_names, title
from netdsl.render.markup import escape
from netdsl.training.data.dataset import Split, evenly, spread
from netdsl.training.data.graphs import by_graph
from netdsl.training.evaluate import at_once, first_output
from netdsl.training.losses.criterion import facing
from netdsl.training.metrics import from_places, of_pairs
from netdsl.training.report.gradcam import grad_cam, last_maps, overlay
from netdsl.training.report.mistakes import (
    Chunks,
    Confusions,
    Masks,
    Mistake,
    confusions,
    masks,
    predictions,
)
from netdsl.training.report.svg import data_url, matrix, scatter
from netdsl.training.setup import Prepared, evaluator_of
from netdsl.training.test_time import averaged

WORST = 16
LARGE = 30
"""Classes above which the confusion matrix is a list of the pairs that are most often taken for each other."""
MOST = 2000
"""Training samples that are measured at the end."""
DOTS = 600
"""Samples of a scatter chart."""
OUTPUTS = 6
SHOWN_WITH_MASKS = ("recall", "mean_iou")
"""Metrics of each class that stand beside the colours of masks."""


def samples(prepared: Prepared, result: dict[str, Any], single: bool = True) -> list[str]:
    """The parts of the page about samples, by the task of the net. `single`: also about single ones, and not only what
    was measured of each class."""
    data = prepared.data
    parts = _single(prepared) if single else []
    names = label_names(data.task, data.classes, len(result.get("per_class", ())))
    shown = SHOWN_WITH_MASKS if single and data.task == "mask" else ()
    return parts + _each_class(result, names or targets_of(prepared.recipe), shown)


def _single(prepared: Prepared) -> list[str]:
    data = prepared.data
    if data.task == "classes" and data.classes:
        return _classes(prepared)
    if data.task == "mask":
        return _masks(prepared)
    return _numbers(prepared) if data.task in NUMBERS else []


def on_training_samples(prepared: Prepared) -> dict[str, Any]:
    """The metrics on some samples that the net was trained on, not augmented: as many as the test split has, up to
    MOST, spread over the split. Empty where windows of a text follow each other, and for pairs."""
    train, data = prepared.train, prepared.data
    if train.streams or data.task == "pairs" or not len(train):
        return {}
    some = train.subset(spread(min(len(data.test), MOST), train)).to(next(prepared.module.parameters()).device)
    evaluate = evaluator_of(prepared.recipe, data, prepared.kept)
    return evaluate(averaged(prepared.module, prepared.recipe), some)


@torch.no_grad()
def _numbers(prepared: Prepared) -> list[str]:
    """Predictions over the truth, a chart for each output. Of nodes, each that has a number is a row of the targets."""
    test, of_nodes = _test(prepared), prepared.data.task in NODES
    width = prepared.data.train.target.shape[-1] if of_nodes else prepared.data.train.target[0].numel()
    known = test.target.isfinite().flatten(0, 1).any(1).nonzero()[:, 0] if of_nodes else torch.arange(len(test))
    forward = averaged(prepared.module, prepared.recipe)
    pairs = (test.by_sample(first_output(forward(*x)), y) for x, y in _chunks(prepared, test))
    guess, truth = predictions(pairs, known.cpu()[evenly(DOTS, len(known))], width, OUTPUTS)
    names = value_names(targets_of(prepared.recipe), width)
    charts = [scatter(names[i], truth[:, i].tolist(), guess[:, i].tolist()) for i in range(truth.shape[1])]
    what = "node of the test split" if of_nodes else "test sample"
    note = f"<p class=soft>Each dot is a {what}; on the line, the prediction is the truth.</p>"
    return [f"<h2>Predictions</h2>{note}<div class=charts>{''.join(charts)}</div>"]


def _test(prepared: Prepared) -> Split:
    """The test split on the module's device."""
    return prepared.data.test.to(next(prepared.module.parameters()).device)


def _forward(prepared: Prepared, test: Split) -> Callable[..., Any]:
    """The net's forward pass, over the views of `tta`; of several graphs, one output for each."""
    if test.graphs is not None:
        return lambda *inputs: by_graph(prepared.module(*inputs))
    return averaged(prepared.module, prepared.recipe)


def _chunks(prepared: Prepared, test: Split) -> Chunks:
    places = torch.arange(len(test), device=test.target.device)
    return test.batches(torch.split(places, at_once(prepared.recipe)), prepared.recipe.workers)


def _classes(prepared: Prepared) -> list[str]:
    """The most frequent confusions, and the wrong test samples with the largest loss."""
    classes, test = prepared.data.classes, _test(prepared)
    found = confusions(_forward(prepared, test), _chunks(prepared, test), len(classes), WORST)
    parts = ["<h2>What is taken for what</h2>"]
    if len(classes) <= LARGE:
        parts += ["<p class=soft>Rows are the truth, columns the guess.</p>"]
        parts += [f"<div class=scroll>{matrix(found.matrix(len(classes)), classes)}</div>"]
    parts.append(_pairs(found, classes))
    first = test.example()[0].shape
    if not prepared.data.images or len(first) != 4 or first[1] not in (1, 3):
        return parts
    parts.append("<h2>Worst mistakes</h2>" if found.worst else "<p>There is no mistake on the test split.</p>")
    images = (
        test.take(torch.tensor([m.index for m in found.worst], device=test.target.device))[0] if found.worst else ()
    )
    heats = _heats(prepared, images, found.worst)
    figures = [_figure(images[0][i], heats, i, mistake, classes) for i, mistake in enumerate(found.worst)]
    note = "" if heats is None else "<p class=soft>On the right, where the net looks for its guess (Grad-CAM).</p>"
    return [*parts, note, f"<div class=images>{''.join(figures)}</div>"]


def _each_class(result: dict[str, Any], classes: Sequence[str], shown: Sequence[str] = ()) -> list[str]:
    """A table of what `per_class` measured of each class, but for what is `shown` already."""
    end = "_per_class"
    found = {"recall": result.get("per_class", ())} | {
        n[: -len(end)]: values for n, values in result.items() if n.endswith(end)
    }
    columns = {title(n): values for n, values in found.items() if n not in shown and values}
    if not columns:
        return []
    head = "".join(f"<th>{escape(name)}</th>" for name in ("class", *columns))
    lines = []
    for i in range(len(found["recall"])):
        name = classes[i] if i < len(classes) else str(i)
        cells = "".join(f"<td>{'-' if v[i] is None else f'{v[i]:.2%}'}</td>" for v in columns.values())
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return [f"<h2>Each class</h2><div class=scroll><table><tr>{head}</tr>{''.join(lines)}</table></div>"]


def _figure(image: Tensor, heats: Tensor | None, place: int, m: Mistake, classes: Sequence[str]) -> str:
    """A mistake as the net sees it, and where it looks for its guess."""
    images = [image] if heats is None else [image, overlay(image, heats[place])]
    shown = "".join(f'<img src="{data_url(x)}" alt="">' for x in images)
    said = f"<b>{escape(classes[m.truth])}</b> ({m.of_truth:.1%}) taken for <b>{escape(classes[m.guess])}</b>"
    wide = " class=pair" if heats is not None else ""
    return f"<figure{wide}>{shown}<figcaption>{said} ({m.of_guess:.1%})</figcaption></figure>"


def _heats(prepared: Prepared, images: tuple[Tensor, ...], mistakes: Sequence[Mistake]) -> Tensor | None:
    """Where a net looks for its guesses, [N, H, W]; None for a net without convolutions that end in maps, or with
    several inputs."""
    module = prepared.module
    layer = last_maps(module, lambda: module(images[0][:1])) if len(images) == 1 else None
    if layer is None:
        return None
    parts = torch.split(images[0], at_once(prepared.recipe))
    guesses = iter([m.guess for m in mistakes])
    return torch.cat([grad_cam(module, layer, part, list(islice(guesses, len(part)))) for part in parts])


def _pairs(found: Confusions, classes: Sequence[str]) -> str:
    """The most frequent mistakes."""
    lines = (
        f"<li>{escape(classes[i])} taken for {escape(classes[j])}: {n} of {found.samples[i]}</li>"
        for i, j, n in found.most_frequent(8)
    )
    listed = "".join(lines)
    return f"<p>Most frequent:</p><ul>{listed}</ul>" if listed else ""


@torch.no_grad()
def _masks(prepared: Prepared) -> list[str]:
    """The IoU of each class, and the test images whose masks are furthest from the truth: image, truth, guess."""
    module, test = averaged(prepared.module, prepared.recipe), _test(prepared)
    classes = prepared.data.classes
    colors = torch.tensor(class_colors(prepared.recipe), device=test.target.device).view(-1, 3)
    colors[255] = 128  # what has no class
    (channels, *_) = prepared.net.checked.main.outputs[0].value.type.shape
    count = max(len(classes), channels if isinstance(channels, int) else 0)  # classes need no names
    found = masks(module, _chunks(prepared, test), count, WORST // 2)
    parts = [f"<h2>Each class</h2>{_iou(found, classes, colors)}"] if classes else []
    figures = []
    for i, right in found.worst:
        (image, *more), target = test.take(torch.tensor([i], device=test.target.device))
        output = first_output(module(image, *more))
        truth, guess = facing(target, output)[0], output.argmax(1)[0]
        three = [image[0], *(colors[m % 256].permute(2, 0, 1) / 255 for m in (truth, guess))]
        shown = "".join(f'<img src="{data_url(p)}" alt="">' for p in three)
        said = f"right in {right:.1%} of the places"
        figures.append(f"<figure class=three>{shown}<figcaption>{said}</figcaption></figure>")
    note = "<p class=soft>Image, truth and guess; grey has no class.</p>"
    return [*parts, f"<h2>Worst masks</h2>{note}<div class=images>{''.join(figures)}</div>"]


def _iou(found: Masks, classes: Sequence[str], colors: Tensor) -> str:
    """The legend of the masks: colour, name, IoU, recall and share of the places of each class."""
    each = of_pairs(from_places(found.right, found.truth, found.guess))
    share = found.truth / found.truth.sum().clamp(min=1)
    rows = []
    for i, name in enumerate(classes):
        color = "#{:02x}{:02x}{:02x}".format(*colors[i % 256].tolist())
        values = [each["mean_iou"][i], each["recall"][i], float(share[i])]
        cells = "".join(f"<td>{'-' if v is None else f'{v:.2%}'}</td>" for v in values)
        rows.append(f"<tr><th><i style='background:{color}'></i>{escape(name)}</th>{cells}</tr>")
    head = "<tr><th>class</th><th>IoU</th><th>recall</th><th>of the places</th></tr>"
    return f"<div class=scroll><table class=legend>{head}{''.join(rows)}</table></div>"
