"""Specs and runs of version 1: they give the same numbers, or are refused with the line that changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import TESTS

from netdsl.backends.onnx.session import Session
from netdsl.cli.main import main
from netdsl.elaborate.builder import Options
from netdsl.ir.flatten import flatten
from netdsl.ops import REGISTRY
from netdsl.ops.features import features_at
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.training.errors import CheckpointError
from netdsl.training.opened import open_trained
from netdsl.verify.export import export_onnx
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
    with pytest.raises(CheckpointError, match="does not give the net that was stored") as raised:
        open_trained(RUNS / "Listed-1")
    version, line = raised.value.diagnostic.notes
    assert "version 1 of the language" in version
    assert line.startswith("spec.net:10: `image -> conv(2, 3)`: ")


def test_new_files_say_their_version() -> None:
    net = Spec(Source("net A {\n  input x [3]\n  linear(2)\n}\n"), lambda name, importer: None).net("A")
    assert net.metadata["language"] == LANGUAGE == 3


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


BEFORE = """\
from old_blocks import B as Base

block C(c, from=3) {
  bn(1e-3) -> relu  # as it was, from before
  stem: conv(c, from)
  stem: conv(c, 3)
  half: conv(c, 3)
  dwconv(3, 2)
}

net M {
  input x [8, 16, 16]
  C(16, from=5)
  parts = [x -> conv(4, 3), relu]
  flatten(1) -> flatten
  linear(10, false)
  softmax(0)
}

net Q {
  input x [3, 4]
  lstm(64, 2)
  as = it
  attention(4, 64) -> layernorm(1e-6, false) -> drop_path(0.1, row)
  as -> unsqueeze(0)
}
"""
AFTER = """\
from old_blocks import B as Base

block C(c, from_=3) {
  bn(eps=1e-3) -> relu  # as it was, from before
  stem: conv(c, from_)
  stem2: conv(c, 3)
  half_: conv(c, 3)
  dwconv(3, stride=2)
}

net M {
  input x [8, 16, 16]
  C(16, from_=5)
  parts = [{ x -> conv(4, 3) }, relu]
  flatten(start=1) -> flatten
  linear(10, bias=false)
  softmax(axis=0)
}

net Q {
  input x [3, 4]
  lstm(64, num_layers=2)
  as_ = it
  attention(4, dim=64) -> layernorm(eps=1e-6, elementwise_affine=false) -> drop_path(0.1, mode=row)
  as_ -> unsqueeze(axis=0)
}
"""


def test_everything_that_changed_is_listed_and_rewritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.net"
    (tmp_path / "old_blocks.net").write_text("block B = relu\n")
    path.write_text(BEFORE)
    assert main(["check", str(path), "--migrate"]) == 1
    shown = capsys.readouterr().out
    for line in ("block C(c, from_=3) {", "lstm(64, num_layers=2)", "softmax(axis=0)", "flatten(start=1) -> flatten"):
        assert f"version 1 understood `{line}`" in shown
    assert path.read_text() == BEFORE
    assert main(["check", str(path), "--migrate", "--fix"]) == 0
    assert path.read_text() == AFTER
    assert "nothing changed its meaning" in capsys.readouterr().out


def test_what_version_1_did_not_understand_either_is_left(tmp_path: Path) -> None:
    text = "net A {\n  input x [4, 8, 8]\n  conv(8, 3, 2)\n  bn(1e-3, 0.9, true)\n  bn(eps=1e-3, 0.9)\n}\n"
    path = tmp_path / "wrong.net"
    path.write_text(text)
    assert main(["check", str(path), "--migrate", "--fix"]) == 1
    assert path.read_text() == text.replace("bn(eps=1e-3, 0.9)", "bn(eps=1e-3, momentum=0.9)")


def test_two_inputs_and_nothing_left_to_bind_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "net M(n) {\n  input a [n]\n  input a [4]\n  a -> relu\n}\nnet M8 = M(8)\nnet M9 = M8(16)\n"
    path = tmp_path / "two.net"
    path.write_text(text)
    assert main(["check", str(path), "--migrate", "--fix"]) == 1
    shown = capsys.readouterr().out
    assert "there are two inputs `a`" in shown
    assert "nothing left to bind" in shown
    assert path.read_text() == text


def test_the_first_two_arguments_are_still_what_version_1_took() -> None:
    """`--fix` names them by the order of the fields; the first two of version 1 were written down."""
    before = json.loads((TESTS / "data" / "version1" / "positional.json").read_text())
    assert {op: list(REGISTRY[op].__struct_fields__[:2]) for op in before} == before


def test_onnx_files_of_version_1_are_verified_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their spec is elaborated again: the graph must be the one it gives today."""
    assert main(["verify", str(RUNS / "Tiny-1" / "model.onnx")]) == 0
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((RUNS / "Listed-1" / "model.onnx").read_bytes())
    for path in (RUNS / "Listed-1" / "model.onnx", alone):
        capsys.readouterr()
        assert main(["verify", str(path)]) == 2
        shown = capsys.readouterr().err
        assert "does not give the net that was stored" in shown
        assert "spec.net:10: `image -> conv(2, 3)`" in shown


def test_a_graph_of_version_1_computes_what_it_computed(tmp_path: Path) -> None:
    """`predict` runs the file's own graph, whatever its spec says today."""
    path = RUNS / "Listed-1" / "model.onnx"
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    theirs = next(iter(Session(path).run({"image": images.numpy()}).values()))
    np.testing.assert_array_equal(np.asarray(open_trained(path).forward(images)[0]), theirs)


def test_a_file_of_a_run_holds_how_its_net_was_elaborated(tmp_path: Path) -> None:
    """Standardised images, and numbers in the units of the targets, are layers that the spec does not show."""
    text = "net A {\n  input image [2, 4, 4]\n  conv(3, 3) -> gap -> linear(2)\n}\n"
    options = Options(standard=((0.25, 0.5), (2.0, 4.0)), units=((1.0, -3.0), (0.5, 7.0)), links=True)
    net = Spec(Source(text, "a.net"), lambda name, importer: None).net("A", options=options)
    path = tmp_path / "model.onnx"
    export_onnx(net, path, verified=False)
    assert main(["verify", str(path)]) == 0
    assert Options.of_stored(json.loads(Session(path).metadata["options"])) == options


ALONG = """\
block Mlp(norm=layernorm) {
  norm -> linear(
    8,
  ) -> (layernorm) -> softmax
}

block Scaled = layernorm(eps=1e-3)  # (a comment)

net A {
  input x [8, 8, 8]
  conv(8, 1) -> permute((1, 2, 0)) -> Mlp -> Mlp(norm=rmsnorm(eps=1e-3)) -> linear((4)) -> Scaled
}

net B {
  input x [4, 8]
  conv(8, 3) -> linear(5) -> layernorm()
}
"""


def test_layers_along_features_are_given_the_axis_of_version_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.net"
    path.write_text(ALONG)
    assert main(["check", str(path), "--migrate"]) == 1
    assert "`axis=-1` was the axis before" in capsys.readouterr().out
    assert main(["check", str(path), "--migrate", "--fix"]) == 0
    text = path.read_text()
    first, second = text.split("net B")
    assert (first.count("axis=0"), first.count("axis=-1")) == (7, 0)
    assert "linear(5, axis=-1) -> layernorm(axis=-1)" in second
    assert "(layernorm(axis=0)) -> softmax(axis=0)" in first
    spec = Spec(Source(text), lambda name, importer: None)
    assert spec.diagnostics == ()
    for name, rank in (("A", 3), ("B", 2)):
        program = spec.net(name).program
        assert program is not None
        along = [n for n in flatten(program) if n.op.layout == "along"]
        assert {features_at(n.types[0], n.op.axis) for n in along} == {0 if rank > 2 else rank - 1}  # type: ignore[attr-defined]


def test_a_layer_on_values_of_two_ranks_has_no_axis_to_write() -> None:
    text = """\
block Soft = softmax

net A {
  input image [4, 8, 8]
  input row [4, 8]
  output a = image -> conv(4, 1) -> permute((1, 2, 0)) -> Soft
  output b = row -> conv(4, 3) -> Soft
}
"""
    (note,) = Spec(Source(text), lambda name, importer: None).net("A").elaborated.followed
    (hint,) = note.hints
    assert hint.message.startswith("`axis=-1` or `axis=0`")
    assert hint.edits == ()
