"""Pipes and devices where files are expected: said at once, and never waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdsl.cli.main import main

SPEC = "net M {\n  input image [1, 8, 8]\n  gap -> linear(10)\n}\n"
RUN = {"run.json": "{}", "recipe.json": "{}", "metrics.jsonl": ""}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of pipes, and of runs in which one file is one; what waits for a pipe ends after some seconds."""
    monkeypatch.chdir(tmp_path)
    Path("a.net").write_text(SPEC)
    for ending in ("onnx", "pth", "safetensors", "json", "toml", "pt2", "net", "png"):
        os.mkfifo(f"pipe.{ending}")
    for file in RUN:
        Path(file[:3]).mkdir()
        for name, text in RUN.items():
            os.mkfifo(f"{file[:3]}/{name}") if name == file else Path(file[:3], name).write_text(text)
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.parametrize(
    "command",
    [
        "weights a.net pipe.pth -o o.safetensors", "weights a.net pipe.safetensors -o o.safetensors",
        "weights a.net pipe.onnx -o o.safetensors", "weights a.net pipe.json -o o.safetensors",
        "weights a.net /dev/zero -o o.safetensors",
        "verify a.net --weights pipe.safetensors", "verify a.net --weights /dev/zero", "verify pipe.onnx",
        "compile a.net --weights pipe.safetensors -o o", "lift pipe.onnx", "lift pipe.pt2", "lift /dev/zero",
        "check pipe.net", "fmt pipe.net", "predict run pipe.png", "predict rec pipe.png", "eval run", "eval rec",
        "push run o", "train --resume run", "predict pipe.onnx pipe.png",
    ],
)  # fmt: skip
def test_a_pipe_is_said(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) in (1, 2)
    said = capsys.readouterr()
    assert "pipe" in said.err + said.out or "device" in said.err or "no file" in said.err
    assert "internal error" not in said.err
    assert not Path("o").exists()
    assert not Path("o.safetensors").exists()


def test_runs_beside_pipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run", "rec", "met"):
        assert main(["runs", name, "--json"]) in (0, 1, 2)
    assert "internal error" not in capsys.readouterr().err


def test_a_loop_of_links_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    os.symlink("one", "two")
    os.symlink("two", "one")
    for command in ("push one o", "runs one", "eval one", "check one"):
        assert main(command.split()) in (1, 2)
    assert "internal error" not in capsys.readouterr().err
