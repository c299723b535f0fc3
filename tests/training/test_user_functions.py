"""A loss and metrics that are functions, from Python: the same as the built-in ones, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import netdsl
from netdsl.training.checkpoints.format import load_tensors

TABLE = "net Table { input x [4]\n linear(8) -> relu -> linear(3) }"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = X[:, :3].argmax(1)


def per_sample(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target, reduction="none")


def train(folder: Path, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    given = {"epochs": 3, "batch": 16, "optimizer.lr": 0.02} | (settings or {})
    net = netdsl.load(netdsl.Source(TABLE))
    return net.train(data=(X, Y), settings=given, folder=folder, onnx=False, quiet=True, **more)


def weights(folder: Path) -> dict[str, Tensor]:
    return load_tensors(folder / "model.safetensors")[0]


def test_cross_entropy_as_a_function_is_cross_entropy(tmp_path: Path) -> None:
    train(tmp_path / "a")
    train(tmp_path / "b", loss=per_sample)
    train(tmp_path / "c", loss=functional.cross_entropy)  # one value for a batch
    for other in "bc":
        for name, tensor in weights(tmp_path / "a").items():
            torch.testing.assert_close(weights(tmp_path / other)[name], tensor, rtol=1e-4, atol=1e-6)


def test_an_update_in_parts_has_the_same_gradient(tmp_path: Path) -> None:
    train(tmp_path / "whole", loss=per_sample)
    train(tmp_path / "parts", {"micro_batch": 5}, loss=per_sample)
    for name, tensor in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(tmp_path / "parts")[name], tensor, rtol=1e-4, atol=1e-6)
    with pytest.raises(netdsl.TrainingError, match="one value for all samples"):
        train(tmp_path / "mean", {"micro_batch": 5}, loss=functional.cross_entropy)


def test_a_loss_sees_the_inputs(tmp_path: Path) -> None:
    seen = []

    def loss(output: Tensor, target: Tensor, x: Tensor) -> Tensor:
        seen.append(x.shape)
        return per_sample(output, target)

    train(tmp_path / "run", loss=loss)
    assert set(seen) == {(16, 4), (8, 4)}  # the training batches, and no evaluation


def test_metrics_see_the_whole_split_in_order(tmp_path: Path) -> None:
    def top1(outputs: Tensor, targets: Tensor) -> Tensor:
        assert targets.dtype == torch.int64
        return (outputs.argmax(1) == targets).float().mean()

    run = train(tmp_path / "run", metrics={"mine": top1, "size": lambda outputs, targets: len(outputs)})
    assert run.result["mine"] == pytest.approx(run.result["top1"])
    assert run.result["size"] == run.result["n"] == 18
    assert len(run.curves["mine"]) == 3


@pytest.mark.parametrize("name", ["top1", "loss", "n", "f1"])
def test_a_metric_replaces_no_number_that_is_measured(tmp_path: Path, name: str) -> None:
    with pytest.raises(netdsl.TrainingError, match=f"`metrics` is called `{name}`, and so is") as error:
        train(tmp_path / "run", {"metrics": ["f1"]}, metrics={name: lambda outputs, targets: 0.0})
    assert error.value.code == "conflicting-fields"


def test_targets_of_one_class(tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(TABLE))
    with pytest.raises(netdsl.TrainingError, match="every target of `data` is the class 0: there is nothing"):
        net.train(data=(X, 0 * Y), folder=tmp_path / "run", onnx=False, quiet=True)


def test_a_run_goes_on_with_the_same_functions(tmp_path: Path) -> None:
    def stop(numbers: dict[str, Any]) -> None:
        if numbers["step"] == 7:
            raise ValueError("enough")

    train(tmp_path / "whole", loss=per_sample)
    with pytest.raises(netdsl.TrainingError, match="`on_step` failed at step 7"):
        train(tmp_path / "half", loss=per_sample, on_step=stop)
    half = netdsl.open_run(tmp_path / "half")
    with pytest.raises(netdsl.TrainingError, match="began with functions in Python: `loss`"):
        half.resume(data=(X, Y), quiet=True, onnx=False)
    half.resume(data=(X, Y), loss=per_sample, quiet=True, onnx=False)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(weights(tmp_path / "half")[name], tensor)


def fails(output: Tensor, target: Tensor) -> Tensor:
    raise KeyError("no such key")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"loss": fails}, "`loss` failed: KeyError"),
        ({"loss": lambda output, target: output}, r"`loss` gives \[16, 3\] for 16 samples"),
        ({"loss": lambda output, target: 1.5}, r"`loss` gives `1\.5` for 16 samples"),
        ({"metrics": {"mine": fails}}, "the metric `mine` failed: KeyError"),
        ({"metrics": {"mine": lambda outputs, targets: outputs}}, r"the metric `mine` gives values \[18, 3\]"),
    ],
)
def test_functions_that_are_wrong(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(netdsl.TrainingError, match=said) as error:
        train(tmp_path / "run", **more)
    assert error.value.code == "callback-failed"


@pytest.mark.parametrize("row", ["ragged", "nan", "text"])
def test_items_of_a_dataset_that_are_wrong_are_named(tmp_path: Path, row: str) -> None:
    class Items(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int) -> Any:
            wrong = {"ragged": torch.zeros(5), "nan": torch.full((4,), torch.nan), "text": "four"}
            return (wrong[row] if i == 13 else torch.zeros(4)), i % 3

    with pytest.raises(netdsl.TrainingError, match="item 13"):
        netdsl.load(netdsl.Source(TABLE)).train(data=Items(), folder=tmp_path / "run", quiet=True)


def test_a_loss_that_is_not_finite_is_to_blame_itself(tmp_path: Path) -> None:
    with pytest.raises(netdsl.TrainingError, match="the net's output is finite, the loss of it is not"):
        train(tmp_path / "run", loss=lambda output, target: output.sum(1) * float("nan"))
