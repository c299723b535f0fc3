"""A wheel, installed where there is nothing but lark, msgspec and rich: the zoo and the light commands work from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from paths import ROOT, SPECS

LIGHT = ("lark", "msgspec", "rich", "pygments", "markdown-it-py", "mdurl")
"""The dependencies of a light installation, and what rich needs."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel and links to the packages of a light installation."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site-packages"
    zipfile.ZipFile(wheel).extractall(target)
    for name in LIGHT:
        for file in distribution(name).files or ():
            top = file.parts[0]
            if not top.startswith("..") and not (target / top).exists():
                (target / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return target


def run(target: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-m", "netdsl", *arguments]
    environment = {"PYTHONPATH": str(target), "PATH": os.environ["PATH"], "HOME": str(cwd)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_the_wheel_holds_the_zoo_and_the_grammar(installed: Path) -> None:
    assert {p.name for p in (installed / "netdsl" / "specs").glob("*.net")} == {p.name for p in SPECS.glob("*.net")}
    assert (installed / "netdsl" / "syntax" / "netdsl.lark").is_file()
    assert (installed / "netdsl" / "py.typed").is_file()
    assert not list(installed.glob("tests*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("zoo",),
        ("check", "resnet", "unet:UNet"),
        ("summary", "resnet:ResNet50"),
        ("explain", "shape-mismatch"),
        ("fmt", "--check", "own.net"),
        ("check", "own.net"),
        ("compile", "resnet:ResNet18", "-o", "out", "--emit", "torch,summary"),
        ("view", "own.net", "-o", "own.svg"),
        ("diff", "resnet:ResNet18", "resnet:ResNet34"),
    ],
    ids=" ".join,
)
def test_light_commands_work(arguments: tuple[str, ...], installed: Path, tmp_path: Path) -> None:
    (tmp_path / "own.net").write_text("from resnet import Basic\n\nnet Own {\n  input x [3, 8, 8]\n  Basic(8)\n}\n")
    ran = run(installed, *arguments, cwd=tmp_path)
    assert "rror" not in ran.stderr
    assert ran.returncode == (1 if arguments[0] == "diff" else 0)


def test_the_summary_is_that_of_the_paper(installed: Path, tmp_path: Path) -> None:
    found = json.loads(run(installed, "summary", "resnet:ResNet50", "--json", cwd=tmp_path).stdout)
    assert found["params"] == 25_557_032


def test_a_heavy_command_names_the_package_that_is_missing(installed: Path, tmp_path: Path) -> None:
    ran = run(installed, "train", "lenet", cwd=tmp_path)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 2)
    assert ran.stderr.startswith("error[missing-package]: this needs the package `")
