"""Experiments in the editor: what can stand at the cursor inside one, and what its paths mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.choices import Kinds
from netdsl.lsp.context import Typing
from netdsl.lsp.occurrences import block
from netdsl.planning.experiment_entries import read_experiment
from netdsl.planning.measures import known, measure_kind
from netdsl.recipe.annotations import arguments
from netdsl.recipe.resolve import field_names
from netdsl.recipe.schema import Recipe
from netdsl.render.numbers import plural
from netdsl.syntax import ast

Found = tuple[str, Kinds, str]
"""What can be chosen: its text, its kind, and a word about it."""

ENTRIES = {
    "recipe": "the recipe that every cell is trained with",
    "vary": "an argument of the net or a field of the recipe, and its values",
    "search": "draw trials: `random(20)` or `tpe(60, prune=hyperband)`; without it, the whole grid",
    "seeds": "how many runs each cell has; run k has the same init, order and draws in every cell",
    "measure": "what the table shows: `test.top1`, `params`, `seconds`",
    "compare": "a measure against that of the cells with one value: difference, interval, exact test, Holm",
    "plot": "a figure: `line`, `bars` or `scatter`",
}
"""The entries of an experiment, and what they say."""

MOST = 40
"""How many cells a tooltip names."""

PLOTS = ("line", "bars", "scatter")
ARGUMENTS = ("x", "y", "color", "title", "xscale", "yscale")
WORDS = {"prune": ("hyperband", "median"), "xscale": ("linear", "log"), "yscale": ("linear", "log")}


def possible(now: Typing, analysis: Analysis, text: str) -> Iterator[Found]:
    """Complete at the cursor inside an experiment, whose text before it is `text`."""
    line = now.line.strip()
    module = analysis.checked.module
    word = (line.split() or [""])[0]
    if not line:
        return ((name, Kinds.Keyword, doc) for name, doc in ENTRIES.items())
    if now.named in WORDS:
        return ((w, Kinds.EnumMember, "") for w in WORDS[now.named])
    if word == "vary":
        return _paths(line, text, analysis) if "=" not in line else iter(())
    if word in ("measure", "compare", "plot"):
        return _shown(now, word, line, re.findall(r"^[ \t]*vary[ \t]+([\w.]+)", text, re.MULTILINE))
    return {
        "experiment": ((n, Kinds.Class, "net") for n in (*module.nets, "for")),
        "search": ((name, Kinds.Function, "search") for name in ("random", "tpe")),
        "recipe": ((name, Kinds.Struct, "recipe") for name in module.recipes),
    }.get(word, iter(()))


def _shown(now: Typing, word: str, line: str, varied: Sequence[str]) -> Iterator[Found]:
    """Complete what is measured, compared and drawn."""
    value = re.search(r"\bagainst\b|\)\s*where\b", line)
    if word == "plot" and not (now.named or value):
        yield from _of_a_plot("(" in line)
        return
    yield from ((path, Kinds.Property, "varies") for path in varied if word != "measure")
    if not value and now.named != "color":
        yield from ((path, Kinds.Property, _said(path)) for path in known())


def _of_a_plot(begun: bool) -> list[Found]:
    """The kinds of plots, or the arguments of one whose bracket is open."""
    if begun:
        return [(f"{name}=", Kinds.Field, "") for name in ARGUMENTS]
    return [(kind, Kinds.Function, "plot") for kind in PLOTS]


def _paths(line: str, text: str, analysis: Analysis) -> Iterator[Found]:
    """Complete what can vary: arguments of the net and fields of a recipe, or after a dot what the field's components
    take."""
    field, dot, _ = line.removeprefix("vary").strip().partition(".")
    if dot:
        kind = arguments(Recipe)[field].kind if field in arguments(Recipe) else None
        components = (kind.item or kind).components.values() if kind else ()
        yield from ((a, Kinds.Field, f"argument of {field}") for c in components for a in arguments(c))
        return
    head = re.findall(r"^experiment[ \t]+\w+[ \t]+for[ \t]+(\w+)", text, re.MULTILINE)
    net = block(analysis.checked.module, head[-1]) if head else None
    yield from ((p.name.id, Kinds.Variable, f"argument of {head[-1]}") for p in (net[1].parameters if net else ()))
    yield from ((name, Kinds.Property, "field of the recipe") for name in field_names())


def _said(path: str) -> str:
    kind = measure_kind(path)
    return kind.said if kind is not None else ""


def experiment_hints(analysis: Analysis, node: ast.Experiment) -> Iterator[tuple[int, str, str]]:
    """Offset, text and tooltip of what an experiment's lines come to: its cells, and its runs."""
    if any(d.severity == "error" for d in analysis.diagnostics):
        return
    made = read_experiment(analysis.checked.module, node, analysis.checked.elaborator.evaluator).experiment
    if made is None:
        return
    varied = [entry for entry in node.entries if isinstance(entry, ast.Vary)]
    cells = "\n".join(islice((cell.label for cell in made.cells()), MOST)) if made.search is None else ""
    if varied:
        yield varied[-1].at.end, plural(made.size, "cell"), cells
    for entry in node.entries:
        if isinstance(entry, ast.Field) and entry.name.id == "seeds":
            yield entry.at.end, plural(made.size * made.seeds, "run"), ""


def entry_text(name: str) -> str:
    """Describe an entry of an experiment."""
    return f"`{name}`: {ENTRIES[name]}" if name in ENTRIES else ""


def measure_text(path: str) -> str:
    """Describe a measure, and which way is better."""
    kind = measure_kind(path)
    if kind is None:
        return ""
    split = path.partition(".")[0] if "." in path else ""
    after = f", of the final weights on the {split} split" if split else ""
    return f"`{path}`: {kind.said}{after}"
