"""Every example in the README and the docs runs: specs check, commands succeed, Python prints what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import followed
import pytest
from forks import Forks

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.render.diagnostics import render
from netdsl.source import Source

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLLOWED = "docs/tutorial.md"
"""The page whose commands follow each other: tests/website/test_tutorial.py."""


def blocks(language: str) -> list[tuple[str, str]]:
    """The blocks of a language, but for the files of a plug-in, which tests/plugins loads together."""
    found = ((str(page.relative_to(ROOT)), followed.blocks(page.read_text())) for page in PAGES)
    return [
        (page, block.text)
        for page, inside in found
        for block in inside
        if block.language == language and not (language == "python" and block.title)
    ]


def commands() -> list[Any]:
    found = []
    for page, text in blocks("console"):
        lines = [line[2:].split("#")[0].strip() for line in text.splitlines() if line.startswith("$ ")]
        found += [pytest.param(line, marks=slow(page)) for line in lines if page != FOLLOWED]
    return found


def programs() -> list[Any]:
    return [pytest.param(page, text, marks=slow(page)) for page, text in blocks("python") if page != FOLLOWED]


def slow(page: str) -> list[pytest.MarkDecorator]:
    """Pages in folders below the documentation are run by `make test-all`."""
    return [pytest.mark.slow] if page.count("/") > 1 else []


@pytest.mark.parametrize(("page", "text"), blocks("net"))
def test_specs_check(page: str, text: str) -> None:
    source = Source(text, str(ROOT / "specs" / "example.net"))
    found = Spec(source, partial(read_import, unsaved=saved(page))).diagnostics
    assert not found, "\n".join(map(render, found))


def saved(page: str) -> dict[str, Source]:
    """The specs that a page tells to save, as they are at its end."""
    inside = followed.blocks((ROOT / page).read_text())
    found = {b.title: b.text for b in inside if b.title.endswith(".net")}
    return {str(ROOT / "specs" / title): Source(text, str(ROOT / "specs" / title)) for title, text in found.items()}


def test_there_are_examples() -> None:
    assert len(commands()) > 5
    assert blocks("net")
    assert blocks("python")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as found:
        yield found


@pytest.mark.parametrize("line", commands())
def test_commands_succeed(line: str, tmp_path: Path, forks: Forks) -> None:
    words = shlex.split(line)
    assert words[0] == "netdsl"
    if words[1] in ("compile", "train"):
        words = [w if w != "out" else str(tmp_path / "out") for w in words]
        words += [] if "-o" in words else ["-o", str(tmp_path / "run")]
    code, said = forks.run(words[1:], ROOT, tmp_path / "said.txt")
    differs = words[1] == "diff" and code == 1
    assert code == 0 or differs, said


@pytest.mark.parametrize(("page", "text"), programs())
def test_python_prints_what_it_says(page: str, text: str, tmp_path: Path, forks: Forks) -> None:
    if "@register" in text or "def infer" in text:
        pytest.skip("a fragment of a class")
    code, said = forks.run(text, tmp_path, tmp_path / "said.txt")
    assert code == 0, said
    for line in re.findall(r"^print\(.*\)\s+# ([\d{].*|True.*)$", text, re.MULTILINE):
        assert line in said


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
