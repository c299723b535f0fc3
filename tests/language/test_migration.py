"""Specs and runs of version 1: they give the same numbers, or are refused with the line that changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from paths import TESTS

from netdsl.backends.onnx.session import Session
from netdsl.cli.main import main
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.training.errors import CheckpointError
from netdsl.training.opened import open_trained
from netdsl.version import LANGUAGE

RUNS = TESTS / "data" / "version1"
"""Made by netdsl 0.1.0 (one epoch on the digits), with the ONNX files of that version."""


def test_a_run_of_version_1_gives_the_same_numbers() -> None:
    folder = RUNS / "Tiny-1"
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = open_trained(folder).forward(images)
    theirs = next(iter(Session(folder / "model.onnx").run({"image": images.numpy()}).values()))
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-4, atol=1e-5)


def test_a_run_that_means_something_else_is_refused_with_its_line() -> None:
    with pytest.raises(CheckpointError, match="version 1 of the language") as raised:
        open_trained(RUNS / "Listed-1")
    assert "image -> conv(2, 3)" in str(raised.value)
    assert "spec.net:10" in str(raised.value)


def test_new_files_say_their_version() -> None:
    net = Spec(Source("net A {\n  input x [3]\n  linear(2)\n}\n"), lambda name, importer: None).net("A")
    assert net.metadata["language"] == LANGUAGE == 2


OLD = """\
block Twice(f) = it + f + f

net A {
  input x [4, 8, 8]

  parts = [x -> conv(4, 3), relu]
  Twice(x -> conv(4, 1))
  it + parts[0]
}
"""


def test_check_lists_and_rewrites_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.net"
    path.write_text(OLD)
    assert main(["check", str(path), "--migrate"]) == 1
    shown = capsys.readouterr().out
    assert "old.net:6:12" in shown
    assert "old.net:7:9" in shown
    assert main(["check", str(path), "--migrate", "--fix"]) == 0
    assert "[{ x -> conv(4, 3) }, relu]" in path.read_text()
    assert "Twice({ x -> conv(4, 1) })" in path.read_text()
    assert main(["check", str(path), "--migrate"]) == 0
    assert main(["check", str(path)]) == 0
