"""A light installation: lark, msgspec and rich suffice for the commands that never compute with tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "safetensors", "sklearn", "scipy", "PIL")

WITHOUT = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from netdsl.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "resnet", "convnext"),
        ("summary", "unet", "--json"),
        ("summary", "resnet:ResNet50"),
        ("view", "resnet:ResNet50", "-o", "resnet.svg"),
        ("zoo",),
        ("ops", "conv"),
        ("recipe", "convnext:ImageNet300", "--samples", "1281167"),
        ("compile", "lenet", "-o", "out", "--emit", "torch,ir,summary"),
    ],
    ids=" ".join,
)
def test_works_without_heavy_packages(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_fmt_works(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text("net A {\n input x [3]\n relu\n}\n")
    assert run("fmt", "a.net", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("arguments", [("train", "lenet"), ("verify", "lenet"), ("compile", "lenet")], ids=" ".join)
def test_a_missing_package_is_named_in_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: this needs the package `")
    assert ran.stderr.count("\n") == 2, "the message and its hint"
