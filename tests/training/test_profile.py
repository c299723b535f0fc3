"""`netdsl profile`: the phases of a step add up, and layers are named by their line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import netdsl
from netdsl.cli.main import main
from netdsl.training import entry
from netdsl.training.data.batches import BatchLoader
from netdsl.training.profiling import attributed
from netdsl.training.report.profile import profile_text

SPEC = """net Two(classes=10) {
  input image [1, 8, 8]
  conv(4, 3) -> relu
  conv(128, 5) -> relu
  gap -> linear(classes)
}
recipe Some for Two {
  epochs  = 2
  augment = translate(1)
}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "two.net"
    path.write_text(SPEC)
    return path


def test_the_phases_add_up_and_the_slow_line_comes_first(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(spec), "--steps", "4", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 4
    assert sum(found["phases"].values()) + found["other"] == pytest.approx(found["step"])
    assert found["other"] < 0.15 * found["step"]
    assert min(found["phases"].values()) > 0
    assert found["every"] == 23
    assert found["evaluation"] > 0
    named = [layer for layer in found["layers"] if layer["line"]]
    assert named[0]["line"] == 4
    assert named[0]["macs"] == 4 * 128 * 25 * 64
    assert {layer["line"] for layer in named} >= {3, 4, 5}
    assert all(layer["backward"] > 0 for layer in named if layer["line"] in (4, 5))


def test_the_text_shows_the_lines_of_the_spec(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(spec), "--steps", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "conv(128, 5) -> relu" in said
    assert "optimizer" in said
    assert "an evaluation takes" in said


def test_a_slow_reader_is_named(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = BatchLoader.batch

    def slow(self: BatchLoader, *args: Any) -> Any:
        time.sleep(0.2)
        return own(self, *args)

    monkeypatch.setattr(BatchLoader, "batch", slow)
    net = netdsl.load(str(spec), "Two")
    _, recipe = net._selected(None, {})
    found = entry.profiled(net, recipe, spec.parent, "cpu", 2)
    assert found.phases["data"] > 0.19
    assert "goes into making the batch: the augmentation (`translate`)" in found.hints[0]
    waiting = replace(found, waiting=found.phases["data"])
    assert "of it waiting for images" in profile_text(waiting, {})


class Event:
    def __init__(self, name: str, seconds: float, number: int = -1, parent: Event | None = None) -> None:
        self.name, self.cpu_time_total, self.sequence_nr, self.cpu_parent = name, seconds * 1e6, number, parent


def test_operations_belong_to_the_innermost_module() -> None:
    block = Event("layer of the spec: block", 5.0)
    conv = Event("layer of the spec: block.conv", 3.0, parent=block)
    events = [
        block, conv, Event("aten::sub", 0.1, 7, parent=block), Event("aten::conv2d", 2.9, 7, parent=conv),
        Event("aten::relu", 1.0, 8, parent=block),
        Event("autograd::engine::evaluate_function: ReluBackward0", 0.5, 8),
        Event("autograd::engine::evaluate_function: ConvolutionBackward0", 6.0, 7),
        Event("autograd::engine::evaluate_function: AccumulateGrad", 9.0),
    ]  # fmt: skip
    forward, backward = attributed(events, gpu=False)
    assert forward == {"block": 2.0, "block.conv": 3.0}
    assert backward == {"block": 0.5, "block.conv": 6.0}


def test_a_run_is_profiled_and_left_as_it_is(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = netdsl.load(str(spec), "Two")
    net.train(folder=tmp_path / "run", settings={"steps": 2, "epochs": "none"}, quiet=True, onnx=False)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    assert main(["profile", str(tmp_path / "run"), "--steps", "1", "--device", "cpu"]) == 0
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == before
    assert main(["profile", str(tmp_path / "run"), "--set", "batch=2"]) == 2
    assert main(["profile", str(spec), "--steps", "0"]) == 2
    capsys.readouterr()


def test_samples_are_those_that_there_are(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["profile", str(spec), "--set", "batch=100000", "--steps", "1", "--json", "--device", "cpu"]
    assert main(given) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["batch"], found["samples"]) == (100_000, 1438)
    conv = next(layer for layer in found["layers"] if layer["line"] == 4)
    seconds = conv["forward"] + conv["backward"]
    assert conv["flops"] == pytest.approx(3 * 2 * conv["macs"] * 1438 / seconds)


@pytest.mark.parametrize("steps", ["0", "-1", "10001"])
def test_a_number_of_steps_that_is_none(spec: Path, steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(spec), "--steps", steps]) == 2
    assert "a whole number from 1 to 10,000" in capsys.readouterr().err
