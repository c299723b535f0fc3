"""What a `check` with an empty cache imports and compiles: counts, which no other work of the machine changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from paths import ROOT
from work import lines_run

from netdsl.loader import load_source, read_import
from netdsl.ops import NAMED, REGISTRY
from netdsl.pipeline import Spec

COUNTED = """
import json, re, sys
compiled = []
compile = re._compiler.compile
re._compiler.compile = lambda pattern, flags=0: (compiled.append(pattern), compile(pattern, flags))[1]
import netdsl.cli.main
try:
    netdsl.cli.main.entry()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps([len(compiled), sorted(sys.modules)]))
"""


def counted(spec: Path | str) -> tuple[int, list[str]]:
    """How many patterns a `check` compiles, and the modules that it imports."""
    ran = subprocess.run(
        [sys.executable, "-c", COUNTED, "check", str(spec)], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "NETDSL_CACHE": "off"},
    )  # fmt: skip
    patterns, modules = json.loads(ran.stdout.splitlines()[-1])
    return patterns, modules


def test_a_net_alone_is_checked_without_the_rooms_of_recipes(tmp_path: Path) -> None:
    spec = tmp_path / "a.net"
    spec.write_text("net A {\n  input image [3, 8, 8]\n  flatten -> linear(10)\n}\n")
    patterns, modules = counted(spec)
    assert patterns <= 60
    assert [m for m in modules if m.startswith(("netdsl.recipe", "netdsl.planning", "netdsl.diagnostics.codes"))] == []
    assert [m for m in modules if m.startswith("netdsl.fixes")] == []
    assert {"pathlib", "urllib", "shlex", "tomllib", "heapq", "rich", "importlib.metadata"} & set(modules) == set()
    assert len([m for m in modules if m.startswith("netdsl")]) <= 150
    assert len(modules) <= 321


def test_a_spec_with_recipes_imports_the_ops_that_it_uses() -> None:
    patterns, modules = counted("specs/lenet.net")
    assert patterns <= 75
    assert len([m for m in modules if m.startswith("netdsl")]) <= 230
    assert len([m for m in modules if m.startswith("netdsl.ops.")]) <= 25, "of some fifty"


def test_the_index_of_ops_is_what_the_families_register() -> None:
    """Which file holds an op is read from the texts of the files; importing them all says the same."""
    index = dict(REGISTRY._index)
    assert {kind: op.__module__.rpartition(".")[2] for kind, op in REGISTRY.items()} == index
    folder = ROOT / "netdsl" / "ops"
    assert sum(path.read_bytes().count(NAMED) for path in folder.glob("*.py")) > 100


def test_a_block_that_is_met_again_costs_its_names_and_types() -> None:
    """A block is elaborated once: each of ResNet-1202's 546 further ones runs some 480 lines of Python. In time the
    net costs 1.4 times what ResNet-110 costs (`benchmarks/elaboration.py`)."""
    source = load_source(str(ROOT / "specs" / "resnet_cifar.net"))

    def elaborated(net: str) -> None:
        assert Spec(source, read_import).net(net).program is not None

    elaborated("ResNet110")
    few, many = (lines_run(partial(elaborated, name)) for name in ("ResNet110", "ResNet1202"))
    assert (many - few) / 546 < 520
