"""What the person who trains sees: the lines while training, TensorBoard's events, and the page at the end."""

from __future__ import annotations

import base64
import io
import json
import mmap
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from paths import SPECS
from PIL import Image

from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import UserError
from netdsl.inference.run_folder import read_log as log_of
from netdsl.recipe.schema import Recipe
from netdsl.render.numbers import round_numbers
from netdsl.training.kernels.memory import resident
from netdsl.training.report import trackers
from netdsl.training.report.progress import Progress
from netdsl.training.report.svg import curves, data_url, matrix, smoothed

SPEC = """
net Small(classes=10) {
  input image [1, 8, 8]
  conv(4, 3) -> relu -> maxpool(2) -> flatten -> linear(classes)
}
recipe Quick for Small {
  epochs = 2
  ema    = 0.9
}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("report")
    (here / "small.net").write_text(SPEC)
    assert main(["train", str(here / "small.net"), "--no-onnx", "-q", "-o", str(here / "run")]) == 0
    return here / "run"


class Page(HTMLParser):
    """The tags of a page, the text of its table cells, and whatever it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "line", "circle", "br"):
            self.open.append(tag)
        self.fetched += [v for n, v in attrs if n in ("src", "href") and v is not None]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


# The page.


def test_the_page_needs_nothing_else(run: Path) -> None:
    text = (run / "report.html").read_text()
    page = Page(text)
    assert all(address.startswith("data:image/") for address in page.fetched)
    assert not re.search(r"https?://|@import|<script|<link", text)
    assert page.open == []
    assert page.tags.count("svg") == 4  # loss, accuracy, lr, gradient


def test_the_page_tells_the_truth(run: Path) -> None:
    """Its accuracy is run.json's, its confusion adds up to it, its mistakes are shown as they are."""
    result = json.loads((run / "run.json").read_text())["result"]
    text = (run / "report.html").read_text()
    assert f"{result['top1']:.2%}" in text
    counts = [[int(c or 0) for c in row[1:11]] for row in Page(text).rows if len(row) == 12 and row[0] != ""]
    assert len(counts) == 10
    assert sum(map(sum, counts)) == result["n"] == 359
    right = sum(row[i] for i, row in enumerate(counts))
    assert right / 359 == pytest.approx(result["top1"])
    figures = re.findall(
        r'<figure class=pair><img src="data:image/png;base64,([^"]+)".*?<b>(\d)</b>.*?<b>(\d)</b>', text
    )
    assert len(figures) == min(16, 359 - right)
    for data, truth, guess in figures:
        assert counts[int(truth)][int(guess)] > 0
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (96, 96)
    chances = [tuple(map(float, c)) for c in re.findall(r"</b> \(([\d.]+)%\) taken for <b>\d</b> \(([\d.]+)%\)", text)]
    truths = [truth for truth, _ in chances]
    assert truths == sorted(truths)  # the least probable truth first
    assert all(truth <= guess for truth, guess in chances)


def test_names_are_escaped(tmp_path: Path) -> None:
    """A class named like a tag stays text."""
    assert "<script>" not in matrix([[1, 2], [3, 4]], ["<script>alert(1)</script>", "b"])
    assert "<b>" not in curves("<b>", {"<b>": [(0, 1), (1, 2)], "c": [(0, 1)]})


def test_a_changed_run_says_so_on_its_page(run: Path) -> None:
    assert main(["train", "--resume", str(run), "--no-onnx", "-q", "--set", "epochs=3"]) == 0
    assert "<li>after step 46: epochs: 2 -&gt; 3</li>" in (run / "report.html").read_text()


@pytest.mark.slow
def test_masks_are_shown_beside_the_truth(tmp_path: Path) -> None:
    settings = [p for s in ("steps=2", "batch=4", "evaluate=2 steps") for p in ("--set", s)]
    command = ["train", str(SPECS / "unet.net"), "--data", "clutter", "--recipe", "none", "--no-onnx", "-q", *settings]
    net = "net Tiny(classes=2) { input image [3, 64, 64]\n conv(4, 3) -> relu -> conv(classes, 1) }\n"
    (tmp_path / "tiny.net").write_text(net)
    command[1] = str(tmp_path / "tiny.net")
    code = main([*command, "-o", str(tmp_path / "run")])
    assert code == 0
    text = (tmp_path / "run" / "report.html").read_text()
    assert "Worst masks" in text
    assert text.count("data:image/png") % 3 == 0


# Its parts.


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.003, 2.31), (1e-9, 3e-3), (5, 5), (0, 0), (-3, 7), (1, 138000)])
def test_marks_are_round_and_enclose(low: float, high: float) -> None:
    found = round_numbers(low, high)
    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12 * abs(high)
    assert 2 <= len(found) <= 7
    steps = np.diff(found)
    assert np.allclose(steps, steps[0])
    assert f"{steps[0]:.0e}"[0] in "125"


def test_smoothing_is_a_moving_mean() -> None:
    line = [(float(i), float(i % 2)) for i in range(200)]
    middle = [y for _, y in smoothed(line)[20:180]]
    assert middle == pytest.approx([0.5] * 160, abs=0.06)
    short = line[:10]
    assert smoothed(short) is short
    assert curves("none", {"a": [(0, float("nan"))]}) == ""


def test_images_keep_their_shape_and_pixels() -> None:
    pixels = torch.rand(3, 8, 12)
    data = data_url(pixels).removeprefix("data:image/png;base64,")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert image.shape == (64, 96, 3)
    assert np.array_equal(image[::8, ::8], (pixels * 255).round().byte().permute(1, 2, 0).numpy())


# While training.


def told(progress: Progress, *events: tuple[str, dict[str, Any]]) -> None:
    for what, numbers in events:
        progress(what, numbers)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples per second are of training alone; the time left counts evaluations, from where a resumed run began."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    progress = Progress(50, 10, used=lambda: 300 * 2**20)
    for step in range(11, 21):
        now[0] += 0.5
        progress("step", {"step": step, "loss": torch.tensor(1.0), "lr": 0.01, "samples": 64})
    now[0] += 5.0  # the evaluation
    progress("evaluation", {"step": 20, "epoch": 2.0, "loss": 0.5, "top1": 0.75, "n": 31})
    said = capsys.readouterr().err
    for part in ("step     20/50", "loss 0.5000", "top1 75.00%", "lr 1.00e-02", "128/s", "300 MiB", "0:30 left"):
        assert part in said, said
    now[0] += 0.5
    progress("step", {"step": 21, "loss": torch.tensor(1.0), "lr": 0.01, "samples": 64})
    progress("evaluation", {"step": 21, "epoch": 2.1, "loss": 0.5, "n": 31})
    assert "128/s" in capsys.readouterr().err
    assert progress.bar is None


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(50, 10, used=lambda: 300 * 2**20)
    told(
        progress,
        ("step", {"step": 11, "loss": torch.tensor(1.25), "lr": 0.01, "samples": 64}),
        ("evaluation", {"step": 11, "epoch": 1.0, "loss": 0.5, "top1": 0.75, "n": 31}),
    )
    assert progress.bar.tasks[0].completed == 11
    assert progress.bar.tasks[0].total == 50
    description = progress.bar.tasks[0].description
    assert all(part in description for part in ("loss 1.2500", "lr 1.00e-02", "/s", "300 MiB"))
    progress.close()
    assert "top1 75.00%" in capsys.readouterr().err


def test_memory_in_use_grows_with_what_is_used() -> None:
    before = resident()
    with mmap.mmap(-1, 100 * 2**20) as held:
        held.write(b"x" * len(held))
        assert resident() - before > 0.9 * len(held)


# TensorBoard.


def test_tensorboard_gets_every_step_and_evaluation_and_forgets_what_a_resumed_run_does_anew(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "small.net").write_text(SPEC)
    folder = tmp_path / "run"
    assert main(["train", str(tmp_path / "small.net"), "--no-onnx", "-q", "-o", str(folder), "--tensorboard"]) == 0
    assert main(["train", "--resume", str(folder), "--no-onnx", "-q", "--set", "epochs=3", "--tensorboard"]) == 0
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert {"step/loss", "step/lr", "step/gradient", "evaluation/loss", "evaluation/top1"} <= set(
        events.Tags()["scalars"]
    )
    assert [e.step for e in events.Scalars("step/loss")] == list(range(1, 70))
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for event, line in zip(
        events.Scalars("evaluation/top1"), (x for x in log if x["kind"] == "evaluation"), strict=True
    ):
        assert event.step == line["step"]
        assert event.value == pytest.approx(line["top1"])


def test_tensorboard_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    (tmp_path / "small.net").write_text(SPEC)
    assert main(["train", str(tmp_path / "small.net"), "-o", str(tmp_path / "run"), "--tensorboard"]) == 2
    said = capsys.readouterr().err
    assert "needs the package `tensorboard`, which is not installed\nhint: pip install tensorboard" in said


def test_numbers_that_are_not_finite_are_left_out_of_a_chart(run: Path, tmp_path: Path) -> None:
    """A log has null for them."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [(x["step"], x["loss"]) for x in lines if x["kind"] == "step"]
    broken: Any = [(step, None if i == 1 else loss) for i, (step, loss) in enumerate(steps)]
    assert curves("loss", {"training": broken}) == curves("loss", {"training": [steps[0], *steps[2:]]})


def test_masks_of_a_net_that_loses_its_border(tmp_path: Path) -> None:
    spec = tmp_path / "valid.net"
    spec.write_text("net Valid(classes=2) {\n input image [1, H, W]\n conv(4, 5, padding=0) -> conv(classes, 1)\n}\n")
    more = ["--data", "clutter(8, 4)", "--set", "epochs=1", "--set", "batch=8", "-o", str(tmp_path / "run"), "-q"]
    assert main(["train", str(spec), *more, "--no-onnx"]) == 0
    assert "Worst masks" in (tmp_path / "run" / "report.html").read_text()


# MLflow and Weights & Biases, of which a stand-in keeps what it is told.


class Tracking:
    """The part of MLflow and of Weights & Biases that is called."""

    def __init__(self) -> None:
        self.params: dict[str, str] = {}
        self.numbers: list[tuple[str, float, int]] = []
        self.begun: list[Any] = []
        self.current: Any = None

    # MLflow
    def MlflowClient(self) -> Tracking:  # noqa: N802 - as it is called there
        return self

    @contextmanager
    def start_run(self, run_name: str) -> Iterator[Any]:
        self.begun.append(run_name)
        yield SimpleNamespace(info=SimpleNamespace(run_id="abc"))

    def log_param(self, run: str, name: str, value: str) -> None:
        assert run == "abc"
        self.params[name] = value

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        assert run == "abc"
        self.numbers.append((name, value, step))

    # Weights & Biases
    def init(self, **given: Any) -> Any:
        if self.current is None or given.get("reinit") == "create_new":  # else the run that goes on, as there
            self.begun.append(given["id"])
            self.current = SimpleNamespace(id=given["id"] or "abc" + "'" * (len(self.begun) - 1), log=self.log)
        self.params = given["config"]
        return self.current

    def log(self, numbers: dict[str, float]) -> None:
        self.numbers += [(k, v, int(numbers["step"])) for k, v in numbers.items() if k != "step"]


@pytest.mark.parametrize("which", ["mlflow", "wandb"])
def test_a_run_is_tracked_and_goes_on_in_the_same_one(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Tracking()
    monkeypatch.setitem(sys.modules, which, kept)  # type: ignore[arg-type]
    (tmp_path / "small.net").write_text(SPEC)
    folder = tmp_path / "run"
    assert main(["train", str(tmp_path / "small.net"), "--no-onnx", "-q", "-o", str(folder), "--track", which]) == 0
    first = [line["step"] for line in log_of(folder) if line["kind"] == "evaluation"]
    assert main(["train", "--resume", str(folder), "--no-onnx", "-q", "--set", "epochs=3", "--track", which]) == 0
    evaluated = [line for line in log_of(folder) if line["kind"] == "evaluation"]
    seen = [(value, step) for name, value, step in kept.numbers if name == "evaluation.top1"]
    assert seen == [(line["top1"], line["step"]) for line in evaluated]
    assert len(evaluated) > len(first)
    assert kept.begun == (["run"] if which == "mlflow" else [None, "abc"])
    assert kept.params["batch"] == "64"


def test_each_fold_is_a_run_of_its_own_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Tracking())  # type: ignore[arg-type]
    (tmp_path / "small.net").write_text(SPEC)
    words = ["--set", "folds=2", "--set", "epochs=1", "--track", "wandb", "--no-onnx", "-q"]
    assert main(["train", str(tmp_path / "small.net"), "-o", str(tmp_path / "run"), *words]) == 0
    assert [(tmp_path / "run" / f / "wandb.txt").read_text() for f in ("fold-1", "fold-2")] == ["abc", "abc'"]


def test_what_a_tracker_raises_is_said_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run is kept up to its last checkpoint."""
    kept = Tracking()
    monkeypatch.setitem(sys.modules, "mlflow", kept)  # type: ignore[arg-type]
    monkeypatch.setattr(kept, "log_metric", lambda *more, **named: 1 / 0)
    (tmp_path / "small.net").write_text(SPEC)
    assert main(["train", str(tmp_path / "small.net"), "-q", "-o", str(tmp_path / "run"), "--track", "mlflow"]) == 1
    assert "`mlflow` failed: ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_a_folder_that_a_tracker_left_is_not_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    (tmp_path / "wandb").mkdir()
    with pytest.raises(UserError, match="needs the package `wandb`, which is not installed"):
        trackers.tracker("wandb", tmp_path, "N", Recipe())


def test_a_tracker_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (tmp_path / "small.net").write_text(SPEC)
    assert main(["train", str(tmp_path / "small.net"), "-o", str(tmp_path / "run"), "--track", "mlflow"]) == 2
    said = capsys.readouterr().err
    assert "`--track mlflow` needs the package `mlflow-skinny`, which is not installed\nhint: pip install" in said
