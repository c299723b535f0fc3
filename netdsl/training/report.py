"""A page about a run: curves, confusion, the worst mistakes, in one file that needs nothing else."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch.nn import functional

from netdsl.training.checkpoint import write_atomic
from netdsl.training.drawing import curves, matrix, picture
from netdsl.training.evaluate import predictions
from netdsl.training.folder import LOG, RECIPE
from netdsl.training.run import Prepared, evaluator_of

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 960px; padding: 0 1rem; color: #1f2937 }
svg text { font: 11px system-ui, sans-serif; fill: #4b5563 } svg .title { font-weight: 600; font-size: 13px }
table { border-collapse: collapse; font-size: 12px } td, th { padding: 2px 6px; text-align: right }
figure { display: inline-block; margin: 4px; text-align: center; font-size: 12px }
pre { overflow: auto; font-size: 12px }
"""
WORST = 16


def write_report(folder: Path, prepared: Prepared, result: dict[str, Any]) -> None:
    """Write `report.html` into a run folder."""
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    title = f"{prepared.net.name} on {prepared.data.name}"
    numbers = {k: v for k, v in result.items() if isinstance(v, float | int)}
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{v:.6g}</td></tr>" for k, v in numbers.items())
    parts = [f"<h1>{escape(title)}</h1><p>recipe {escape(prepared.recipe.name)}</p><table>{rows}</table>"]
    parts += [_charts(lines)]
    if prepared.data.task == "classes" and len(prepared.data.classes) <= 100:
        parts += _mistakes(prepared)
    recipe = escape((folder / RECIPE).read_text())
    parts.append(f"<details><summary>recipe</summary><pre>{recipe}</pre></details>")
    page = f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>{''.join(parts)}"
    write_atomic(folder / "report.html", page.encode())


def _charts(lines: list[dict[str, Any]]) -> str:
    steps = [x for x in lines if x["kind"] == "step"]
    held = [x for x in lines if x["kind"] == "evaluation"]
    loss = {"training": [(x["step"], x["loss"]) for x in steps], "held out": [(x["step"], x["loss"]) for x in held]}
    charts = [curves("loss", loss), curves("learning rate", {"lr": [(x["step"], x["lr"]) for x in steps]})]
    for name in ("top1", "top5", "mean_iou", "rmse", "perplexity"):
        series = {name: [(x["step"], x[name]) for x in held if name in x]}
        charts.append(curves(name, series))
    return "".join(charts)


@torch.no_grad()
def _mistakes(prepared: Prepared) -> list[str]:
    """The confusion matrix, and the test samples of the largest loss among those that are wrong."""
    data, module = prepared.data, prepared.module
    device = next(module.parameters()).device
    test = data.test.to(device)
    wanted = replace(prepared.recipe, metrics=("confusion",))
    result = evaluator_of(wanted, data, prepared.kept)(module, test)
    parts = ["<h2>Confusion (rows: truth)</h2>", matrix(result["confusion"], data.classes)]
    if not data.pictures or test.inputs == () or test.inputs[0].shape[1] not in (1, 3):
        return parts
    logits = predictions(module, test).to(device)
    loss = functional.cross_entropy(logits.float(), test.target, reduction="none")
    wrong = (logits.argmax(1) != test.target).nonzero()[:, 0]
    worst = wrong[loss[wrong].argsort(descending=True)][:WORST]
    parts.append("<h2>Worst mistakes</h2>" if len(worst) else "<p>No mistakes on the test split.</p>")
    for i in worst.tolist():
        truth, guess = (escape(data.classes[int(c)]) for c in (test.target[i], logits[i].argmax()))
        image = picture(test.take(torch.tensor([i], device=device))[0][0][0])
        parts.append(f'<figure><img src="{image}" alt=""><figcaption>{truth}, taken for {guess}</figcaption></figure>')
    return parts
