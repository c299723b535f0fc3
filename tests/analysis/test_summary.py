"""Summaries: totals against torch's own modules, rows that add up, and how they look."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from netdsl import SpecError, load
from netdsl.analysis.count import buffers, parameters, totals
from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.render.numbers import grouped, in_bytes, scaled
from netdsl.render.paint import Paint
from netdsl.render.summary import as_markdown, render
from netdsl.render.summary_data import as_data
from netdsl.sizes.dims import evaluate
from netdsl.source import Source
from netdsl.summary import Row, Summary, summarize
from netdsl.summary.rows import kind

RESIDUAL = """
block Unit(c, stride=1) {
  residual(shortcut=conv(c, 1, stride=stride), scale=0.1) {
    conv(c, 3, stride=stride, bias=false) -> bn -> relu -> conv(c, 3, bias=false) -> bn
  }
  relu
}

# Three units, and a head.
net A {
  input image [3, 32, 32]
  stem: conv(8, 3) -> relu
  stages: for i in range(2) { repeat 3 { Unit(8 * 2**i, 2 if i else 1) } }
  head: gap -> linear(10)
}
"""

SHARED = """
net A {
  input image [3, 16, 16]
  share f = conv(3, 3)
  f -> relu -> f -> f
}
"""

AUXILIARY = """
block Head(classes) { gap -> linear(16) -> relu -> linear(classes) }
net A {
  input image [3, 16, 16]
  conv(4, 3) -> bn
  output aux = Head(7) when training
  conv(8, 3)
  output logits = Head(5)
}
"""

SYMBOLIC = """
net A {
  input image [1, H, W]
  skip = it
  maxpool(4) -> conv(16, 3) -> upconv(2, 4, stride=4)
  concat(skip, it) -> conv(2, 3)
}
"""

ATTENTION = """
net A {
  input tokens [6, 8]
  repeat 2 { residual { layernorm -> attention(2) } -> residual { layernorm -> linear(16) -> gelu -> linear(8) } }
  reduce_mean(axis=0) -> linear(3)
}
"""

SPECS = {"residual": RESIDUAL, "shared": SHARED, "auxiliary": AUXILIARY, "symbolic": SYMBOLIC, "attention": ATTENTION}


def net(text: str, **sizes: int) -> Net:
    found = Spec(Source(text, "a.net"), lambda module, importer: None).net("A", sizes=sizes)
    assert found.program is not None, [d.message for d in found.diagnostics]
    return found


def summary(text: str, everything: bool = False) -> Summary:
    return summarize(net(text).checked, "A", everything)


def measured_macs(found: Net, training: bool) -> int:
    """Half of what torch's flop counter counts for one sample."""
    module = found.module(seed=0).train(training)
    inputs = [torch.zeros(1, *v.type.shape) for v in found.checked.main.inputs]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", SPECS)
def test_totals_are_those_of_the_module(name: str) -> None:
    found = net(SPECS[name], H=16, W=24) if name == "symbolic" else net(SPECS[name])
    module, counted = found.module(seed=0), totals(found.checked.main)
    state = module.state_dict()
    trained = dict(module.named_parameters())
    assert [(p.path, p.shape) for p in parameters(found.checked.main)] == [
        (k, tuple(p.shape)) for k, p in trained.items()
    ]
    kept = [b for b in buffers(found.checked.main) if b.persistent]
    assert [(b.path, b.shape) for b in kept] == [(k, tuple(v.shape)) for k, v in state.items() if k not in trained]
    assert (counted.params, counted.param_tensors) == (sum(p.numel() for p in trained.values()), len(trained))
    assert counted.buffers == sum(v.numel() for k, v in state.items() if k not in trained)


@pytest.mark.parametrize("name", ["residual", "shared", "auxiliary"])
def test_macs_are_those_of_torchs_counter(name: str) -> None:
    found = net(SPECS[name])
    counted = totals(found.checked.main)
    assert counted.macs == measured_macs(found, training=False)


def test_symbolic_macs_are_those_of_torchs_counter() -> None:
    symbolic = summary(SYMBOLIC).macs
    for height, width in ((16, 24), (32, 8)):
        known = net(SYMBOLIC, H=height, W=width)
        assert evaluate(symbolic, {"H": height, "W": width}) == measured_macs(known, training=False)
    assert str(symbolic) == "95*H*W"


def test_training_only_heads_count_parameters_and_training_macs_alone() -> None:
    counted = totals(net(AUXILIARY).checked.main)
    assert counted.training_macs == counted.macs + 4 * 16 + 16 * 7
    assert counted.params == sum(p.numel() for p in net(AUXILIARY).module(seed=0).parameters())


def rows_of(found: Summary) -> list[Row]:
    def walk(rows: tuple[Row, ...]) -> list[Row]:
        return [r for row in rows for r in (row, *walk(row.children))]

    return walk(found.rows)


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_rows_add_up(name: str, everything: bool) -> None:
    found = summary(SPECS[name], everything)
    assert sum(r.params for r in found.rows) == found.params
    macs = sum(evaluate(row.macs, {"H": 16, "W": 32}) for row in found.rows if not row.training)
    assert macs == evaluate(found.macs, {"H": 16, "W": 32})
    for row in rows_of(found):
        if row.children:
            assert row.params == row.repeat * sum(c.params for c in row.children)


def test_equal_neighbours_are_one_row() -> None:
    stages = [r for r in summary(RESIDUAL).rows if r.name.startswith("stages")]
    assert [[c.repeat for c in s.children] for s in stages] == [[3], [1, 1, 1]]
    assert stages[0].children[0].params == stages[0].params


def test_shared_weights_count_once_and_every_call_counts_macs() -> None:
    rows = summary(SHARED).rows
    assert [(r.name, r.params, r.shared) for r in rows] == [("f", 84, False), ("f", 0, True), ("f", 0, True)]
    assert all(r.macs == 81 * 256 for r in rows)


def test_residual_links_are_counted_by_instance() -> None:
    assert summary(RESIDUAL).totals.residual_links == 6
    assert summary(ATTENTION).totals.residual_links == 4


def test_constraints_are_shown() -> None:
    assert summary(SYMBOLIC).constraints == ("H % 4 == 0", "W % 4 == 0")


def test_activation_bytes() -> None:
    text = "net A {\ninput image [3, 8, 8]\nconv(4, 3, stride=2) -> relu -> dropout -> gap\n}\n"
    assert summary(text).totals.activation_bytes == 4 * (4 * 16 + 4 * 16 + 4)


def test_data_has_the_documented_keys_and_plain_values() -> None:
    data = as_data(summary(RESIDUAL))
    assert list(data) == [
        "net", "doc", "params", "param_tensors", "buffers", "buffer_tensors", "macs", "training_macs",
        "activation_bytes", "inputs", "outputs", "constraints", "receptive_field", "residual_links", "rows",
    ]  # fmt: skip
    assert data["inputs"] == [{"name": "image", "shape": [3, 32, 32], "dtype": "float32"}]
    assert data["outputs"] == [{"name": "output", "shape": [10], "dtype": "float32", "training": False}]
    assert data["receptive_field"] == {"size": 57, "stride": 8, "padding": 28, "map": [16, 4, 4]}
    assert json.loads(json.dumps(data)) == data
    assert [row["path"] for row in data["rows"][1]["children"]] == ["stages.0.0"]


def test_symbolic_sizes_are_text_in_data() -> None:
    data = as_data(summary(SYMBOLIC))
    assert data["inputs"][0]["shape"] == [1, "H", "W"]
    assert data["macs"] == "95*H*W"


LONG = """
block Down(c) = conv(c, 3, stride=2) -> relu
net A {
  input image [3, H, W]
  Down(4) -> Down(8) -> Down(16) -> upsample(2) -> conv(4, 3)
}
"""


def test_long_symbolic_sizes_are_shown_about() -> None:
    found = summary(LONG)
    assert len(str(found.macs)) > 60
    shown = grouped(found.macs)
    assert re.fullmatch(r"~\d+\*H\*W", shown)
    assert int(shown[1:].split("*")[0]) == pytest.approx(evaluate(found.macs, {"H": 4000, "W": 5000}) / 2e7, rel=0.02)


def test_depth_limits_the_tree() -> None:
    found = summary(RESIDUAL)
    assert all(not row["children"] for row in as_data(found, 1)["rows"])
    assert len(render(found, 1).splitlines()) < len(render(found, 2).splitlines())


def test_text_is_aligned_and_plain() -> None:
    text = render(summary(RESIDUAL), 3)
    table = text.split("\n\n")[1].splitlines()
    assert "\x1b" not in text
    assert len({line.rstrip().rfind("MACs") for line in table if "MACs" in line}) == 1
    column = table[0].index("kind")
    assert all(line[column - 2 : column] == "  " for line in table if "\u2500\u2500\u2500\u2500" not in line)
    assert "Three units, and a head" in text


def test_paint_changes_no_text() -> None:
    found = summary(RESIDUAL)
    painted = render(found, 2, Paint(True))
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == render(found, 2)


def test_markdown_is_a_table() -> None:
    lines = [line for line in as_markdown(summary(RESIDUAL), 2).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {6}
    assert lines[1] == "| --- | --- | --- | ---: | ---: |"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999_600, "999.6 k"),
        (999_960, "1.00 M"),
        (4_089_184_256, "4.09 G"),
        (25_557_032, "25.56 M"),
    ],
)
def test_scaled_numbers(value: int, text: str) -> None:
    assert scaled(value) == text


def test_other_numbers() -> None:
    assert in_bytes(4 * 25_557_032) == "97.49 MiB"
    assert grouped(4_089_184_256) == "4,089,184,256"


def test_a_dilated_kernel_is_shown_as_it_is_written() -> None:
    body = "conv(8, 3, dilation=36)\n conv(8, 3, stride=2, dilation=(2, 1))\n maxpool(3, dilation=2)\n upconv(4, 3)"
    text = f"net A {{ input x [3, 224, 224]\n {body} }}"
    program = Spec(Source(text, "a.net"), read_import).net("A").checked
    kinds = [kind(step) for step in program.main.steps]
    assert kinds == ["conv 3x3, dilation 36", "conv 3x3 /2, dilation 2x1", "maxpool 3x3 /3, dilation 2", "upconv 3x3"]


def test_numbers_too_long_for_their_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A product of sums of sixty names has thousands of terms, and its square millions."""
    names = [f"x{i}" for i in range(60)]
    inputs = "".join(f"  input {n} [{n.upper()}, 3]\n" for n in names)
    body = f"  y = concat({', '.join(names)}, axis=0)\n  z = y @ (y -> permute([1, 0]))\n  z @ z @ z @ y\n"
    (tmp_path / "long.net").write_text(f"net N {{\n{inputs}{body}}}\n")
    began = time.process_time()
    assert main(["summary", str(tmp_path / "long.net")]) == 1
    assert time.process_time() - began < 20
    assert "`N` are too long to be written in terms of its named sizes" in capsys.readouterr().err
    with pytest.raises(SpecError, match="too long"):
        load(tmp_path / "long.net").summary()
