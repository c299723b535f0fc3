"""Experiments as they run: warm workers, resuming, workers that die, folders of something else."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments import ENTRIES, alive, children, experiment, interrupted, spec
from msgspec.structs import replace
from safetensors.numpy import load_file

from netdsl.cli.main import main
from netdsl.diagnostics.codes.experiments import NET
from netdsl.planning.experiments import Figure


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small experiment that has ended."""
    folder = tmp_path_factory.mktemp("done")
    assert experiment(spec(folder), "-o", folder / "out", "-q", "--workers", "1") == 0
    return folder / "out"


def table(folder: Path) -> str:
    return (folder / "table.txt").read_text()


def test_every_run_is_what_train_does(done: Path, tmp_path: Path) -> None:
    found = json.loads((done / "results.json").read_text())
    assert found["ended"] == found["runs"] == 4
    words = ["train", str(done.parent / "e.net"), "-p", "width=8", "--seed", "1", "--no-onnx", "-q", "-o"]
    assert main([*words, str(tmp_path / "run")]) == 0
    alone = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    run = found["cells"][1]["runs"][1]
    assert (run["seed"], run["test.top1"]) == (1, alone["top1"])
    ours, theirs = done / run["folder"], tmp_path / "run"
    for name in ("model.safetensors", "recipe.json", "metrics.jsonl"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_run_k_has_the_same_order_in_every_cell(done: Path) -> None:
    recipes = [json.loads((done / f"width={w}" / "seed-1" / "recipe.json").read_text()) for w in (4, 8)]
    assert recipes[0] == recipes[1]
    assert recipes[0]["seed"] == 1


def test_measures_on_the_training_split(done: Path) -> None:
    splits = json.loads((done / "width=4" / "seed-0" / "splits.json").read_text())
    assert splits["train"]["n"] == 1438
    cell = json.loads((done / "results.json").read_text())["cells"][0]
    assert cell["runs"][0]["train.loss"] == splits["train"]["loss"]


def test_measures_of_the_weights(done: Path) -> None:
    found = json.loads((done / "results.json").read_text())
    for cell in found["cells"]:
        for run in cell["runs"]:
            tensors = load_file(done / run["folder"] / "model.safetensors")
            weights = np.concatenate([t.ravel() for n, t in tensors.items() if n.endswith("weight")])
            assert run["samples"] == 1438
            assert run["weights.norm"] == pytest.approx(np.linalg.norm(weights), rel=1e-5)
            assert run["weights.zeros"] == pytest.approx((np.abs(weights) < 1e-3).mean())


def test_what_has_ended_is_kept(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in done.rglob("run.json")}
    text = table(done)
    assert experiment(done.parent / "e.net", "-o", done, "-q") == 0
    assert {p: p.stat().st_mtime_ns for p in done.rglob("run.json")} == before
    assert capsys.readouterr().out == text == table(done)


@pytest.mark.slow
def test_more_seeds_keep_the_runs(done: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", done, tmp_path / "more"], check=True)
    kept = (tmp_path / "more" / "width=4" / "seed-0" / "run.json").stat().st_mtime_ns
    assert experiment(done.parent / "e.net", "-o", tmp_path / "more", "-q", "--seeds", "3", "--workers", "1") == 0
    assert json.loads((tmp_path / "more" / "results.json").read_text())["ended"] == 6
    assert (tmp_path / "more" / "width=4" / "seed-0" / "run.json").stat().st_mtime_ns == kept


def wait_for(path: Path, pattern: str, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not list(path.glob(pattern)):
        assert time.monotonic() < until, f"{pattern} never appeared"
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_table(done: Path, tmp_path: Path) -> None:
    """Killed once in the first run, once in the third: the second command goes on, and no byte differs."""
    out = tmp_path / "out"
    words = [str(done.parent / "e.net"), "-o", str(out), "-q", "--workers", "1"]
    for pattern in ("width=4/seed-0/metrics.jsonl", "width=4/seed-1/run.json"):
        process = subprocess.Popen(
            [sys.executable, "-m", "netdsl", "experiment", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(out, pattern)
        workers = children(process.pid)
        process.kill()
        process.wait()
        while any(map(alive, workers)):
            time.sleep(0.02)
    assert experiment(*words) == 0
    assert table(out) == table(done)
    for name in ("table.md", "table.tex", "results.json"):
        assert (out / name).read_bytes() == (done / name).read_bytes()


@pytest.mark.slow
def test_killed_at_ten_random_moments(tmp_path: Path) -> None:
    entries = ENTRIES.replace("seeds   = 2", "seeds   = 4")
    path = spec(tmp_path, entries)
    more = ["-q", "--batch-seeds", "off"]  # two folders may decide otherwise
    assert experiment(path, "-o", tmp_path / "whole", *more) == 0
    draw = random.Random(0)
    words = [str(path), "-o", str(tmp_path / "cut"), *more]
    for _ in range(10):
        interrupted(tmp_path, words, draw.uniform(2, 14), signal.SIGKILL)
    assert experiment(*words) == 0
    for name in ("table.txt", "table.md", "table.tex", "results.json", "index.html"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_worker_that_dies_is_named_and_its_run_tried_again(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "netdsl", "experiment", str(done.parent / "e.net"), "-o", str(out), "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(out, "width=4/seed-0/metrics.jsonl")
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert f"worker 1 (process {worker}) was ended by SIGKILL in width = 4, seed 0; it is tried once more" in said
    assert table(out) == table(done)


class Dying:
    """A pool's source of one run."""

    def __init__(self, job: Any) -> None:
        self.jobs = [job]
        self.answers: list[Any] = []

    def next(self) -> Any:
        return self.jobs.pop() if self.jobs else None

    def end(self, job: Any, answer: Any) -> None:
        self.answers.append(answer)

    def may_continue(self, job: Any, step: int, value: float) -> bool:
        return True


@pytest.mark.slow
def test_a_run_that_ends_its_worker_twice_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl.experiment.jobs import Job
    from netdsl.experiment.pool import Pool

    ends = (
        "import os, netdsl.experiment.worker as w\nw.warm_up = lambda: None\nw.attempt = lambda job, line: os._exit(9)"
    )
    (tmp_path / "sitecustomize.py").write_text(ends)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("netdsl.experiment.pool.MODULE", ["-c", "from netdsl.experiment.worker import main; main()"])
    source = Dying(Job("", "", "", "", {}, {}, {}, (), str(tmp_path), "p", "k", "width = 4, seed 0"))
    said: list[str] = []
    Pool(1, tmp_path, said.append).run(source)
    assert len(said) == 1
    assert "ended with code 9" in said[0]
    assert [a.code for a in source.answers] == ["worker-died"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_no_process(tmp_path: Path) -> None:
    path = spec(tmp_path, ENTRIES.replace("[4, 8]", "[4]").replace("compare test.top1 against width = 4", ""))
    out = tmp_path / "out"
    words = [str(path), "-o", str(out), "--workers", "1", "--set", "epochs=400"]
    process = subprocess.Popen(
        [sys.executable, "-m", "netdsl", "experiment", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    wait_for(out, "width=4/seed-0/metrics.jsonl")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert (out / "width=4" / "seed-0" / "checkpoint.safetensors").exists()


def test_folders_of_something_else(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = done.parent / "e.net"

    def refused(folder: Path) -> str:
        assert experiment(path, "-o", folder, "-q", "--report") == 2
        assert experiment(path, "-o", folder, "-q") == 2
        return capsys.readouterr().err

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("mine")
    assert "holds no experiment" in refused(tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["kept.txt"]
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "experiment.json").write_text('{"format": 99, "name": "E", "netdsl": "9.0"}')
    assert "of format 99, of netdsl 9.0; formats up to 1 are read" in refused(tmp_path / "newer")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "experiment.json").write_text('{"format": 1, "name": "Other", "netdsl": "0.3"}')
    assert "holds the experiment `Other`, not `E`" in refused(tmp_path / "other")
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(tmp_path / "file")


def test_a_changed_spec_does_not_mix_with_earlier_runs(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spec(tmp_path, net=NET.replace("epochs = 3", "epochs = 4"))
    assert experiment(path, "-o", done, "-q") == 2
    said = capsys.readouterr().err
    assert "error[changed-experiment]" in said
    assert "width=4/seed-0" in said
    spec(tmp_path, net=f"# Another comment.\n{NET}")
    assert experiment(path, "-o", done, "-q") == 0, "a comment decides nothing"


def test_a_loss_that_is_not_finite_is_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = "\n  vary optimizer = [sgd(0.1), sgd(1e30)]\n  measure = [test.top1]\n"
    path = spec(tmp_path, entries)
    words = (path, "-o", tmp_path / "out", "--workers", "1", "-q")
    assert experiment(*words) == 1
    out = capsys.readouterr().out
    assert "optimizer = sgd(1e30), seed 0 failed: at step" in out
    assert experiment(*words) == 1
    assert capsys.readouterr().out == out
    assert "not finite" in (tmp_path / "out" / "index.html").read_text()


def test_a_cell_that_does_not_check_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = spec(tmp_path, "\n  vary width = [4, 0]\n  measure = [test.top1]\n")
    assert experiment(path, "-o", tmp_path / "out") == 1
    assert "error[unfit-cell]: no cell with `width = 0` checks" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_plan_needs_no_torch_and_runs_nothing(done: Path, tmp_path: Path) -> None:
    code = "import sys; from netdsl.cli.main import main; c = main(sys.argv[1:]); assert 'torch' not in sys.modules; "
    words = [sys.executable, "-c", f"{code}sys.exit(c)", "experiment", str(done.parent / "e.net"), "--plan"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "E: 2 cells, 2 seeds, 4 runs of Example by Short" in found.stdout
    assert not list(tmp_path.iterdir())


def test_the_page_links_every_number_and_holds_no_markup_of_names(done: Path, tmp_path: Path) -> None:
    page = (done / "index.html").read_text()
    for run in json.loads((done / "results.json").read_text())["cells"][0]["runs"]:
        assert f'href="{run["folder"]}/report.html"' in page
        assert (done / run["folder"] / "report.html").exists()
    assert 'href="#cell-1"' in page
    assert 'id="cell-1"' in page
    own = (done / run["folder"] / "report.html").read_text()
    assert "Training" in own
    assert f"netdsl train --resume {done / run['folder']}" in own
    assert "What is taken for what" not in own
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    svg = (done / "figures" / "1-line.svg").read_text()
    assert svg.count("<circle") == 2

    entries = '\n  measure = [params]\n  plot bars(x=macs, y=params, title="<script>alert(1)</script>")\n'
    import netdsl

    found = netdsl.open_spec(netdsl.Source(f"{NET}experiment E for Example {{{entries}}}")).experiment("E")
    text = found.results(tmp_path / "none").page()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_from_python(done: Path) -> None:
    import netdsl

    found = netdsl.open_spec(done.parent / "e.net").experiment().run(done)
    assert str(found) == table(done)
    assert [(r["width"], r["seed"]) for r in found.rows] == [("4", 0), ("4", 1), ("8", 0), ("8", 1)]
    assert found.rows[0]["params"] == 4 * 65 + 50
    assert found.figure(1).startswith("<svg")
    with pytest.raises(netdsl.SpecError, match="did you mean `E`"):
        netdsl.open_spec(done.parent / "e.net").experiment("e")


def test_the_latex_has_no_open_specials(done: Path) -> None:
    text = (done / "table.tex").read_text()
    assert "test accuracy \\%" in text
    assert "$\\pm$" in text
    assert "\N{PLUS-MINUS SIGN}" not in text


def test_a_second_command_in_the_folder_is_refused(done: Path, tmp_path: Path) -> None:
    from netdsl.diagnostics.diagnostic import UserError
    from netdsl.experiment.run import held

    with held(tmp_path), pytest.raises(UserError, match="another process"), held(tmp_path):
        pass


@pytest.mark.slow
def test_a_full_disk_ends_it_and_nothing_is_lost(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of this process larger than a few kilobytes cannot be written: the page is one of them."""
    import errno

    from netdsl.experiment import files

    subprocess.run(["cp", "-r", done, tmp_path / "full"], check=True)
    before = (tmp_path / "full" / "index.html").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert experiment(done.parent / "e.net", "-o", tmp_path / "full", "-q") == 2
    said = capsys.readouterr().err
    assert "error[cannot-write]" in said
    assert "No space left on device" in said
    assert (tmp_path / "full" / "index.html").read_bytes() == before
    assert not list((tmp_path / "full").glob(".*.tmp"))


def amount(value: float) -> dict[str, float]:
    return {"test.top1": value, "params": 1.0}


@pytest.fixture
def shown() -> Any:
    """An experiment's results made by hand: the seed 0 of the first cell has not ended."""
    import netdsl
    from netdsl.experiment.files import Outcome
    from netdsl.experiment.results import results

    entries = ENTRIES.replace("seeds   = 2", "seeds   = 7").replace("[4, 8]", "[0, 4, 8]").replace("= 4", "= 8")
    entries = entries.replace("y=test.top1", "y=test.top1, xscale=log")
    net = NET.replace("linear(width)", "linear(1 + width)")
    made = netdsl.open_spec(netdsl.Source(f"{net}experiment E for Example {{{entries}}}")).experiment()

    def gain(trial: Any) -> float:
        return {"0": 0.0, "4": 0.004, "8": 0.1}[trial.cell.values["width"]] * (1 + trial.number % 3)

    trials = [t for c in made.cells for t in c.trials]
    outcomes = {t.path: Outcome(t, amount(0.8 - gain(t)) if t is not trials[0] else None) for t in trials}
    return results(made.setting.experiment, made.cells, outcomes, {})


def test_what_is_sure_is_decided_by_holm(shown: Any) -> None:
    """Seven pairs of one sign have p = .016, six .031: with two tests .031 each, or .062 where one pair is missing."""
    from netdsl.experiment.page import page

    (tests,) = (c.tests for c in shown.compared)
    assert [t.found.pairs for t in tests] == [6, 7]
    assert [round(t.corrected, 3) for t in tests] == [0.031, 0.031]
    text = page(shown)
    assert text.count("<span class=sure>") == 2 * 6
    assert shown.total == 21
    assert shown.ended == 20


def test_the_numbers_of_a_cell_lead_to_its_first_run_that_ended(shown: Any) -> None:
    from netdsl.experiment.page import page

    text = page(shown)
    for i in range(3):
        assert text.count(f'id="cell-{i}"') == 1


def test_an_axis_that_begins_at_0_is_not_logarithmic(shown: Any) -> None:
    from netdsl.experiment.figure import svg

    text = svg(shown, shown.experiment.figures[0])
    assert text.count("<circle") == 3
    assert "nan" not in text


def test_a_cell_whose_runs_all_failed_is_crossed(shown: Any) -> None:
    from netdsl.experiment.figure import svg

    rows = [replace(r, runs=(None,) * 7, failed=tuple((t, "lost") for t in r.trials)) for r in shown.rows[:1]]
    figure = shown.experiment.figures[0]
    text = svg(replace(shown, rows=(*rows, *shown.rows[1:])), figure)
    assert text.count('class="lost') == 1
    assert "width = 0: all runs failed" in text
    assert 'class="lost' not in svg(shown, figure)


def test_long_values_stand_in_lines() -> None:
    from netdsl.render.figure import in_lines

    assert in_lines("adam(3e-3, weight_decay=1e-3)", 13) == ["adam(3e-3,", "weight_decay=", "1e-3)"]
    assert in_lines("none", 13) == ["none"]
    for text in ("warmup(over=8 epochs) -> cosine", "early(0.5, until=30 epochs)", "averyverylongname"):
        lines = in_lines(text, 15)
        assert all(len(line) <= 15 for line in lines)
        assert len(lines) <= 3


def test_a_plot_of_one_value_shows_its_cells_alone(shown: Any) -> None:
    from netdsl.experiment.figure import caption, svg

    some = Figure(kind="scatter", x="params", y="test.top1", only=(("width", "4"),))
    assert svg(shown, some).count("<circle") == 7
    assert svg(shown, replace(some, only=())).count("<circle") == 20
    assert "width = 4" in svg(shown, some)
    assert caption(shown, replace(some, kind="line")) == "Mean and standard deviation over seeds."


def test_a_loss_out_of_all_bounds_has_a_power_of_ten() -> None:
    from netdsl.experiment.results import Amount
    from netdsl.experiment.table import shown

    assert shown("train.loss", Amount(6.0696981e22, 3.4e22, 3)) == "6.07e+22 \N{PLUS-MINUS SIGN} 3.4e+22"
    assert shown("train.loss", Amount(123456.0, 100.0, 3)) == "123,456 \N{PLUS-MINUS SIGN} 100"
    assert shown("params", Amount(25_557_032.0, None, 0)) == "25,557,032"


def test_the_axis_of_an_accuracy_ends_at_100(shown: Any) -> None:
    from netdsl.experiment.figure import svg

    wide = Figure(kind="bars", x="width", y="test.top1")
    rows = [replace(r, runs=tuple(amount(v) for v in (0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))) for r in shown.rows]
    text = svg(replace(shown, rows=tuple(rows)), wide)
    assert ">100<" in text
    assert ">120<" not in text


def test_a_notebook_shows_figures_with_their_style(shown: Any, tmp_path: Path) -> None:
    from netdsl.experiment.from_python import Results

    text = Results(shown, tmp_path)._repr_html_()
    assert ".figure .c0{" in text
    assert "body{" not in text
