"""Recipes: what they say, what is refused and where, what is doubtful."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from msgspec.structs import replace
from recipe_harness import recipe, resolved

from netdsl.recipe.augmentations import Augment, Cutmix, Mixup
from netdsl.recipe.checks import check
from netdsl.recipe.component import Duration
from netdsl.recipe.optimizers import AdamW, Sgd
from netdsl.recipe.places import Places
from netdsl.recipe.registry import decoded
from netdsl.recipe.schedules import Cosine, Step, Warmup
from netdsl.recipe.schema import Recipe

CONVNEXT = """
WIDTH = 4
recipe ImageNet300 for ConvNeXt {
  data      = imagefolder("imagenet")
  epochs    = 300
  batch     = 1024 * WIDTH
  loss      = cross_entropy(label_smoothing=0.1)
  optimizer = adamw(lr=4e-3, betas=[0.9, 0.999], weight_decay=0.05)
  schedule  = warmup(20 epochs) -> cosine(to=1e-6)
  mix       = mixup(0.8) | cutmix(1.0)
  ema       = 0.9999
  group norm, bias, scale { weight_decay = 0 }
  group stem { lr = 0.1 * lr }
  freeze stages.0
}
recipe Long extends ImageNet300 {
  steps = 100_000
  schedule = cosine
}
"""


def test_a_published_recipe_resolves_to_plain_values() -> None:
    found, mistakes = resolved(CONVNEXT, "ImageNet300")
    assert mistakes == ()
    assert found is not None
    assert found.batch == 4096
    assert found.optimizer == AdamW(lr=4e-3, weight_decay=0.05)
    assert found.schedule == (Warmup(over=Duration(20, "epochs")), Cosine(to=1e-6))
    assert found.mix == (Mixup(alpha=0.8), Cutmix(alpha=1.0))
    assert found.ema is not None
    assert found.ema.decay == 0.9999
    assert found.groups[0].selectors == ("norm", "bias", "scale")
    assert found.groups[1].settings == {"lr": pytest.approx(4e-4)}
    assert found.freeze == ("stages.0",)


def test_extends_inherits_and_an_end_replaces_the_other() -> None:
    found, mistakes = resolved(CONVNEXT, "Long")
    assert mistakes == ()
    assert found is not None
    assert (found.epochs, found.steps, found.batch) == (None, 100_000, 4096)
    assert found.schedule == (Cosine(),)
    assert len(found.groups) == 2


def test_a_resolved_recipe_survives_json() -> None:
    found, _ = resolved(CONVNEXT, "ImageNet300")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Recipe, dec_hook=decoded) == found


@pytest.mark.parametrize(
    ("field", "code", "at", "hint"),
    [
        ("optimiser = adamw(lr=1e-3)", "unknown-field", "optimiser", "did you mean `optimizer`?"),
        ("lr = 0.1", "unknown-field", "lr", "optimizer"),
        ("optimizer = adamw(lr=-1)", "bad-value", "-1", None),
        ("optimizer = adamv(lr=1)", "unknown-word", "adamv", "did you mean `adam`"),
        ("optimizer = adamw(lrr=1)", "unknown-argument", "lrr=1", "did you mean `lr`?"),
        ("optimizer = adamw(1e-3, lr=1e-3)", "duplicate-argument", "lr=1e-3", None),
        ("optimizer = adamw(betas=[0.9, 1.5])", "bad-value", "1.5", None),
        ("optimizer = adamw(lr=true)", "bad-value", "true", None),
        ("schedule = warmup(20 epoch) -> cosinus", "unknown-word", "cosinus", "it is called `cosine`"),
        ("schedule = warmup(20)", "bad-unit", "20", "write `20 epochs` or `20 steps`"),
        ("schedule = cosine | constant", "field-value", "cosine | constant", "one after the other"),
        ("mix = mixup -> cutmix", "field-value", "mixup -> cutmix", "one of them per batch"),
        ("batch = 2.5", "bad-value", "2.5", None),
        ("augment = random_resized_crop(4, scale=[1, 0.5])", "bad-value", "[1, 0.5]", "`scale=[0.5, 1]`"),
        ("augment = scale_jitter(4, scale=[2, 0.1])", "bad-value", "[2, 0.1]", "`scale=[0.1, 2]`"),
        ("batch = 20 epochs", "bad-unit", "20 epochs", None),
        ("epochs = 0", "bad-value", "0", None),
        ("ema = 2", "bad-value", "2", None),
        ("drop_path = 0.1", "field-value", "0.1", "`linear(0, 0.1)`"),
        ("precision = bf32", "unknown-word", "bf32", "tf32"),
        ("penalty = l1_by_product(-1)", "bad-value", "-1", None),
        ("clip = norm(1.0, 3)", "too-many-arguments", "3", None),
        ("schedule = multistep(at=[3 epochs, 4])", "bad-unit", "4", None),
        ("data = imagefolder", "missing-argument", "imagefolder", None),
        ("batch = 1\nbatch = 2", "duplicate-field", "batch", None),
        ("epochs = 3\nsteps = 4", "conflicting-fields", "4", None),
        ("epochs = 3\nschedule = warmup(5 epochs) -> cosine", "schedule-too-long", "warmup(5 epochs) -> cosine", None),
        ("schedule = cosine -> constant", "unreachable-phase", "cosine -> constant", "length"),
        ("data = clutter\nmix = mixup(0.2)\nloss = dice_ce", "hard-loss", "mixup(0.2)", None),
        ("data = clutter\naugment = randaugment", "not-supported", "randaugment", "hflip"),
        ("ema = 0.9\nswa = swa", "conflicting-fields", "swa", None),
        ("optimizer = sgd(nesterov=true)", "conflicting-fields", "sgd(nesterov=true)", None),
        ("group norm { wd = 0 }", "unknown-field", "wd", "weight_decay"),
        ("group norm { momentum = 0.1 }", "unknown-field", "momentum", "weight_decay"),
        ("group norm { lr = 0 * lr }", "bad-value", "0 * lr", None),
        ("group norm { lr = -lr }", "bad-value", "-lr", None),
        ("final = worst", "unknown-word", "worst", "`best`"),
        ("keep = 0", "bad-value", "0", None),
        ("shard = fsdp\noptimizer = muon", "conflicting-fields", "muon", "adamw"),
        ("shard = fsdp\nclip = adaptive", "conflicting-fields", "adaptive", "1.0"),
        ("shard = fsdp\nprecision = fp16", "conflicting-fields", "fp16", "bf16"),
        ("shard = fsdp\nexchange = bf16", "conflicting-fields", "bf16", None),
        ("shard = fsdp\ncompile = on", "conflicting-fields", "on", None),
        ("shard = fsdp\nlayout = channels_last", "conflicting-fields", "channels_last", "auto"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_at_their_text(field: str, code: str, at: str, hint: str | None) -> None:
    found, mistakes = resolved("recipe Test {\n" + field + "\n}")
    assert found is None
    first = mistakes[0]
    assert first.code == code, first
    assert first.at is not None
    assert first.at.text == at
    if hint is not None:
        assert hint in (first.hint or ""), first


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("optimizer = adam(weight_decay=0.05)", "coupled-decay"),
        ("stop = early_stopping(3)", "stops-on-test"),
        ("final = best", "chosen-on-test"),
        ("epochs = 9\nschedule = constant(3 epochs)", "schedule-too-short"),
        ("steps = 100\nema = 0.9999", "slow-average"),
        ("loss = bce(threshold=0.2)", "idle-option"),
        ("optimizer = lamb(lr=5e-3)\nclip = 1.0", "clipped-twice"),
        ("augment = randaugment -> trivialaugment", "two-policies"),
        ("repeat = 3", "idle-option"),
    ],
)
def test_combinations_that_silently_misbehave_are_warned_of(field: str, code: str) -> None:
    found, mistakes = resolved("recipe Test {\n" + field + "\n}")
    assert found is not None
    assert [(d.severity, d.code) for d in mistakes] == [("warning", code)]


def test_one_mistake_does_not_hide_the_next() -> None:
    _, mistakes = resolved("recipe Test {\n batch = 0\n epochs = 0\n group norm { wd = 1 }\n}")
    assert [d.code for d in mistakes] == ["bad-value", "bad-value", "unknown-field"]


def test_circles_and_unknown_bases_are_reported() -> None:
    assert resolved("recipe A extends B {}\nrecipe B extends A {}")[1][0].code == "cyclic-recipe"
    assert resolved("recipe A extends Bb {}\nrecipe B {}", "A")[1][0].code == "unknown-recipe"


def test_settings_of_the_command_line_are_checked_like_the_file() -> None:
    found = recipe(
        "optimizer = sgd(lr=0.1)\nschedule = cosine(to=0.1)",
        optimizer__lr="2e-3",
        epochs="3",
        schedule__cosine__to="1e-6",
    )
    assert found.optimizer == Sgd(lr=2e-3)
    assert found.epochs == 3
    assert found.schedule == (Cosine(to=1e-6),)
    assert recipe("", optimizer__weight_decay="0.5").optimizer == AdamW(lr=3e-3, weight_decay=0.5)
    assert recipe("optimizer = sgd", optimizer="lion(lr=1e-4)").optimizer.__struct_config__.tag == "lion"
    for settings, code in (
        ({"optimizer__lrr": "1"}, "unknown-field"),
        ({"optimzer__lr": "1"}, "unknown-field"),
        ({"epochs": "-3"}, "bad-value"),
        ({"epochs": "3 }\nrecipe B {"}, "bad-value"),
        ({"epochs": "__import__('os')"}, "unknown-name"),
    ):
        assert resolved("recipe Test {}", **settings)[1][0].code == code, settings


def test_a_run_made_shorter_keeps_the_shape_of_its_curves() -> None:
    text = "epochs = 300\nschedule = warmup(20 epochs) -> step(30 epochs) \nema = ema(0.9, restart=5 epochs)"
    short = recipe(text, epochs="3")
    assert short.schedule == (Warmup(over=Duration(0.2, "epochs")), Step(every=Duration(0.3, "epochs")))
    assert short.ema is not None
    assert short.ema.restart == Duration(0.05, "epochs")
    kept = recipe(text, epochs="30", schedule="warmup(5 epochs) -> cosine")
    assert kept.schedule == (Warmup(over=Duration(5, "epochs")), Cosine())
    in_steps = recipe("epochs = 10\nschedule = warmup(20 steps) -> cosine", epochs="1")
    assert in_steps.schedule[0] == Warmup(over=Duration(20, "steps"))
    assert recipe("schedule = warmup(1 epochs) -> cosine", epochs="9").schedule[0].length == Duration(1, "epochs")


def test_groups_read_the_lr_that_the_command_line_sets() -> None:
    found = recipe("optimizer = sgd(lr=0.1)\ngroup bias { lr = 2 * lr }", optimizer__lr="0.3")
    assert found.groups[0].settings["lr"] == pytest.approx(0.6)


def test_checking_a_recipe_imports_nothing_heavy() -> None:
    code = (
        "import sys, netdsl.recipe.resolve; print([m for m in ('torch', 'numpy', 'lark', 'rich') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_scale_of_an_augmentation_of_a_plugin_need_be_no_range() -> None:
    class Enlarged(Augment, frozen=True, tag="enlarged_here"):
        scale: float = 2.0
        ratio: tuple[float, float] = (2.0, 1.0)

    assert not list(check(replace(recipe(""), augment=(Enlarged(),)), Places({})))
