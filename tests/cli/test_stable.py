"""What is stable: JSON of `check`, `summary` and `recipe`, exit codes, diagnostic codes, state-dict keys.

`tests/data/stable.json` holds it. Additions are compatible; whatever it names may not disappear or change its type.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from paths import SPECS, TESTS
from recipe_harness import recipe

from netdsl.analysis.count import buffers, parameters
from netdsl.cli.main import main
from netdsl.diagnostics.codes import TABLE
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec

GOLDEN = TESTS / "data" / "stable.json"

WRONG = "net A {\n  input x [4]\n  rleu\n}\n\nnet B {\n  input x [4, 8]\n  residual { linear(4) }\n}\n"
"""A spec whose diagnostics have labels, hints with edits, and hints without."""

JSON: dict[str, list[str]] = {
    "check": ["check", "wrong.net", "lenet", "--json"],
    "summary": ["summary", "unet", "--json"],
    "recipe": ["recipe", "lenet", "--json"],
}

EXITS: dict[str, int] = {
    "check lenet": 0,
    "check wrong.net": 1,
    "check missing.net": 2,
    "check": 2,
    "check --wrong lenet": 2,
    "chekc lenet": 2,
    "summary wrong.net": 1,
    "summary missing.net": 2,
    "summary lenet:Missing": 1,
    "fmt --check wrong.net": 0,
    "explain no-such-code": 2,
    "recipe lenet --set epochz=3": 1,
    "recipe lenet --set epochs": 2,
    "zoo missing": 2,
    "view lenet -o lenet.bmp": 2,
    "help": 0,
    "--version": 0,
}

NETS = ("lenet:LeNet5", "resnet_cifar:ResNet20", "mixer:Mixer_S16", "unet:UNet")


def shape(value: Any) -> Any:
    """The keys and types of a JSON value; those of all items of a list are joined."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [joined([shape(v) for v in value])] if value else []
    return "null" if value is None else type(value).__name__


def joined(shapes: list[Any]) -> Any:
    """One shape for several: the keys of all, the first that says more than null."""
    if all(isinstance(s, dict) for s in shapes):
        return {k: joined([s[k] for s in shapes if k in s]) for s in shapes for k in s}
    return max(shapes, key=lambda s: (s not in ("null", []), str(s)))


def lost(before: Any, now: Any, path: str = "") -> list[str]:
    """What a shape named and no longer has."""
    if isinstance(before, dict):
        if not isinstance(now, dict):
            return [path]
        return [p for k, v in before.items() for p in (lost(v, now[k], f"{path}.{k}") if k in now else [f"{path}.{k}"])]
    if isinstance(before, list):
        return lost(before[0], now[0], f"{path}[]") if before and now else [] if isinstance(now, list) else [path]
    return [] if before == now or "null" in (before, now) or {before, now} == {"int", "float"} else [path]


def keys(name: str) -> list[str]:
    spec, _, net = name.partition(":")
    program = Spec(load_source(SPECS / f"{spec}.net"), read_import).net(net).checked
    return sorted([p.path for p in parameters(program.main)] + [b.path for b in buffers(program.main) if b.persistent])


FILES = {"wrong.net": WRONG}


def held(part: str, name: str, make: Callable[[], Any], update: bool) -> Any:
    """The golden value of a part, rewritten first where golden files are to be updated."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if update:
        golden.setdefault(part, {})[name] = make()
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    return golden[part][name]


@pytest.mark.parametrize("name", JSON)
def test_json(name: str, here: Path, capsys: pytest.CaptureFixture[str], update_golden: bool) -> None:
    main(JSON[name])
    now = shape(json.loads(capsys.readouterr().out))
    assert not lost(held("json", name, lambda: now, update_golden), now)


def test_recipe_json_of_a_run(update_golden: bool) -> None:
    found = recipe("data = digits\noptimizer = adamw\nschedule = warmup(1 epochs) -> cosine\naugment = hflip")
    now = shape(msgspec.json.decode(msgspec.json.encode(found)))
    assert not lost(held("json", "recipe.json", lambda: now, update_golden), now)


@pytest.mark.parametrize("line", EXITS)
def test_exit_codes(line: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == EXITS[line], capsys.readouterr().err


def test_codes(update_golden: bool) -> None:
    assert set(held("codes", "all", lambda: sorted(TABLE), update_golden)) <= set(TABLE)


@pytest.mark.parametrize("net", NETS)
def test_state_dict_keys(net: str, update_golden: bool) -> None:
    assert keys(net) == held("keys", net, lambda: keys(net), update_golden)
