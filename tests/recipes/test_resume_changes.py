"""What `--set` may change on a resumed run, what it may not, and how both are said."""

from __future__ import annotations

import pytest
from recipe_harness import recipe, resolved

from netdsl.elaborate.expressions import Evaluator
from netdsl.planning.recipes import change_recipe
from netdsl.recipe.resume import FIXED, KINDS, changes, refusal
from netdsl.recipe.schema import Recipe

BASE = """
epochs = 20
optimizer = sgd(lr=0.1, momentum=0.9)
schedule = warmup(5 epochs) -> cosine
ema = 0.99
stop = early_stopping(5)
validation = 0.1
group norm { weight_decay = 0 }
"""


def changed(**settings: str) -> Recipe:
    after = change_recipe(recipe(BASE), Evaluator(), {k.replace("__", "."): v for k, v in settings.items()})
    found, mistakes = after.recipe, after.diagnostics
    assert found is not None, mistakes
    return found


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": "40"}, ["epochs: 20 -> 40"]),
        ({"steps": "900"}, ["epochs: 20 -> none", "steps: none -> 900"]),
        ({"optimizer__lr": "0.05"}, ["optimizer.lr: 0.1 -> 0.05"]),
        ({"stop__patience": "9"}, ["stop.patience: 5 -> 9"]),
        ({"stop": "none"}, ["stop: early_stopping(patience=5, metric=loss, least=0) -> none"]),
        ({"keep": "3"}, ["keep.last: 1 -> 3"]),
        ({"evaluate": "2 epochs"}, ["evaluate: 1 epochs -> 2 epochs"]),
        ({"micro_batch": "8", "ema__decay": "0.9"}, ["ema.decay: 0.99 -> 0.9", "micro_batch: 0 -> 8"]),
        ({"clip": "1.0"}, ["clip: none -> norm(limit=1)"]),
        ({"epochs": "20"}, []),
    ],
)
def test_changes_are_said_one_by_one(settings: dict[str, str], said: list[str]) -> None:
    after = changed(**settings)
    assert [str(c) for c in changes(recipe(BASE), after)] == said
    assert refusal(recipe(BASE), after) is None
    assert after.groups == recipe(BASE).groups


def test_a_longer_run_keeps_the_length_of_its_warmup() -> None:
    """A new run for 40 epochs would warm up for 10; this one has warmed up already."""
    assert changed(epochs="40").schedule == recipe(BASE).schedule


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch": "32"}, "`batch` cannot change in the middle of a run: a step"),
        ({"seed": "4"}, "`seed` cannot change"),
        ({"data": "clutter"}, "`data` cannot change"),
        ({"validation": "0.2"}, "trained on"),
        ({"optimizer": "adamw"}, "`optimizer` cannot become another"),
        ({"ema": "none"}, "`ema` cannot become another"),
        ({"drop_path": "linear(0, 0.1)"}, "`drop_path` cannot become another"),
    ],
)
def test_what_would_change_the_meaning_of_a_run_is_refused(settings: dict[str, str], words: str) -> None:
    assert words in (refusal(recipe(BASE), changed(**settings)) or "")


def test_a_change_is_checked_like_any_recipe() -> None:
    for settings, code in (
        ({"epochs": "3"}, "schedule-too-long"),
        ({"epoch": "3"}, "unknown-field"),
        ({"epochs": "0"}, "bad-value"),
        ({"epochs": "{"}, "bad-value"),
    ):
        after = change_recipe(recipe(BASE), Evaluator(), settings)
        found, mistakes = after.recipe, after.diagnostics
        assert found is None or code == "unknown-field"
        assert mistakes[0].code == code


def test_the_lists_name_fields() -> None:
    known = set(Recipe.__struct_fields__)
    assert set(FIXED) <= known
    assert set(KINDS) <= known


def test_settings_are_paid_from_a_budget() -> None:
    endless = "len([0 for i in range(100000) if len([0 for j in range(100000)]) > 3])"
    (only,) = change_recipe(recipe(BASE), Evaluator(), {"micro_batch": endless}).diagnostics
    assert only.code == "too-much-work"
    assert "comprehension" in only.message
    (only,) = resolved(f"recipe R {{{BASE}}}", micro_batch=endless)[1]
    assert only.code == "too-much-work"
    assert only.at is not None
