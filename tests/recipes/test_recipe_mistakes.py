"""Mistakes that people make in recipes: refused in words, at their place, with what is meant where that is known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from recipe_harness import recipe, resolved

from netdsl.cli.main import main
from netdsl.pipeline import Spec
from netdsl.planning import recipes
from netdsl.recipe.annotations import arguments
from netdsl.recipe.registry import registered
from netdsl.source import Source

SPEC = """net Small(classes=10) {
  input image [1, 8, 8]
  conv(8, 3) -> bn -> relu -> gap -> linear(classes)
}
recipe R for Small {
  %s
}
"""


@pytest.mark.parametrize(
    ("field", "at", "hint"),
    [
        # names from elsewhere
        ("optimizer = adamw(learning_rate=0.1)", "learning_rate=0.1", "it is called `lr`"),
        ("optimizer = adamw(wd=0.1)", "wd=0.1", "it is called `weight_decay`"),
        ("optimizer = AdamW(lr=1e-3)", "AdamW", "`adamw`"),
        ("schedule = step(step_size=3 epochs)", "step_size=3 epochs", "it is called `every`"),
        ("schedule = multistep(milestones=[3 epochs])", "milestones=[3 epochs]", "it is called `at`"),
        ("schedule = cosine(eta_min=0.1)", "eta_min=0.1", "it is called `to`"),
        ("schedule = exponential(gamma=0.9)", "gamma=0.9", "it is called `factor`"),
        ("scheduler = cosine", "scheduler", "`schedule`"),
        ("transforms = hflip", "transforms", "`augment`"),
        ("batch_size = 64", "batch_size", "`batch`"),
        ("num_epochs = 3", "num_epochs", "`epochs`"),
        ("criterion = mse", "criterion", "`loss`"),
        ("pretrained = true", "pretrained", "`init = weights"),
        ("patience = 3", "patience", "early_stopping(5)"),
        ("device = cpu", "device", "netdsl train --device"),
        ("init = he", "he", "it is called `kaiming`"),
        ("init = glorot", "glorot", "it is called `xavier`"),
        ("precision = float16", "float16", "it is called `fp16`"),
        ("metrics = accuracy", "accuracy", "it is called `top1`"),
        ("metrics = [top1, acc]", "acc", "it is called `top1`"),
        ("loss = crossentropy", "crossentropy", "it is called `cross_entropy`"),
        ("loss = cross_entropy(smoothing=0.1)", "smoothing=0.1", "`label_smoothing`"),
        ("epoch = 3", "epoch", "did you mean `epochs`?"),
        ("nonsense = 3", "nonsense", "`netdsl recipe --fields`"),
        # shapes of values
        ("optimizer = sgd(0.1, 0.9)", "0.9", "it may mean `sgd(0.1, momentum=0.9)`"),
        ("optimizer = sgd(lr=0.1, momentum=0.9, nesterov)", "nesterov", "`nesterov=...`"),
        ("optimizer = sgd(lr=peak)", "peak", "`optimizer.lr` takes a number above 0"),
        ("penalty = 1e-4", "1e-4", "`l1(1e-4)`"),
        ("stop = 5", "5", "`early_stopping(5)`"),
        ("dropout = 0.5", "0.5", "`linear(0, 0.5)`, over the run, or `constant(0.5)`"),
        ("drop_path = 0.1", "0.1", "`linear(0, 0.1)`, first to last"),
        ("clip = norm", "norm", "`norm(limit=...)`"),
        ("evaluate = 2", "2", "write `2 epochs` or `2 steps`"),
        ("schedule = warmup(5) -> cosine", "5", "write `5 epochs` or `5 steps`"),
        ("schedule = warmup(5 weeks)", "weeks", None),
        ("schedule = cosine -> warmup(5 epochs)", "cosine -> warmup(5 epochs)", "the warm-up comes first"),
        ("mix = mixup -> cutmix", "mixup -> cutmix", "one of them per batch"),
        ("augment = hflip | crop", "hflip | crop", "one after the other"),
        ("data = cifar", "cifar", "`cifar10`"),
        ("group norm { weight_decy = 0 }", "weight_decy", "did you mean `weight_decay`?"),
        ("group norm { lr = 0 }", "0", None),
        ("steps = 1e3", "1e3", "write `1000`"),
        ("lookahead = true", "true", "for example `lookahead`"),
        ("clip = norm(1) -> value(2)", "norm(1) -> value(2)", None),
        ("schedule = warmup(2 epochs, factor=0.1, start=0.01)", "warmup(2 epochs, factor=0.1, start=0.01)", None),
        ("schedule = warmup(40 epochs) -> cosine", "warmup(40 epochs) -> cosine", None),
        ("loss = dice_ce", "dice_ce", None),
        ("ema = ema(0.99, warm_up=true)", "warm_up=true", "did you mean `warmup`?"),
    ],
)
def test_a_mistake_is_shown_at_its_place_with_what_is_meant(field: str, at: str, hint: str | None) -> None:
    from netdsl.elaborate.modules import resolve
    from netdsl.source import Source

    text = "recipe Test {\n" + field + "\n}"
    _, syntax = resolve(Source(text, "test.net"), lambda *_: None)
    found, mistakes = (None, syntax) if syntax else resolved(text)
    assert found is None
    first = mistakes[0]
    assert first.at is not None
    assert first.at.text == at
    assert hint is None or hint in (first.hint or ""), first


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("foo=1", "`netdsl recipe --fields`"),
        ("optimzer.lr=1", "did you mean `optimizer`?"),
        ("optimizer.lrr=1", "did you mean `optimizer.lr`"),
        ("schedule.cosine.too=1", "`schedule.cosine.to`"),
        ("batch.size=1", "`batch` has no arguments here"),
        ("optimizer.lr=abc", "`optimizer.lr` takes a number above 0"),
        ("group.lr=1", "groups are written in the recipe"),
        ("epochs=3;rm", "is not a value that `epochs` can take"),
        ("epochs", "FIELD=VALUE"),
        ("=3", "FIELD=VALUE"),
        ("epochs=", "FIELD=VALUE"),
    ],
)
def test_nonsense_on_the_command_line(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.net").write_text(SPEC % "batch = 64")
    assert main(["recipe", str(tmp_path / "a.net"), "--set", setting]) in (1, 2)
    shown = capsys.readouterr().err
    assert said in shown
    assert "value =" not in shown or "nothing is called" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("group nrom { weight_decay = 0 }", "did you mean `norm`?"),
        ("freeze backbone", "labels: bn, conv, linear"),
        ("drop_path = linear(0, 0.1)", "this net has none"),
        ("init = fixup", "write them as `residual"),
        ("outputs = weights(aux=0.3)", "its outputs: output"),
        ("loss = cross_entropy(weight=[1, 2])", "has 2 values, the net tells 10 classes apart"),
        ('init = normal(only=["stem"])', "`stem` selects no parameter"),
    ],
)
def test_what_the_net_does_not_have(field: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.net").write_text(SPEC % field)
    assert main(["recipe", str(tmp_path / "a.net")]) == 1
    assert said in capsys.readouterr().err
    assert main(["train", str(tmp_path / "a.net"), "-o", str(tmp_path / "run")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def test_a_phase_that_is_never_reached_is_warned_of() -> None:
    found, mistakes = resolved("recipe A {\n schedule = warmup(3 epochs) -> cosine\n}", epochs="3")
    assert found is not None
    assert [d.code for d in mistakes] == ["idle-phase"]


def test_one_metric_needs_no_brackets() -> None:
    assert recipe("metrics = top5").metrics == ("top5",)


def chain_of(recipes: int) -> Spec:
    """Recipes of which each extends the one before; the last has a mistake of its own, the first one for all."""
    chain = "".join(f"recipe R{i} extends R{i - 1} {{ seed = {i} }}\n" for i in range(1, recipes))
    text = f'net N {{\n  input x [4]\n  linear(3)\n}}\nrecipe R0 for N {{ data = npz("a.npz"); sead = 1 }}\n{chain}'
    text = text.replace("; ", "\n") + f"recipe Last extends R{recipes - 1} {{ sneed = 1 }}\n"
    return Spec(Source(text, "chain.net"), lambda *_: None)


def test_a_chain_of_recipes_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in recipes that are read: every recipe of a chain costs its own text, and its mistakes are said once."""
    read: list[str] = []
    own = recipes.extended

    def extended(base: Any, chapter: Any) -> Any:
        read.append(chapter.recipe.name.id)
        return own(base, chapter)

    monkeypatch.setattr(recipes, "extended", extended)
    found = chain_of(300).diagnostics
    assert [d.at.text for d in found if d.at] == ["sead", "sneed"]
    assert len(read) == len(set(read)) == 301


def test_what_recipes_extend_in_circles_is_said_for_each() -> None:
    text = "recipe A extends B { }\nrecipe B extends C { }\nrecipe C extends B { }\nrecipe D extends Nothing { }\n"
    found = Spec(Source(text, "circle.net"), lambda *_: None).diagnostics
    assert [d.code for d in found] == ["cyclic-recipe", "cyclic-recipe", "unknown-recipe"]


def test_fields_groups_and_nets_come_down_a_chain() -> None:
    text = """
net N {
  input x [4]
  linear(3)
}
recipe A for N {
  steps = 500
  seed = 1
  group bias { weight_decay = 0 }
}
recipe B extends A {
  epochs = 3
  batch = 7
  freeze linear
}
recipe C extends B {
  seed = 2
  group linear { weight_decay = 0.5 }
}
"""
    found, mistakes = resolved(text, "C")
    assert found is not None, mistakes
    assert (found.name, found.steps, found.epochs, found.batch, found.seed) == ("C", None, 3, 7, 2)
    assert [g.selectors for g in found.groups] == [("bias",), ("linear",)]
    assert found.freeze == ("linear",)
    before, _ = resolved(text, "A")
    assert before is not None
    assert (before.steps, before.epochs, before.freeze) == (500, None, ())


def test_a_table_in_a_parquet_file_is_said_to_be_one() -> None:
    _, (found,) = resolved('recipe Test {\n  data = parquet("a.parquet", target="y")\n}')
    assert "`table(...)` for parquet files" in (found.hint or "")
    resolved_one, mistakes = resolved('recipe Test {\n  data = table("a.parquet", target="y")\n}')
    assert (resolved_one is None, mistakes) == (False, ())


@pytest.mark.parametrize("source", ['cifar10("photos", group="patient")', 'digits(group="patient")'])
def test_groups_of_samples_are_not_those_of_parameters(source: str) -> None:
    """The hint names every source whose samples can belong to groups, and no other."""
    _, (found,) = resolved(f"recipe Test {{\n  data = {source}\n}}")
    taking = sorted(n for n, cls in registered("data").items() if "group" in arguments(cls))
    assert [*re.findall(r"`(\w+)`", found.hint or "")] == taking
