"""What stands beside the nets of a file ends too: recipes, experiments and their cells are paid from one budget."""

from __future__ import annotations

import pytest

from netdsl.budget import UNITS, paid
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

NET = """\
net N(a=4) {{
  input image [3, 8, 8]
  repeat {layers} {{ conv(a, 3, bias=false) -> bn }}
  gap -> linear(10)
}}
"""
RECIPE = "recipe R for N { epochs = 1 }\n"
VARY = "experiment E{0} for N {{\n  vary a = {1}\n  measure = [test.top1]\n}}\n"
EXPERIMENTS = {
    "many experiments": (2, "".join(VARY.format(i, "range(1, 20)") for i in range(600))),
    "large nets": (900, VARY.format("", "range(1, 500)")),
    "mistaken cells": (2, VARY.format("", "[-i for i in range(1, 9000)]")),
    "long values": (2, VARY.format("", "[[0] * n for n in range(1, 600)]")),
}


def read(text: str) -> tuple[Spec, int]:
    """A spec, checked, and the units that all of it cost, those of its cells included."""
    before = paid()
    spec = Spec(Source(text, "bomb.net"), read_import)
    assert spec.diagnostics is not None
    return spec, paid() - before


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_experiments_end(kind: str) -> None:
    layers, text = EXPERIMENTS[kind]
    spec, units = read(NET.format(layers=layers) + RECIPE + text)
    assert units < 2 * UNITS
    assert {d.code for d in spec.diagnostics} <= {"unfit-cell", "too-much-work", "plain-depth"}, spec.diagnostics


def test_cells_that_the_budget_pays_for_are_all_looked_at() -> None:
    cells = "[4, 8, 16, 32, 64, -1, 2, 3]"
    spec, _ = read(NET.format(layers=20) + RECIPE + VARY.format("", cells))
    (found,) = spec.diagnostics
    assert found.code == "unfit-cell"
    assert found.at is not None
    assert found.at.text == "-1"


def test_recipes_of_large_nets_end() -> None:
    recipes = "".join(f"recipe R{i} for N {{ epochs = 1 }}\n" for i in range(900))
    spec, units = read(NET.format(layers=400) + recipes)
    assert units < 2 * UNITS
    (found,) = (d for d in spec.diagnostics if d.severity == "error")
    assert (found.code, found.at is not None and found.at.text[0]) == ("too-much-work", "R")
    assert "ends in this recipe" in found.message
    assert not any(
        d.severity == "error"
        for d in read(NET.format(layers=400) + "".join(recipes.splitlines(True)[:40]))[0].diagnostics
    )
