"""Training as a call: `net.train`, its callbacks, and the run it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import netdsl

SPEC = """net Small {
  input image [1, 8, 8]
  conv(8, 3, padding=1) -> relu
  maxpool(2)
  flatten -> dropout(0.1) -> linear(10)
}
"""
SETTINGS = {"steps": 30, "evaluate": "10 steps", "checkpoint": "10 steps", "optimizer.lr": 0.01}


def small(**more: Any) -> dict[str, Any]:
    settings = {**SETTINGS, **more.pop("settings", {})}
    return {"data": "digits", "settings": settings, "onnx": False, "quiet": True, "device": "cpu", **more}


@pytest.fixture(scope="module")
def net() -> netdsl.Net:
    return netdsl.load(netdsl.Source(SPEC))


def weights(run: netdsl.Run) -> dict[str, torch.Tensor]:
    return run.module().state_dict()


def test_a_run_can_be_opened_later(net: netdsl.Net, tmp_path: Path) -> None:
    run = net.train(folder=tmp_path / "run", **small())
    again = netdsl.open_run(str(tmp_path / "run"))
    assert run.ended
    assert again.result == run.result
    assert again.result["top1"] > 0.5
    assert again.recipe.steps == 30
    assert [step for step, _ in again.curves["top1"]] == [10, 20, 30]
    assert len(again.curves["training_loss"]) == 30
    assert "<svg" in again._repr_html_()
    assert "accuracy" in repr(again)
    module = again.module()
    assert not module.training
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_python_and_the_command_line_train_the_same(net: netdsl.Net, tmp_path: Path) -> None:
    from netdsl.cli.main import main

    run = net.train(folder=tmp_path / "one", **small())
    (tmp_path / "small.net").write_text(SPEC)
    sets = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    words = ["train", str(tmp_path / "small.net"), "--data", "digits", *sets, "--no-onnx", "-q", "--device", "cpu"]
    assert main([*words, "-o", str(tmp_path / "two")]) == 0
    other = netdsl.open_run(tmp_path / "two")
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(other).values(), strict=True))


def test_a_training_leaves_torch_as_it_was(net: netdsl.Net, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_num_threads(), torch.get_rng_state()
    net.train(folder=tmp_path / "run", **small(settings={"steps": 2, "seed": 9}))
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_callbacks_are_told_and_may_stop(net: netdsl.Net, tmp_path: Path) -> None:
    steps: list[int] = []
    evaluated: list[int] = []
    saved: list[int] = []

    def on_step(numbers: dict[str, Any]) -> str | None:
        assert isinstance(numbers["loss"], float)
        steps.append(numbers["step"])
        return "stop" if numbers["step"] == 13 else None

    run = net.train(
        folder=tmp_path / "run",
        on_step=on_step,
        on_evaluation=lambda numbers: evaluated.append(numbers["step"]),
        on_checkpoint=lambda numbers: saved.append(numbers["step"]),
        **small(),
    )
    assert steps == list(range(1, 14))
    assert evaluated == saved == [10, 13]
    assert run.ended, "it is measured like any other run"


def test_a_callback_that_throws_costs_no_step(net: netdsl.Net, tmp_path: Path) -> None:
    """The run is kept, and goes on to the last bit of one that nothing has disturbed."""

    def broken(numbers: dict[str, Any]) -> None:
        if numbers["step"] == 17:
            raise ZeroDivisionError("no such number")

    folder = tmp_path / "run"
    with pytest.raises(netdsl.TrainingError, match="`on_step` failed at step 17: ZeroDivisionError: no such") as caught:
        net.train(folder=folder, on_step=broken, **small())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "resume" in str(caught.value)
    run = netdsl.open_run(folder)
    assert not run.ended
    seen: list[int] = []
    run.resume(on_step=lambda numbers: seen.append(numbers["step"]), onnx=False, quiet=True, device="cpu")
    assert seen[0] == 18
    whole = net.train(folder=tmp_path / "whole", **small())
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(whole).values(), strict=True))


def test_what_is_wrong_is_said_in_words(net: netdsl.Net, tmp_path: Path) -> None:
    with pytest.raises(netdsl.SpecError, match="optimiser"):
        net.train(folder=tmp_path / "a", **small(settings={"optimiser": "sgd"}))
    with pytest.raises(netdsl.TrainingError, match="there is no file"):
        net.train(folder=tmp_path / "b", **small(data='npz("none.npz")'))
    with pytest.raises(netdsl.TrainingError, match="not the folder of a run"):
        netdsl.open_run(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(netdsl.TrainingError, match="is not empty"):
        net.train(folder=tmp_path / "full", **small())
