"""`netdsl runs` and `netdsl compare`: the table, conditions, differences, curves."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from netdsl.cli.main import main
from netdsl.recipe.optimizers import AdamW, Sgd
from netdsl.recipe.schema import Recipe
from netdsl.records.compare import marks
from netdsl.records.names import told_apart
from netdsl.records.record import Record, found_in
from netdsl.training.checkpoints.lock import locked
from netdsl.training.checkpoints.run_dir import ABOUT, LOG, RECIPE, SPEC, About, write_json
from netdsl.training.report.csv_log import CSV, write_csv_log

DONE = {"n": 10, "loss": 0.25, "top1": 0.9, "seconds": 12.5}


def make(folder: Path, recipe: Recipe, result: dict[str, float | int], net: str = "A", steps: int = 3) -> Path:
    """A run directory as the trainer leaves it, without weights."""
    folder.mkdir(parents=True)
    about = About(
        net=net, arguments={"width": "8"}, sizes={}, mean=None, std=None, classes=("a", "b"), task="classes",
        data="digits", base=".", versions={"netdsl": "0.3.0", "torch": "2.13.0"}, result=result,
    )  # fmt: skip
    write_json(folder / ABOUT, about)
    write_json(folder / RECIPE, recipe)
    (folder / SPEC).write_text(f"net {net} {{ input x [3]  linear(2) }}\n")
    lines = [{"kind": "step", "step": i, "loss": 1 / i, "lr": 0.1, "gradient": 2.0} for i in range(1, steps + 1)]
    lines.append({"kind": "evaluation", "step": steps, "epoch": 1.0, "n": 10, "loss": 0.5, "top1": 0.75})
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs of one net: ended, ended better with SGD, stopped."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs/A-2", Recipe(name="R", optimizer=AdamW(lr=0.01), epochs=3), DONE)
    make(
        tmp_path / "runs/A-10",
        Recipe(name="R", optimizer=Sgd(lr=0.1, momentum=0.9), epochs=3),
        {**DONE, "top1": 0.95, "loss": 0.125},
    )
    make(tmp_path / "runs/A-1", Recipe(name="R", optimizer=AdamW(lr=0.02), epochs=3), {})
    return tmp_path / "runs"


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def names(table: str) -> list[str]:
    return re.findall(r"A-\d+", table)


def test_the_table_is_in_natural_order_and_shows_what_differs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, _, *rows = [re.split(r"  +", line.strip()) for line in out(capsys, "runs").splitlines()]
    assert head == ["run", "state", "step", "accuracy", "loss", "optimizer", "seconds"]
    assert rows == [
        ["runs/A-1", "stopped", "3", "75.00%", "0.5", "adamw", "-"],
        ["runs/A-2", "ended", "3", "90.00%", "0.25", "adamw", "12.5"],
        ["runs/A-10", "ended", "3", "95.00%", "0.125", "sgd", "12.5"],
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--where", "top1>=90%"], ["A-2", "A-10"]),
        (["--where", "accuracy > 0.9"], ["A-10"]),
        (["--where", "state!=ended"], ["A-1"]),
        (["--where", "optimizer=adamw", "--where", "lr=0.01"], ["A-2"]),
        (["--where", "seconds<100"], ["A-2", "A-10"]),
        (["--sort", "lr"], ["A-2", "A-1", "A-10"]),
        (["--sort", "top1", "--reverse"], ["A-10", "A-2", "A-1"]),
        (["--sort", "seconds", "--reverse"], ["A-2", "A-10", "A-1"]),
        (["--where", "width=8"], ["A-1", "A-2", "A-10"]),
    ],
)
def test_runs_are_selected_and_sorted_by_fields(
    arguments: list[str], expected: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert names(out(capsys, "runs", *arguments)) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sort", "topp1"], "no run has a field `topp1`\nhint: did you mean `top1`"),
        (["--where", "top1"], "`top1` should be FIELD=VALUE"),
        (["--where", "top1>="], "`top1>=` should be FIELD=VALUE"),
        (["--columns", "eps,nothing"], "no run has a field `nothing`"),
        (["nowhere"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_shown_is_said(
    arguments: list[str], said: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_json_and_csv_have_every_field(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(out(capsys, "runs", "--json"))["runs"]
    rows = list(csv.DictReader(out(capsys, "runs", "--csv").splitlines()))
    assert [r["run"] for r in rows] == [r["run"] for r in listed] == ["runs/A-1", "runs/A-2", "runs/A-10"]
    assert listed[1]["optimizer.betas"] == "[0.9, 0.999]"
    assert listed[1]["optimizer.lr"] == 0.01 == float(rows[1]["optimizer.lr"])
    assert listed[2]["optimizer.momentum"] == 0.9
    assert rows[0]["seconds"] == ""


def test_a_run_that_is_training_is_said_to_be_running(runs: Path) -> None:
    folder = runs / "A-1"
    assert Record(folder).state == "stopped"
    with locked(folder):
        assert Record(folder).state == "running"
    assert Record(folder).state == "stopped"


def test_a_damaged_run_is_left_out_and_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "A-2" / ABOUT).write_text('{"net": 3')
    assert main(["runs"]) == 0
    shown = capsys.readouterr()
    assert names(shown.out) == ["A-1", "A-10"]
    assert "A-2 is not a run directory" in shown.err


def test_compare_marks_the_best_and_shows_the_settings(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "compare", "runs/A-2", "runs/A-10")
    rows = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    assert ["loss", "0.25", "0.125 *"] in rows
    assert ["accuracy", "90.00%", "95.00% *"] in rows
    assert ["optimizer", "adamw", "sgd"] in rows
    assert "optimizer.lr" not in text
    data = json.loads(out(capsys, "compare", "runs", "--json"))
    assert data["best"] == {"loss": "runs/A-10", "top1": "runs/A-10"}
    assert data["results"]["top1"] == [0.75, 0.9, 0.95]
    assert data["settings"] == {"optimizer": ["adamw", "adamw", "sgd"]}
    assert data["same_spec"] is True


def test_compare_page_has_a_line_of_each_run_and_needs_nothing_else(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(runs / "<b>&", Recipe(name="R", seed=1), DONE, net="B")
    out(capsys, "compare", "runs", "-o", "page.html")
    page = Path("page.html").read_text()
    assert "<b>&<" not in page
    assert "&lt;b&gt;&amp;" in page
    charts = dict(re.findall(r'<svg[^>]*aria-label="([^"]+)">(.*?)</svg>', page, re.DOTALL))
    assert set(charts) == {
        "training loss", "held-out loss", "held-out accuracy", "learning rate", "norm of the gradient"
    }  # fmt: skip
    for i in range(4):
        assert f'class="line{i}"' in charts["training loss"]
        assert charts["held-out accuracy"].count(f'class="line{i}"') == 1
    assert not re.search(r"(src|href)=|https?://", page)
    assert "The specs differ" in page


def test_compare_shows_what_a_probe_saw(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "dead_units" not in out(capsys, "compare", "runs")
    for folder, scale in ((runs / "A-2", 1), (runs / "A-10", 10)):
        looks = [
            {"step": s, "updates": {"a<": 0.01 * scale, "b": 0.0, "c": 0.001}, "dead": {"r1": 0.0, "r2": s / 100}}
            for s in (20, 40)
        ]
        (folder / "signals.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
    data = json.loads(out(capsys, "compare", "runs", "--json"))["results"]
    assert data["step_to_weight"] == [None, 0.001, 0.001]
    assert data["dead_units"] == [None, 0.2, 0.2]
    out(capsys, "compare", "runs", "-o", "page.html")
    charts = dict(re.findall(r'<svg[^>]*aria-label="([^"]+)">(.*?)</svg>', Path("page.html").read_text(), re.DOTALL))
    assert charts.keys() >= {"dead units: r1", "dead units: r2", "log10 of step to weight: a&lt;"}
    assert "log10 of step to weight: b" not in charts, "a weight that stays has no logarithm"
    lines = charts["log10 of step to weight: a&lt;"]
    low, high = (float(re.findall(rf'points="[\d.]+,([\d.]+) [^"]*" class="line{i}"', lines)[0]) for i in (1, 2))
    assert low > high, "ten times the step is higher up, where y is less"
    assert 'class="line0"' not in lines


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        ([], []),
        (["x/A-1"], ["A-1"]),
        (["x/A-1", "y/A-2"], ["A-1", "A-2"]),
        (["e/shrink=Max/seed-0", "e/shrink=Mean/seed-0"], ["shrink=Max", "shrink=Mean"]),
        (["e/shrink=Max/seed-0", "e/shrink=Max/seed-1"], ["seed-0", "seed-1"]),
        (["e/a=1,b=2/seed-0", "e/a=1,b=3/seed-0", "e/a=1,b=3/seed-1"], ["b=2/seed-0", "b=3/seed-0", "b=3/seed-1"]),
        (["e/a=f(1, 2),b=1/s", "e/a=f(1, 3),b=1/s"], ["a=f(1, 2)", "a=f(1, 3)"]),
        (["e/a=1/s", "e/a=1,b=2/s"], ["a=1/s", "a=1,b=2/s"]),
    ],
)
def test_runs_are_called_by_what_tells_them_apart(folders: list[str], names: list[str]) -> None:
    assert told_apart(folders) == names


@pytest.mark.parametrize(
    ("folders", "said"), [(["runs/A-1"], "needs two runs, found 1"), (["runs/A-1", "runs/none"], "no folder runs/none")]
)
def test_compare_refuses(folders: list[str], said: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *folders]) == 2
    assert said in capsys.readouterr().err


def test_the_csv_log_is_the_log(runs: Path) -> None:
    folder = runs / "A-2"
    write_csv_log(folder)
    rows = list(csv.DictReader((folder / CSV).read_text().splitlines()))
    written = [{k: str(v) for k, v in line.items()} for line in Record(folder).log]
    assert [{k: v for k, v in row.items() if v} for row in rows] == written


def test_folders_are_searched_at_any_depth(runs: Path) -> None:
    make(runs / "deep/er/A-3", Recipe(name="R"), DONE)
    records, refused = found_in([runs.parent, runs / "A-10", runs / ".." / "runs"])  # each is listed once
    assert [r.folder.name for r in records] == ["A-1", "A-2", "A-10", "A-3"]
    assert refused == []


def test_equal_values_are_the_best_together() -> None:
    assert marks("f1", [0.5, 0.9, 0.9, None]) == [False, True, True, False]
    assert marks("loss", [0.5, 0.9, 0.5]) == [True, False, True]
    assert marks("f1", [0.9, 0.9]) == marks("seconds", [1.0, 2.0]) == [False, False]
