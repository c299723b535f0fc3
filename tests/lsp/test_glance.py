"""What is beside the declaration under the cursor, before the whole file is checked: the same as afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from netdsl.budget import paid
from netdsl.loader import zoo
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.hints import glance_at, hints
from netdsl.source import Source, Span
from netdsl.syntax import ast


@pytest.mark.parametrize("name", ["resnet", "lenet", "unet", pytest.param("", marks=pytest.mark.slow)])
def test_a_glance_says_what_the_check_says(name: str) -> None:
    for path in [zoo()[name]] if name else zoo().values():
        text = Path(path).read_text()
        whole = Analysis(Source(text, path), {}).run()
        blocks = [d for d in whole.checked.module.file.declarations if isinstance(d, ast.Block)]
        said = 0
        for block in blocks:
            found = glance_at(Analysis(Source(text, path), {}), block.at.start + 1, {})
            if found is None:
                continue
            span, here = found
            assert span == block.at
            inside = [h for h in hints(whole, span, {}) if span.start <= h.offset <= span.end]
            assert [(h.offset, h.text) for h in here] == [(h.offset, h.text) for h in inside], (
                f"{path}: {block.name.id}"
            )
            said += 1
        assert said == len([b for b in blocks if whole.instances(b)]), path


def test_a_glance_is_a_small_part_of_a_check() -> None:
    """Counted in units of work: one net of several is elaborated, and nothing is checked."""
    path = zoo()["resnet"]
    text = Path(path).read_text()
    begun = paid()
    assert glance_at(Analysis(Source(text, path), {}), text.index("residual"), {}) is not None
    looked = paid() - begun
    Analysis(Source(text, path), {}).run()
    assert 0 < 3 * looked < paid() - begun - looked


@pytest.mark.parametrize(
    "text",
    [
        "net N {\n  input x [3]\n  linear(\n}\n",
        "X = 3\n",
        "block B(c) = conv(c, 3)\n",
        "",
    ],
)
def test_where_nothing_can_be_said_the_check_says_it(text: str) -> None:
    assert glance_at(Analysis(Source(text), {}), 3, {}) is None


def test_a_look_that_is_cancelled_says_nothing() -> None:
    text = "net N {\n  input x [3]\n  linear(3)\n}\n"
    analysis = Analysis(Source(text), {})
    analysis.cancel()
    assert glance_at(analysis, 3, {}) is None


def test_what_an_experiment_comes_to_is_shown() -> None:
    net = "net N(width=8) {\n  input x [16]\n  linear(width) -> relu -> linear(10)\n}\n"
    recipe = "recipe R for N {\n  data = synthetic\n  epochs = 2\n}\n"
    entries = "vary width = [8, 16, 32]\n  vary optimizer.lr = [0.1, 0.01]\n  seeds = 4\n  measure = [test.top1]"
    text = f"{net}{recipe}experiment E for N {{\n  {entries}\n}}\n"
    analysis = Analysis(Source(text, "e.net"), {}).run()
    start = text.index("experiment")
    shown = {text.count("\n", start, h.offset): h for h in hints(analysis, Span(start, len(text)), {})}
    assert {line: h.text for line, h in shown.items()} == {2: "6 cells", 3: "24 runs"}
    assert shown[2].more.splitlines()[1] == "width = 8, optimizer.lr = 0.01"
    broken = Analysis(Source(text.replace("seeds = 4", "seeds = 0"), "e.net"), {}).run()
    assert hints(broken, Span(start, len(text)), {}) == []
