"""Recipes and changes as older versions wrote them into run directories, read as those of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from recipe_harness import recipe

from netdsl.inference.errors import CheckpointError
from netdsl.recipe.registry import decoded
from netdsl.recipe.schema import Recipe
from netdsl.recipe.stored import current_recipe
from netdsl.training.checkpoints.run_dir import read_about, write_json

FIELDS = """
data = digits
epochs = 3
optimizer = sgd(lr=0.1)
schedule = warmup(1 epochs) -> cosine
augment = crop(padding=1) -> hflip
outputs = weights(word=0.3, main=1)
"""


def old(value: Any) -> Any:
    """A recipe as 0.1.0 and 0.2.0 wrote it: the name of a component was under `word`."""
    if isinstance(value, list):
        return [old(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {"word" if k == "component" else k: old(v) for k, v in value.items()}


def test_the_name_of_a_component_was_under_another_key() -> None:
    found = recipe(FIELDS)
    now = msgspec.json.decode(msgspec.json.encode(found))
    assert now["optimizer"]["component"] == "sgd"
    before = old(now)
    assert "component" not in json.dumps(before)
    before.pop("standardize_targets")
    read = msgspec.convert(current_recipe(before), Recipe, dec_hook=decoded)
    assert read == msgspec.structs.replace(found, standardize_targets=False)
    assert read.outputs["word"] == 0.3


def test_a_run_directory_of_an_older_version(tmp_path: Path) -> None:
    about = {
        "net": "A",
        "arguments": {"word": "'a'"},
        "sizes": {},
        "mean": [0],
        "std": [1],
        "classes": [],
        "task": "classes",
    }
    change = {"field": "ema", "before": None, "after": {"word": "ema", "decay": 0.9}, "step": 4}
    about |= {"task": "classes", "data": "digits", "base": ".", "versions": {}, "changes": [change]}
    write_json(tmp_path / "run.json", about)
    write_json(tmp_path / "recipe.json", old(msgspec.json.decode(msgspec.json.encode(recipe(FIELDS)))))
    now, read = read_about(tmp_path)
    assert read == recipe(FIELDS)
    assert now.arguments == {"word": "'a'"}
    assert str(now.changes[0]) == "ema: none -> ema(decay=0.9)"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("run.json", {"language": 99}, "version 99 of the language is not known"),
        ("recipe.json", {"brand_new": 1}, "the field `brand_new` of recipe.json is not known"),
        ("recipe.json", {"optimizer": {"component": "sgd", "lr": 0.1, "warm": 2}}, "the field `optimizer.warm` of"),
    ],
)
def test_a_run_of_a_newer_version_is_refused(tmp_path: Path, file: str, change: dict[str, Any], said: str) -> None:
    about = {"net": "A", "arguments": {}, "sizes": {}, "mean": [0], "std": [1], "classes": [], "task": "classes"}
    about |= {"data": "digits", "base": ".", "versions": {"netdsl": "9.1"}}
    write_json(tmp_path / "run.json", about)
    write_json(tmp_path / "recipe.json", recipe(FIELDS))
    read_about(tmp_path)
    write_json(tmp_path / file, json.loads((tmp_path / file).read_text()) | change)
    with pytest.raises(CheckpointError) as found:
        read_about(tmp_path)
    assert said in str(found.value)
    assert "was written by netdsl 9.1" in str(found.value)
