"""The card of a published net: `README.md` with the front matter that the Hub reads."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from typing import Any

from netdsl.publish.shared import Shared, configuration
from netdsl.recipe.metrics import METRICS, said, title
from netdsl.recipe.text import shown
from netdsl.render.paint import visible

PIPELINES = {
    "classes": "image-classification", "distributions": "image-classification", "mask": "image-segmentation",
    "tokens": "text-generation", "tags": "token-classification", "nodes": "graph-ml", "node_labels": "graph-ml",
    "node_numbers": "graph-ml",
}  # fmt: skip
TABULAR = {"numbers": "tabular-regression", "classes": "tabular-classification"}
NAMED = 40
"""How many classes the card names."""

SETTINGS = ("epochs", "steps", "batch", "optimizer", "schedule", "augment", "mix", "loss", "ema", "seed")


def card(net: Shared, onnx: bool) -> str:
    """The text of a card. `onnx`: whether the folder has an ONNX file."""
    front = "\n".join(f"{key}: {yaml(value)}" for key, value in front_matter(net).items())
    return f"---\n{front}\n---\n\n" + "\n".join(_body(net, onnx)) + "\n"


def yaml(value: Any) -> str:
    """Plain data in YAML's subset of JSON, in which no character stands for more than itself."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in text)


def front_matter(net: Shared) -> dict[str, Any]:
    """The fields of the card, in YAML's subset of JSON."""
    about = net.about
    found: dict[str, Any] = {"license": net.license} if net.license else {}
    found |= {"library_name": "netdsl", "tags": ["netdsl", "onnx", "pytorch"]}
    task = (TABULAR if about.columns else PIPELINES).get(about.task, "")
    task = "" if task.startswith("image-") and not _is_of_images(net) else task
    found |= {"pipeline_tag": task} if task else {}
    named = [base["pretrained"] for base in net.bases if base.get("revision")]
    found |= {"base_model": named} if named else {}
    metrics = [{"type": "accuracy" if n == "top1" else n, "value": v} for n, v in _measures(net)]
    results = {"task": {"type": task or about.task}, "dataset": {"name": net.data, "type": net.data}}
    return found | {"model-index": [{"name": about.net, "results": [{**results, "metrics": metrics}]}]}


def _measures(net: Shared) -> list[tuple[str, float]]:
    """The metrics on the test split that are one number, and a finite one."""
    known = ("loss", *(n for n, kind in METRICS.items() if kind.number))
    said = [(n, net.about.result.get(n)) for n in known]
    return [(n, v) for n, v in said if isinstance(v, float) and math.isfinite(v)]


def _body(net: Shared, onnx: bool) -> Iterator[str]:
    about = net.about
    given = ", ".join(f"{k} = {v}" for k, v in {**about.arguments, **about.sizes}.items())
    yield f"# {about.net}\n"
    with_given = f" with {code(given)}" if given else ""
    yield f"{code(about.net)}{with_given}, {net.params:,} parameters, trained on {code(net.data)}.\n"
    yield from _measured(net)
    yield from _origins(net)
    yield from _images(net)
    if about.classes:
        more = f" and {len(about.classes) - NAMED} more" if len(about.classes) > NAMED else ""
        yield f"Classes: {', '.join(map(code, about.classes[:NAMED]))}{more}.\n"
    yield from _use(net, onnx)
    yield from _recipe(net)


def _measured(net: Shared) -> Iterator[str]:
    samples = f" on {net.about.result['n']:,} samples" if "n" in net.about.result else ""
    yield f"| measured{samples} | |\n|---|---:|"
    yield from (f"| {title(name)} | {said(name, value)} |" for name, value in _measures(net))
    yield ""


def _origins(net: Shared) -> Iterator[str]:
    for base in net.bases:
        revision = f" at {code(base['revision'])}" if base.get("revision") else ""
        license = base.get("license") or "not said"
        yield f"The training began with {code(base['pretrained'])}{revision}, licence {license}.\n"


def _use(net: Shared, onnx: bool) -> Iterator[str]:
    whole = _is_whole(net)
    file = "rows.csv" if net.about.columns else "photograph.png" if _is_of_images(net) else "FILE"
    lines = [f"netdsl predict model.onnx {file}"] if onnx else []
    lines += [f"netdsl compile spec.net:{net.about.net}{_options(net)} -o out"] if whole else []
    yield "## Use\n"
    if net.about.plugins:
        yield f"Needs {', '.join(f'the plug-in `{p.name}` {p.version}'.rstrip() for p in net.about.plugins)}.\n"
    yield from [*block(lines), ""] if lines else []
    if not whole:
        yield "The net standardises its inputs or targets with numbers that the spec and config.json do not have.\n"
    yield 'In a recipe, `init = pretrained("FOLDER OR NAME OF THE REPOSITORY")`.\n'


def _options(net: Shared) -> str:
    """The options of `compile` in the folder, so that its net is the one that was trained."""
    about = net.about
    given = [("-p", f"{k}={v}") for k, v in about.arguments.items()]
    given += [("--size", f"{k}={v}") for k, v in about.sizes.items()]
    given += [("--pretrained", "."), *(("--plugin", p.name) for p in about.plugins)]
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given)


def _is_of_images(net: Shared) -> bool:
    return "pretrained_cfg" in configuration(net)


def _is_whole(net: Shared) -> bool:
    """Whether config.json has all that the net does to its inputs and outputs beside the spec."""
    standard = net.about.mean is not None
    return net.about.units is None and (not standard or "mean" in configuration(net).get("pretrained_cfg", {}))


def _recipe(net: Shared) -> Iterator[str]:
    settings = {n: shown(v) for n in SETTINGS if (v := getattr(net.recipe, n)) not in (None, ())}
    yield "## Recipe\n"
    yield from block([f"{n} = {text}" for n, text in settings.items() if "/" not in text])  # no paths of the machine


def _images(net: Shared) -> Iterator[str]:
    cfg = configuration(net).get("pretrained_cfg")
    if cfg is not None:
        shown_ = ", ".join(f"{k} {v}" for k, v in cfg.items())
        yield f"Images: pixels from 0 to 1, standardised inside the net; {shown_}.\n"


def code(text: str) -> str:
    """A text as code in Markdown, whatever it holds: the fence is longer than any inside it."""
    fence = "`" * (_longest(text) + 1)
    blank = " " if "`" in text or not text.strip() else ""
    return f"{fence}{blank}{visible(text)}{blank}{fence}"


def block(lines: list[str]) -> list[str]:
    """Lines as a block of code in Markdown."""
    fence = "`" * max(3, *(_longest(line) + 1 for line in lines), 0)
    return [fence, *map(visible, lines), fence]


def _longest(text: str) -> int:
    """The most backticks in a row."""
    return max(map(len, re.findall("`+", text)), default=0)
