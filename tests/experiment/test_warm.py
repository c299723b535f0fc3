"""A spec that a worker keeps from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netdsl.elaborate.given import Expression
from netdsl.experiment.warm import MOST, warm
from netdsl.selection import select

TEXT = "from part import Block\nnet N(width = 4) {\n  input x [3]\n  linear(width) -> Block\n}\n"
PART = "block Block {\n  linear(2)\n}\n"


def net(folder: Path, width: int = 4, text: str = TEXT) -> object:
    found = select(warm(text, str(folder / "n.net")), "N", "none", {}, {"width": Expression(str(width))}).net
    assert found is not None
    return found


def test_a_net_is_elaborated_once_for_all_runs_of_its_cell(tmp_path: Path) -> None:
    (tmp_path / "part.net").write_text(PART)
    first, other = net(tmp_path), net(tmp_path, width=8)
    assert first is not other
    assert net(tmp_path) is first
    assert net(tmp_path, width=8) is other


def test_nothing_is_kept_of_another_text(tmp_path: Path) -> None:
    (tmp_path / "part.net").write_text(PART)
    first = net(tmp_path)
    assert net(tmp_path, text=TEXT + "\n") is not first
    first = net(tmp_path)
    (tmp_path / "part.net").write_text(PART.replace("2", "5"))
    assert net(tmp_path) is not first, "an import says something else"


def test_plugins_and_the_number_of_nets_bound_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "part.net").write_text(PART)
    spec = warm(TEXT, str(tmp_path / "n.net"))
    assert warm(TEXT, str(tmp_path / "n.net"), "plug-in") is not spec
    for size in range(MOST + 5):
        spec.net("N", {"width": Expression(str(size + 1))})
    assert len(spec.kept) == MOST


def test_a_run_may_spend_what_it_might_alone(tmp_path: Path) -> None:
    (tmp_path / "part.net").write_text(PART)
    spec = warm(TEXT, str(tmp_path / "n.net"))
    spec.elaborator.budget.left = 0
    assert warm(TEXT, str(tmp_path / "n.net")).elaborator.budget.left > 0


def test_a_run_computes_no_sample_beside_its_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.modules.module import register_module_forward_hook

    from netdsl.experiment.jobs import Job
    from netdsl.experiment.worker import attempt
    from netdsl.training.trainer import Trainer

    text = "net N {\n  input image [1, 8, 8]\n  flatten -> linear(10)\n}\nrecipe Short for N {\n  epochs = 1\n}\n"
    counts = {"training": 0, "beside": 0}
    where = "beside"
    run = Trainer.run

    def counted(self: Trainer) -> Any:
        nonlocal where
        where = "training"
        try:
            return run(self)
        finally:
            where = "beside"

    def count(*_: object) -> None:
        counts[where] += 1

    monkeypatch.setattr(Trainer, "run", counted)
    path, folder = str(tmp_path / "n.net"), str(tmp_path / "run")
    hook = register_module_forward_hook(count)
    try:
        assert attempt(Job(path, text, "N", "Short", {}, {"seed": "1"}, {}, (), folder, "p", "k", "one")).done
    finally:
        hook.remove()
    assert counts["training"] > 0
    assert counts["beside"] == 0
