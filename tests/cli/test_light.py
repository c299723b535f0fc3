"""A light installation: lark, msgspec and rich suffice for the commands that never compute with tensors."""

from __future__ import annotations

import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from missing import run_without

from netdsl.api import open_spec
from netdsl.cli.main import COMMANDS
from netdsl.diagnostics.packages import missing
from netdsl.loader import zoo

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "safetensors", "sklearn", "scipy", "PIL")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_without(HEAVY, *arguments, cwd=cwd, timeout=60)


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


@pytest.mark.parametrize(
    "arguments",
    [("train", "lenet"), ("verify", "lenet"), ("compile", "lenet"), ("runs", "runs"), ("compare", "a", "b")],
    ids=" ".join,
)
def test_a_missing_package_is_named_in_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = run(*arguments, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error[missing-package]: this needs the package `")
    assert ran.stderr.count("\n") == 2, "the message and its hint"
    assert "pip install torch numpy onnx onnxruntime safetensors scikit-learn pillow" in ran.stderr


def test_a_package_without_a_part_is_not_said_to_be_missing() -> None:
    found = missing(ModuleNotFoundError("no", name="onnxruntime.nothing.there"))
    assert found is not None
    assert found.message == "this needs `onnxruntime.nothing.there`, which the installed `onnxruntime` does not have"
    assert found.hint == "pip install --upgrade onnxruntime"


def test_examples_of_help_name_specs_and_nets_that_are_there() -> None:
    """A spec of the zoo is named without its ending, which no command finds elsewhere."""
    known = {name: open_spec(name) for name in zoo()}
    texts = {c: import_module(f"netdsl.cli.{c}") for c in COMMANDS}
    found = {c: re.findall(r"\b(\w+)(\.net)?(?::(\w+))?\b", getattr(m, "EXAMPLES", "")) for c, m in texts.items()}
    named = [(c, *one) for c, all_of in found.items() for one in all_of if one[0] in known and (one[1] or one[2])]
    assert len(named) > 20
    assert [n for n in named if n[2] or n[3] not in known[n[1]].module.names] == []


@pytest.mark.parametrize(
    ("package", "arguments", "said", "install"),
    [
        ("pygls", ("lsp",), "this needs the package `pygls`", "pip install 'pygls>=2.1,<3'"),
        ("ml_dtypes", ("weights", "own.net", "half.safetensors"), "this needs the package `ml-dtypes`", "ml-dtypes"),
        ("huggingface_hub", ("weights", "own.net", "--pretrained", "timm/a"), "fetching weights by name needs", "hub"),
    ],
)
def test_every_missing_package_is_named(
    package: str, arguments: tuple[str, ...], said: str, install: str, tmp_path: Path
) -> None:
    (tmp_path / "own.net").write_text("net A {\n  input x [3]\n  linear(2)\n}\n")
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    (tmp_path / "half.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    ran = run_without((package,), *arguments, cwd=tmp_path, timeout=60)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 2)
    assert said in ran.stderr
    assert install in ran.stderr
