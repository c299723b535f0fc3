"""Signals of a run while it trains: against steps by hand, and without a trace in the run itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from probing import subject
from torch import Tensor, nn

from netdsl.cli.main import main
from netdsl.inference.run_folder import SIGNALS, Look, read_signals
from netdsl.probe import during
from netdsl.probe.during import During
from netdsl.training.report.signals import MOST, charts, signals
from netdsl.training.setup import start

TEXT = """
net N {
  input image [1, 8, 8]
  flatten -> linear(6) -> relu -> linear(5) -> relu6 -> linear(10)
}
recipe R for N {
  data      = digits
  batch     = 100
  steps     = 45
  optimizer = sgd(lr=0.5)
  schedule  = constant
}
"""


def trained(folder: Path, *words: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "n.net"
    spec.write_text(TEXT)
    assert main(["train", str(spec), "--no-onnx", "-q", "-o", str(folder / "run"), *words]) == 0
    return folder / "run"


def test_a_run_that_is_looked_at_ends_with_the_same_bits(tmp_path: Path) -> None:
    plain, probed = trained(tmp_path / "a"), trained(tmp_path / "b", "--probe")
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (plain / name).read_bytes() == (probed / name).read_bytes()
    assert not (plain / SIGNALS).exists()
    looks = read_signals(probed)
    assert [look.step for look in looks] == [20, 40]
    assert set(looks[0].dead) == {"relu", "relu6"}
    assert set(looks[0].updates) == {"linear1.weight", "linear2.weight", "linear3.weight"}
    assert "Signals" in (probed / "report.html").read_text()
    assert "Signals" not in (plain / "report.html").read_text()


def test_the_signals_are_those_of_steps_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(during, "APART", 2)
    made = subject(TEXT)
    prepared = made.prepared()
    loop: Any = start(prepared, tmp_path, _alone(), lambda what, numbers: None)
    loop.watch = During(prepared, loop, tmp_path)
    loop.watch.every = 2
    kept: list[dict[str, Tensor]] = []
    for step in range(4):
        kept.append({n: p.detach().clone() for n, p in loop.module.named_parameters() if p.ndim > 1})
        loop.update(step)
    first, second = read_signals(tmp_path)
    assert (first.step, second.step) == (2, 4)
    for name, ratio in second.updates.items():
        now = dict(loop.module.named_parameters())[name].detach()
        assert ratio == pytest.approx(((now - kept[3][name]).norm() / kept[3][name].norm()).item(), rel=1e-4)
    inputs, _ = loop.feed.split.take(torch.arange(64) * len(loop.feed.split) // 64)
    seen: list[Tensor] = []
    linears = [m for m in loop.module.modules() if isinstance(m, nn.Linear)]
    for layer in linears[:2]:
        layer.register_forward_hook(lambda m, x, y: seen.append(y))
    loop.module.eval()(*inputs)
    expected = [(~(y > 0).any(0)).float().mean().item() for y in seen]
    assert list(second.dead.values()) == pytest.approx(expected)


def _alone() -> Any:
    from netdsl.training.distributed.process_group import ProcessGroup

    return ProcessGroup()


def test_a_resumed_run_keeps_the_looks_up_to_its_checkpoint(tmp_path: Path) -> None:
    prepared = subject(TEXT).prepared()
    loop: Any = start(prepared, tmp_path, _alone(), lambda what, numbers: None)
    lines = b'{"step":20,"updates":{},"dead":{}}\n{"step":40,"updates":{},"dead":{}}\n{"step":6'
    (tmp_path / SIGNALS).write_bytes(lines)
    loop.state.step = 30
    During(prepared, loop, tmp_path)
    assert read_signals(tmp_path) == [Look(20, {}, {})]


def test_charts_show_some_of_many_weights(tmp_path: Path) -> None:
    names = [f"w{i}" for i in range(40)]
    looks = [Look(s, {n: 0.0 if n == "w0" else 1e-3 for n in names}, {}) for s in (20, 40)]
    (chart,) = charts(looks)
    assert len(chart.series) == MOST - 1
    assert chart.series[-1].name == "w39"
    assert signals(tmp_path) == []
