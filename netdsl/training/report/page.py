"""A page about a run: curves, confusion, the worst mistakes, in one file that needs nothing else."""

from __future__ import annotations

import shlex
from functools import lru_cache
from pathlib import Path
from typing import Any

from netdsl.ir.model import Program
from netdsl.recipe.component import component_name
from netdsl.recipe.metrics import counted, headline, said, title
from netdsl.recipe.retention import Best, Improving
from netdsl.recipe.schema import DEFAULT_EPOCHS, Recipe
from netdsl.render.figure import address
from netdsl.render.markup import escape
from netdsl.render.numbers import plural
from netdsl.training.checkpoints.format import write_atomic
from netdsl.training.checkpoints.run_dir import RECIPE, About, read_log
from netdsl.training.report.charts import charts
from netdsl.training.report.samples import on_training_samples, samples
from netdsl.training.report.signals import signals
from netdsl.training.report.style import STYLE
from netdsl.training.setup import Prepared
from netdsl.view import image

LARGEST = 400_000
"""Bytes of a drawing that is shown at most."""

NAMES = {"n": "samples", "onnx_difference": "ONNX against torch"}


def write_report(
    folder: Path, prepared: Prepared, result: dict[str, Any], about: About, single_samples: bool = True
) -> None:
    """Write `report.html` into a run directory. `single_samples`: with what takes another pass over samples."""
    lines = read_log(folder)
    title = f"{prepared.net.name} on {prepared.data.name}"
    parts = [f"<h1>{escape(title)}</h1>", *_summary(prepared, result, about, single_samples), *_changes(about)]
    parts.append(f"<h2>Training</h2><div class=charts>{charts(lines)}</div>")
    parts += signals(folder)
    parts += samples(prepared, result, single_samples)
    if not single_samples:
        again = escape(f"netdsl train --resume {shlex.quote(str(folder))}")
        parts.append(f"<p class=soft>For confusions, mistakes and training samples: <code>{again}</code></p>")
    parts += _drawing(prepared)
    recipe = escape((folder / RECIPE).read_text())
    parts.append(f"<h2>Record</h2><details><summary>recipe</summary><pre>{recipe}</pre></details>")
    spec = escape(prepared.net.spec.module.source.text)
    parts.append(f"<details><summary>spec</summary><pre>{spec}</pre></details>")
    head = '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
    page = f"{head}<title>{escape(title)}</title><style>{STYLE}</style>{''.join(parts)}</html>"
    write_atomic(folder / "report.html", page.encode())


def _headline(prepared: Prepared, result: dict[str, Any], trained_on: bool) -> str:
    """The number that counts: of the test split, and of samples that were trained on."""
    main = headline(task := prepared.data.task)
    value, name = result.get(main, result["loss"]), title(main) if main in result else "loss"
    parts = [f"{_number(main, value)} <span class=soft>{name} on {counted(result['n'], task, 'test ')}</span>"]
    if trained_on and main in result and (trained := on_training_samples(prepared)):
        said = f"{_number(main, trained[main])} on {counted(trained['n'], task, 'training ')}"
        parts.append(f"<span class=soft>, {said}</span>")
    return f"<p class=big>{''.join(parts)}</p>"


def _summary(prepared: Prepared, result: dict[str, Any], about: About, trained_on: bool) -> list[str]:
    """The number that counts, and what it is of."""
    main, recipe = headline(prepared.data.task), prepared.recipe
    length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs or DEFAULT_EPOCHS} epochs"
    machine = about.environment.get("gpu", about.environment.get("device", ""))
    facts = {
        "recipe": recipe.name,
        "parameters": f"{sum(p.numel() for p in prepared.module.parameters()):,}",
        "trained on": plural(len(prepared.train), "sample"),
        "weights": shown_weights(recipe),
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
        facts[f"{title(main)} in onnxruntime"] = _number(main, result["onnx"][main])
    shown = "".join(f"<div><span class=soft>{escape(k)}</span><b>{escape(v)}</b></div>" for k, v in facts.items() if v)
    return [_headline(prepared, result, trained_on), f"<div class=facts>{shown}</div>"]


def shown_weights(recipe: Recipe) -> str:
    """The weights that the page is about: which step's, and whether they are an average."""
    final = recipe.evaluated
    average = "EMA of " if recipe.ema is not None else "SWA of " if recipe.swa is not None else ""
    if isinstance(final, Improving):
        return f"{average}the last {final.count} evaluations that improved"
    return f"{average}the best evaluation" if isinstance(final, Best) else f"{average}the last step"


def _drawing(prepared: Prepared) -> list[str]:
    """The net as `netdsl view` draws it. Its styles are its own: it stands in the page as an image."""
    drawn = _drawn(prepared.net.checked, prepared.net.name)
    if len(drawn) > LARGEST:
        return []
    return [f'<h2>Net</h2><div class="scroll net"><img src="{address(drawn)}" alt="{escape(prepared.net.name)}"></div>']


@lru_cache(maxsize=1)
def _drawn(program: Program, name: str) -> str:
    """The drawing of a net, kept for the next run of it."""
    return image(program, name)


def _number(name: str, value: float) -> str:
    if name == "onnx_difference":
        return f"{value:.1e}"
    return said(name, value, ".4g")


def _changes(about: About) -> list[str]:
    """The settings that were changed when the run was resumed."""
    listed = "".join(f"<li>after step {c.step:,}: {escape(str(c))}</li>" for c in about.changes)
    return [f"<h2>Changed on the way</h2><ul>{listed}</ul>"] if listed else []
