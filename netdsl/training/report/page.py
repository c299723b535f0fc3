"""A page about a run: curves, confusion, the worst mistakes, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch

from netdsl.inference.trained import targets_of
from netdsl.recipe.component import component_name
from netdsl.recipe.metrics import headline, said, title
from netdsl.recipe.schema import DEFAULT_EPOCHS
from netdsl.training.checkpoints.format import write_atomic
from netdsl.training.checkpoints.run_dir import RECIPE, About, read_log
from netdsl.training.data.dataset import Split
from netdsl.training.data.graphs import by_graph
from netdsl.training.evaluate import at_once, first_output
from netdsl.training.losses.criterion import facing
from netdsl.training.report.charts import charts
from netdsl.training.report.mistakes import Chunks, Confusions, Mistake, confusions, worst_masks
from netdsl.training.report.style import STYLE
from netdsl.training.report.svg import data_url, matrix
from netdsl.training.setup import Prepared
from netdsl.training.test_time import averaged

WORST = 16
LARGE = 30
"""Classes above which the confusion matrix is a list of the pairs that are most often taken for each other."""

NAMES = {"n": "samples", "onnx_difference": "ONNX against torch"}


def write_report(folder: Path, prepared: Prepared, result: dict[str, Any], about: About) -> None:
    """Write `report.html` into a run directory."""
    lines = read_log(folder)
    title = f"{prepared.net.name} on {prepared.data.name}"
    parts = [f"<h1>{escape(title)}</h1>", *_summary(prepared, result, about), *_changes(about)]
    parts.append(f"<h2>Training</h2><div class=charts>{charts(lines)}</div>")
    if prepared.data.task == "classes" and prepared.data.classes:
        parts += _classes(prepared)
    elif prepared.data.task == "mask":
        parts += _masks(prepared)
    parts += _each_class(result, prepared.data.classes or targets_of(prepared.recipe))
    recipe = escape((folder / RECIPE).read_text())
    parts.append(f"<h2>Record</h2><details><summary>recipe</summary><pre>{recipe}</pre></details>")
    spec = escape(prepared.net.spec.module.source.text)
    parts.append(f"<details><summary>spec</summary><pre>{spec}</pre></details>")
    head = '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
    page = f"{head}<title>{escape(title)}</title><style>{STYLE}</style>{''.join(parts)}</html>"
    write_atomic(folder / "report.html", page.encode())


def _summary(prepared: Prepared, result: dict[str, Any], about: About) -> list[str]:
    """The number that counts, and what it is of."""
    main, recipe = headline(prepared.data.task), prepared.recipe
    value = result.get(main, result["loss"])
    name = title(main) if main in result else "loss"
    held = (
        f"{_number(main, value)} <span class=soft style='font-size:1rem'>{name} on {result['n']:,} test samples</span>"
    )
    length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs or DEFAULT_EPOCHS} epochs"
    machine = about.environment.get("gpu", about.environment.get("device", ""))
    facts = {
        "recipe": recipe.name,
        "parameters": f"{sum(p.numel() for p in prepared.module.parameters()):,}",
        "trained on": f"{len(prepared.train):,} samples",
        "length": f"{length} of batches of {recipe.batch:,}",
        "optimizer": f"{component_name(recipe.optimizer)}, lr {recipe.optimizer.lr:g}",
        "time": f"{result['seconds']:,.1f} s" if "seconds" in result else "",
        "machine": f"{machine}, torch {about.versions['torch']}",
    }
    facts |= {
        NAMES.get(k, title(k)): _number(k, v)
        for k, v in result.items()
        if isinstance(v, float) and k not in (main, "seconds")
    }
    if isinstance(result.get("onnx"), dict) and main in result["onnx"]:
        facts[f"{name} in onnxruntime"] = _number(main, result["onnx"][main])
    shown = "".join(f"<div><span class=soft>{escape(k)}</span><b>{escape(v)}</b></div>" for k, v in facts.items() if v)
    return [f"<p class=big>{held}</p>", f"<div class=facts>{shown}</div>"]


def _number(name: str, value: float) -> str:
    if name == "onnx_difference":
        return f"{value:.1e}"
    return said(name, value, ".4g")


def _changes(about: About) -> list[str]:
    """What a resumed run was told to do otherwise."""
    listed = "".join(f"<li>after step {c.step:,}: {escape(str(c))}</li>" for c in about.changes)
    return [f"<h2>Changed on the way</h2><ul>{listed}</ul>"] if listed else []


def _test(prepared: Prepared) -> Split:
    """The test split on the module's device."""
    return prepared.data.test.to(next(prepared.module.parameters()).device)


def _chunks(prepared: Prepared, test: Split) -> Chunks:
    places = torch.arange(len(test), device=test.target.device)
    return test.batches(torch.split(places, at_once(prepared.recipe)), prepared.recipe.workers)


def _classes(prepared: Prepared) -> list[str]:
    """The most frequent confusions, and the wrong test samples with the largest loss."""
    classes, test = prepared.data.classes, _test(prepared)
    forward = averaged(prepared.module, prepared.recipe)
    if test.graphs is not None:
        forward = lambda *inputs: by_graph(prepared.module(*inputs))  # noqa: E731
    found = confusions(forward, _chunks(prepared, test), len(classes), WORST)
    parts = ["<h2>What is taken for what</h2>"]
    if len(classes) <= LARGE:
        parts += ["<p class=soft>Rows are the truth, columns the guess.</p>"]
        parts += [f"<div class=scroll>{matrix(found.matrix(len(classes)), classes)}</div>"]
    parts.append(_pairs(found, classes))
    first = test.example()[0].shape
    if not prepared.data.images or len(first) != 4 or first[1] not in (1, 3):
        return parts
    parts.append("<h2>Worst mistakes</h2>" if found.worst else "<p>There is no mistake on the test split.</p>")
    figures = [_figure(test, mistake, classes) for mistake in found.worst]
    return [*parts, f"<div class=images>{''.join(figures)}</div>"]


def _each_class(result: dict[str, Any], classes: Sequence[str]) -> list[str]:
    """What `per_class` measured of each class, as a table."""
    end = "_per_class"
    columns = {"recall": result.get("per_class", ())} | {
        title(n[: -len(end)]): values for n, values in result.items() if n.endswith(end)
    }
    if not columns["recall"]:
        return []
    head = "".join(f"<th>{escape(name)}</th>" for name in ("class", *columns))
    lines = []
    for i in range(len(columns["recall"])):
        name = classes[i] if i < len(classes) else str(i)
        cells = "".join(f"<td>{'-' if v[i] is None else f'{v[i]:.2%}'}</td>" for v in columns.values())
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return [f"<h2>Each class</h2><div class=scroll><table><tr>{head}</tr>{''.join(lines)}</table></div>"]


def _figure(test: Split, m: Mistake, classes: Sequence[str]) -> str:
    address = data_url(test.take(torch.tensor([m.index], device=test.target.device))[0][0][0])
    said = f"<b>{escape(classes[m.truth])}</b> ({m.of_truth:.1%})<br>taken for <b>{escape(classes[m.guess])}</b>"
    return f'<figure><img src="{address}" alt=""><figcaption>{said} ({m.of_guess:.1%})</figcaption></figure>'


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
    """The test images whose masks are furthest from the truth: image, truth, guess."""
    module, test = averaged(prepared.module, prepared.recipe), _test(prepared)
    top = max(1, len(prepared.data.classes) - 1)
    figures = []
    for i, right in worst_masks(module, _chunks(prepared, test), WORST // 2):
        (image, *more), target = test.take(torch.tensor([i], device=test.target.device))
        output = first_output(module(image, *more))
        truth, guess = facing(target, output)[0], output.argmax(1)[0]
        three = [image[0], truth[None].clamp(min=0) / top, guess[None] / top]
        shown = "".join(f'<img src="{data_url(p)}" alt="">' for p in three)
        figures.append(
            f"<figure style='width:340px'>{shown}<figcaption>{right:.1%} of the places</figcaption></figure>"
        )
    note = "<p class=soft>Image, truth and guess.</p>"
    return [f"<h2>Worst masks</h2>{note}<div class=images>{''.join(figures)}</div>"]
