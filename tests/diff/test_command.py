"""`netdsl diff`: targets, exit codes, revisions, recipes, JSON, and every kind of bad input."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from netdsl.cli.main import main
from netdsl.diff.groups import WITHIN
from netdsl.diff.roadmap import CHANGES, page, short

SPEC = """\
net A(width=4) {
  input image [3, 8, 8]
  conv(width, 3) -> bn -> relu -> gap -> linear(10)
}
net B = A(width=8)
recipe R for A {
  data      = digits()
  epochs    = 3
  optimizer = sgd(lr=0.1, momentum=0.9)
  augment   = hflip -> crop(8, padding=1)
}
recipe S for A extends R {
  optimizer = sgd(lr=0.2, momentum=0.9)
  augment   = hflip
  group norm { weight_decay = 0 }
}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.net").write_text(SPEC)

    def call(*argv: object) -> tuple[int, str, str]:
        code = main(["diff", *map(str, argv)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def git(*arguments: str) -> None:
    own = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *own, *arguments], check=True, capture_output=True)


def test_two_nets(run: Any) -> None:
    code, out, _ = run("a.net:A", "a.net:B")
    assert code == 1
    assert out.startswith("A → B\n")
    assert "~ conv: out_channels 4 → 8" in out
    assert run("a.net:A", "a.net:A")[:2] == (0, "a.net:A → a.net:A: the same net\n")


def test_names_of_parts_of_tables_are_no_change(run: Any) -> None:
    text = "net A {\n  input x [6, 4]\n  f = linspace(0, 5, 6) * 0.5\n  x -> linear(6) * (sin(f) + f)\n}\n"
    text = text.replace("sin(f)", "(f -> sin)")
    Path("one.net").write_text(text)
    Path("other.net").write_text(text.replace("f =", "angle =").replace("(f ->", "(angle ->").replace("+ f", "+ angle"))
    code, said, _ = run("one.net", "other.net")
    assert code == 0
    assert "the same net" in said


def test_a_change_within_a_table_is_told_as_calls(run: Any) -> None:
    text = "net A {\n  input x [6, 4]\n  f = linspace(0, 5, 6) * 0.5\n  x -> linear(6) * (f -> sin)\n}\n"
    Path("one.net").write_text(text)
    Path("other.net").write_text(text.replace("0.5", "0.25"))
    said = " ".join(run("one.net", "other.net")[1].split())
    assert "steps=6), operator=*, value=0.5)) → sin(scalar(linspace(start=0.0," in said


def test_json_adds_up(run: Any) -> None:
    data = json.loads(run("a.net:A", "a.net:B", "--format", "json")[1])
    (net,) = data["nets"]
    for cost in ("params", "macs", "activation_bytes"):
        assert sum(c[cost] for c in net["changes"]) == net["after"][cost] - net["before"][cost]
    kinds = {(c["after"]["calls"].partition("(")[0], c["kind"]) for c in net["changes"]}
    assert kinds == {
        ("conv", "changed"),
        ("bn", "resized"),
        ("relu", "resized"),
        ("gap", "resized"),
        ("linear", "resized"),
    }
    fits = {t["before"]: t["fits"] for t in net["state_dict"]}
    assert fits["linear.bias"]
    assert not fits["conv.weight"]
    assert data["recipes"] == []


def test_two_recipes(run: Any) -> None:
    code, out, _ = run("a.net:R", "a.net:S")
    assert code == 1
    assert [line.split() for line in out.splitlines()[4:7]] == [
        ["augment.crop", "crop(size=8,", "padding=1)"], ["optimizer.lr", "0.1", "0.2"],
        ["group", "norm", "weight_decay", "=", "0"],
    ]  # fmt: skip
    assert "peak learning rate" in out
    assert run("a.net:R", "a.net:R")[:2] == (0, "a.net:R → a.net:R: the same recipe\n")


STEP = "step(every=30 epochs)"
WARM = "warmup(over=5 epochs)"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (STEP, f"{WARM} -> cosine", {"schedule": (STEP, f"{WARM} -> cosine")}),
        (f"{WARM} -> {STEP}", f"{WARM} -> cosine", {"schedule.step": (STEP, "cosine")}),
        ("cosine", f"{WARM} -> cosine", {"schedule.warmup": (None, WARM)}),
        (f"{WARM} -> cosine", "warmup(3 epochs) -> cosine", {"schedule.warmup.over": ("5 epochs", "3 epochs")}),
    ],
)
def test_what_stands_in_the_place_of_a_component_is_one_change(
    run: Any, before: str, after: str, told: dict[str, tuple[str | None, str]]
) -> None:
    net = "net N {\n  input image [1, 8, 8]\n  flatten -> linear(10)\n}\nrecipe R for N {\n  epochs = 90\n  schedule = "
    Path("one.net").write_text(f"{net}{before}\n}}\n")
    Path("other.net").write_text(f"{net}{after}\n}}\n")
    (recipe,) = json.loads(run("one.net:R", "other.net:R", "--format", "json")[1])["recipes"]
    assert {f["name"]: (f["before"] or None, f["after"]) for f in recipe["fields"]} == told


def test_files_are_compared_by_the_names_that_both_have(run: Any) -> None:
    Path("b.net").write_text(SPEC.replace("net B = A(width=8)", "net C = A(width=8)").replace("relu", "gelu"))
    code, out, _ = run("a.net", "b.net")
    assert code == 1
    assert "a.net:A → b.net:A" in out
    assert "relu → gelu" in out
    assert "- B\n+ C" in out
    assert out.endswith("2 recipes the same\n")
    assert json.loads(run("a.net", "b.net", "--format", "json")[1])["only_after"] == ["C"]


def test_revisions(run: Any) -> None:
    git("init")
    Path("sub").mkdir()
    Path("sub/part.net").write_text("block Unit(c) = conv(c, 3) -> relu\n")
    Path("sub/own.net").write_text("from part import Unit\nnet N {\n  input x [3, 8, 8]\n  Unit(4)\n}\n")
    git("add", ".")
    git("commit", "-m", "one")
    assert run("sub/own.net")[0] == 0
    Path("sub/part.net").write_text("block Unit(c) = conv(c, 3) -> gelu\n")
    code, out, _ = run("sub/own.net")
    assert code == 1
    assert "HEAD:sub/own.net:N → sub/own.net:N" in out
    assert f"~ Unit {WITHIN} relu → gelu" in out
    assert run("HEAD:sub/own.net", "sub/own.net:N")[1] == out
    git("commit", "-am", "two")
    assert run("sub/own.net")[0] == 0
    assert run("sub/own.net", "--git", "HEAD~1")[1] == out.replace("HEAD:", "HEAD~1:")
    assert run("HEAD~1:sub/own.net", "HEAD:sub/own.net")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("a.net:Nope", "a.net:A"), 2, "declares no net `Nope`"),
        (("a.net:A", "none.net"), 2, "there is no file none.net"),
        (("a.net:A", "a.net:R"), 2, "`A` of a.net is a net, and `R` of a.net a recipe"),
        (("a.net",), 2, "this folder is in no git repository"),
        (("HEAD:a.net", "a.net"), 2, "this folder is in no git repository"),
        (("a.net", "a.net", "--git", "HEAD"), 2, "`--git` compares one spec"),
        (("a.net:A", "bad.net"), 2, "bad.net:1"),
        (("a.net:A", "a.net:B", "-p", "depth=3"), 2, "depth"),
    ],
)
def test_bad_input_is_refused_in_words(run: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    Path("bad.net").write_text("net A {\n  input x [3]\n  linear(3) -> rleu\n}\n")
    done = run(*arguments)
    assert done[0] == code
    assert said in done[2] or said.replace("bad.net:1", "bad.net:3") in done[2]
    assert "Traceback" not in done[2]


def test_unknown_revisions_and_files_are_named(run: Any) -> None:
    git("init")
    git("commit", "--allow-empty", "-m", "one")
    assert "there is no git revision nope" in run("nope:a.net", "a.net")[2]
    assert "revision HEAD has no file a.net" in run("a.net")[2]
    assert "there is no git revision --help" in run("--git=--help", "a.net")[2]


def test_the_roadmap_is_sixteen_comparisons_of_one_screen() -> None:
    text = (ROOT / "docs" / "roadmap.md").read_text()
    assert text == page(str(ROOT / "specs")), "run `make docs`"
    shown = [part.partition("\n```")[0] for part in text.split("\n```\n")[1::2]]
    assert len(shown) == len(CHANGES) == 16
    for part in shown:
        assert len(part.splitlines()) <= 30
        assert max(map(len, part.splitlines())) <= 102


def test_the_roadmap_has_the_published_figures() -> None:
    published = json.loads((ROOT / "tests" / "data" / "roadmap.json").read_text())
    text = (ROOT / "docs" / "roadmap.md").read_text()
    for change in CHANGES:
        assert f"| {change.name} | {published[change.after]['params']:,} |" in text
        assert f"{short(change.before)} → {short(change.after)}" in text


def test_what_follows_from_recipes_is_shown_where_it_is_long(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = """net N {{ input x [1, 8, 8]\n flatten -> layernorm -> linear(10) }}
recipe A for N {{ data = digits\n epochs = 2\n optimizer = {}\n group norm {{ weight_decay = 0 }} }}
"""
    for name, optimizer in (("a", "sgd(0.1, weight_decay=5e-4)"), ("b", "adamw(2e-3)")):
        (tmp_path / f"{name}.net").write_text(text.format(optimizer))
    assert main(["diff", f"{tmp_path}/a.net:A", f"{tmp_path}/b.net:A"]) == 1
    said = capsys.readouterr().out
    assert "lr 0.1, weight decay 0.0005" in said
    assert "lr 0.002, weight decay 0.01" in said
    assert "parameter group 2" in said
