"""Every example in the README and the docs runs: specs check, commands succeed, Python prints what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.render.diagnostics import render
from netdsl.source import Source

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW = ("train", "verify", "compile")


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = rf"^```{language}\n(.*?)^```"
    return [(p.name, text) for p in PAGES for text in re.findall(pattern, p.read_text(), re.DOTALL | re.MULTILINE)]


def commands() -> list[str]:
    lines = [line[2:] for _, text in blocks("console") for line in text.splitlines() if line.startswith("$ ")]
    return [line.split("#")[0].strip() for line in lines]


@pytest.mark.parametrize(("page", "text"), blocks("net"))
def test_specs_check(page: str, text: str) -> None:
    found = Spec(Source(text, str(ROOT / "specs" / page)), read_import).diagnostics
    assert not found, "\n".join(map(render, found))


def test_there_are_examples() -> None:
    assert len(commands()) > 5
    assert blocks("net")
    assert blocks("python")


@pytest.mark.parametrize("line", commands())
def test_commands_succeed(line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    assert words[0] == "netdsl"
    if words[1] in ("compile", "train"):
        words = [w if w != "out" else str(tmp_path / "out") for w in words]
        words += [] if "-o" in words else ["-o", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    differs = words[1] == "diff" and done.returncode == 1
    assert done.returncode == 0 or differs, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_prints_what_it_says(page: str, text: str, tmp_path: Path) -> None:
    if "@register" in text or "def infer" in text:
        pytest.skip("a fragment of a class")
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for said in re.findall(r"^print\(.*\)\s+# ([\d{].*|True.*)$", text, re.MULTILINE):
        assert said in done.stdout


def test_the_page_of_recipes_is_up_to_date() -> None:
    from netdsl.render.recipes import page

    text = (ROOT / "docs" / "recipes.md").read_text()
    assert text.count("made by `make docs`") == 2
    assert text == page(text, str(ROOT / "specs")), "run `make docs`"


def test_the_worked_example_is_the_recipe_of_the_zoo() -> None:
    shown = (ROOT / "docs" / "recipes.md").read_text()
    spec = (ROOT / "specs" / "convnext.net").read_text()
    (recipe,) = re.findall(r"^recipe ImageNet300 for ConvNeXt \{\n.*?^\}\n", spec, re.MULTILINE | re.DOTALL)
    assert recipe in shown


def test_the_page_of_the_zoo_is_up_to_date() -> None:
    from netdsl.render.zoo import page

    assert (ROOT / "docs" / "zoo.md").read_text() == page(str(ROOT / "specs")), "run `make docs`"
