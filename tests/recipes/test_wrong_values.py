"""Every field of a recipe and every argument of its components, with values that it does not take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.elaborate import Elaborator
from netdsl.fixes.suggest import suggest
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.planning.recipes import load_recipe
from netdsl.recipe.annotations import Kind, arguments
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.hints import takes
from netdsl.recipe.schema import Recipe
from netdsl.render.diagnostics import as_data, render
from netdsl.source import Source

NET = "net A {\n  input image [3, 32, 32]\n  conv(16, 3, bias=false) -> bn -> relu -> gap -> linear(10)\n}\n"
NUMBERS = ("0.5", "1", "2", "5", "0")


def sample(kind: Kind) -> str:
    """A value that a kind takes."""
    if kind.accepts_duration:
        return "5 epochs"
    if {int, float} & set(kind.plain):
        return next(n for n in NUMBERS if takes(kind, float(n) if "." in n else int(n)))
    if str in kind.plain:
        return '"x"'
    if kind.each or kind.item is not None:
        return f"[{', '.join(map(sample, kind.each or (kind.item,)))}]"  # type: ignore[arg-type]
    return call(next(iter(kind.components.values())), {}) if kind.components else (*kind.choices, "true")[0]


def call(component: type[Component], given: dict[str, str]) -> str:
    """A component with the arguments that it needs, and others."""
    needed = {n: sample(a.kind) for n, a in arguments(component).items() if a.required}
    inside = ", ".join(f"{n}={v}" for n, v in (needed | given).items())
    return component_name(component) + (f"({inside})" if inside else "")


def wrong(kind: Kind) -> Iterator[str]:
    """Values that a kind does not take."""
    if kind.accepts_duration:
        yield from ("5", "-3 epochs")
    elif {int, float} & set(kind.plain):
        yield from numbers(kind)
        yield "[1]" if str in kind.plain else '"word"'
    elif kind.each:
        yield from (f"[{value}, {sample(kind.each[1])}]" for value in wrong(kind.each[0]))
    elif kind.item is not None and not kind.item.components:
        yield from (f"[{value}]" for value in wrong(kind.item))
    elif kind.choices or kind.components:
        yield "nonsense"
    elif bool in kind.plain or str in kind.plain:
        yield "17"


def numbers(kind: Kind) -> Iterator[str]:
    """Numbers at and beyond the ends of a range."""
    limits = kind.limits
    beyond = {"ge": (-1, 0), "gt": (-1, 0), "le": (2, 1), "lt": (90, 0)}
    for name, limit in limits.items():
        scale, more = beyond[name]
        yield f"{limit - 1 if scale < 0 else limit * scale + more:g}"
    yield from (f"{limits[name]:g}" for name in ("gt", "lt") if name in limits)
    if float not in kind.plain:
        yield "1.5"


def lines() -> Iterator[tuple[str, str]]:
    """Lines of a recipe with one wrong value each, and that value."""
    for name, field in arguments(Recipe).items():
        if name in ("name", "target", "groups", "freeze"):  # said by other lines of a recipe
            continue
        yield from ((f"{name} = {value}", value) for value in wrong(field.kind))
        kind = field.kind if field.kind.components else field.kind.item
        for component in kind.components.values() if kind is not None else ():
            for argument, info in arguments(component).items():
                for value in wrong(info.kind):
                    yield f"{name} = {call(component, {argument: value})}", value


def check(source: Source) -> tuple[Diagnostic, ...]:
    return Spec(source, lambda *_: None).diagnostics


def test_each_wrong_value_is_one_mistake_at_it_with_a_hint() -> None:
    valid = {"clip = nonsense", "keep = nonsense"}
    table = dict(lines())
    assert len(table) > 600
    bad = []
    for line in table.keys() - valid:
        found = check(Source(f"recipe R {{\n  {line}\n}}\n", "r.net"))
        at = found[0].at if len(found) == 1 else None
        first = table[line].strip("[]").split(",")[0]
        if at is None or at.line != 2 or first not in at.text or not found[0].hints or found[0].severity != "error":
            bad.append((line, found))
    assert not bad


@pytest.mark.parametrize(
    ("line", "fixed"),
    {
        "ema = 99.9": "ema = 0.999",
        "validation = 20": "validation = 0.2",
        "swa = 75": "swa = swa(0.75)",
        "augment = hflip(50)": "augment = hflip(0.5)",
        "batch = 32.5": "batch = 32",
        "batch = -64": "batch = 64",
        "optimizer = adamw(betas=[0.9, 99.9])": "optimizer = adamw(betas=[0.9, 0.999])",
        "schedule = warmup(-5 epochs) -> cosine": "schedule = warmup(5 epochs) -> cosine",
        'batch = "32"': "batch = 32",
        "deterministic = 1": "deterministic = true",
        "data = imagefolder(17)": 'data = imagefolder("17")',
    }.items(),
)
def test_what_was_meant_is_a_fix(line: str, fixed: str) -> None:
    source = Source(f"{NET}recipe R for A {{\n  {line}\n}}\n", "r.net")
    (found,) = suggest(source, check(source), check)
    edits = [e for h in found.hints for e in h.edits]
    text = source.text
    for edit in sorted(edits, key=lambda e: -e.at.span.start):
        text = text[: edit.at.span.start] + edit.text + text[edit.at.span.end :]
    assert fixed in text


def test_an_option_has_no_lines() -> None:
    """What is wrong in `--set` is told with the option for a place: its text is made by us."""
    resolved = load_recipe(Spec(Source(NET), read_import).module, Elaborator().evaluator, None, {"batch": "-1"})
    found = resolved.diagnostics[0]
    assert "--> --set batch=-1\n" in render(found)
    assert as_data(found)["file"] == "--set batch=-1"
    assert as_data(found)["line"] is None
