"""Numbers that are predicted for graphs and for their nodes, and masks of nodes over many graphs, against plain loops
of torch and numpy, and scikit-learn's metrics."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from torch import Tensor
from torch.nn import functional

import netdsl
from netdsl.cli.main import main

NODES_NET = """
net Fields(features=5, outputs=2) {
  input nodes [N, features]
  input edges [2, E] int64
  sources, targets = edges -> chunk(2)
  into = targets -> squeeze(axis=0)
  near = nodes -> gather(index=sources -> squeeze(axis=0)) -> scatter(index=into, size=N)
  concat(nodes, near, axis=1) -> linear(12) -> tanh -> linear(outputs)
}
"""
GRAPHS_NET = """
net Energies(features=5, outputs=2) {
  input nodes [N, features]
  input edges [2, E] int64
  input graph [N] int64
  input sizes [G] int64
  nodes -> linear(12) -> tanh -> scatter(index=graph, size=G, reduce=mean) -> linear(outputs)
}
"""
SIZES = np.random.default_rng(3).integers(2, 8, 20)
UNTIL = np.concatenate(([0], np.cumsum(SIZES)))
NODES, GRAPH = int(UNTIL[-1]), np.repeat(np.arange(len(SIZES)), SIZES)
SETTINGS = {"optimizer": "sgd(lr=0.2, momentum=0)", "schedule": "constant", "metrics": "[mae, r2]"}


def arrays() -> dict[str, Any]:
    """Graphs whose nodes have two numbers of very different scales; some numbers, and those of some nodes, are not
    known."""
    random = np.random.default_rng(0)
    features = random.normal(size=(NODES, 5)).astype(np.float32)
    edges = np.concatenate([[random.integers(a, b, 2 * (b - a)) for _ in "ab"] for a, b in pairwise(UNTIL)], 1)
    labels = (features @ random.normal(size=(5, 2)) * [300, 0.1] + [5000, -1]).astype(np.float32)
    labels[random.random((NODES, 2)) < 0.2] = np.nan
    labels[random.random(NODES) < 0.1] = np.nan
    return {"features": features, "edges": edges, "labels": labels}


def train(text: str, data: str, folder: Path, epochs: int, **more: Any) -> Any:
    net = netdsl.load(netdsl.Source(text, str(folder.parent / "g.net")))
    settings = {**SETTINGS, "epochs": epochs, "loss": "mse", **more}
    return net.train(data=data, settings=settings, folder=folder, quiet=True, device="cpu")


def weights(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return found


def of_nodes(state: dict[str, Tensor]) -> Tensor:
    """What `Fields` gives for all nodes, in standard units, by matrices."""
    given = arrays()
    x, (a, b) = torch.from_numpy(given["features"]), given["edges"]
    joined = torch.zeros(NODES, NODES)
    joined[a, b] = joined[b, a] = 1
    joined.fill_diagonal_(0)
    h = (torch.cat((x, joined @ x), 1) @ state["linear1.weight"].T + state["linear1.bias"]).tanh()
    return h @ state["linear2.weight"].T + state["linear2.bias"]


def of_graphs(state: dict[str, Tensor]) -> Tensor:
    """What `Energies` gives for all graphs, in standard units."""
    h = (torch.from_numpy(arrays()["features"]) @ state["linear1.weight"].T + state["linear1.bias"]).tanh()
    mean = torch.stack([h[a:b].mean(0) for a, b in pairwise(UNTIL)])
    return mean @ state["linear2.weight"].T + state["linear2.bias"]


def descended(
    state: dict[str, Tensor], net: Any, truth: np.ndarray, steps: list[np.ndarray], loss: str = "mse_loss"
) -> dict[str, Tensor]:
    """The weights after steps of SGD over rows, against targets standardised by numpy."""
    standard = torch.from_numpy(((truth - mean_of(truth, steps)) / std_of(truth, steps)).astype(np.float32))
    state = {n: t.clone().requires_grad_() for n, t in state.items() if not n.startswith("units")}
    for rows in steps:
        known = ~torch.isnan(standard[rows])
        each = getattr(functional, loss)(net(state)[rows][known], standard[rows][known])
        gradients = torch.autograd.grad(each, list(state.values()))
        with torch.no_grad():
            for tensor, gradient in zip(state.values(), gradients, strict=True):
                tensor -= 0.2 * gradient
    return {n: t.detach() for n, t in state.items()}


def mean_of(truth: np.ndarray, steps: list[np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.nanmean(truth[np.concatenate([np.arange(len(truth))[s] for s in steps])], 0)
    return found


def std_of(truth: np.ndarray, steps: list[np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.nanstd(truth[np.concatenate([np.arange(len(truth))[s] for s in steps])], 0)
    return found


def check_metrics(result: dict[str, Any], guess: np.ndarray, truth: np.ndarray) -> None:
    """scikit-learn's over what is known, output by output."""
    known = ~np.isnan(truth)
    assert result["n"] == known.any(1).sum()
    columns = [(truth[k, c].astype(float), guess[k, c].astype(float)) for c, k in enumerate(known.T)]
    flat = truth[known].astype(float), guess[known].astype(float)
    assert result["rmse"] == pytest.approx(mean_squared_error(*flat) ** 0.5, rel=1e-5)
    assert result["mae"] == pytest.approx(mean_absolute_error(*flat), rel=1e-5)
    assert result["r2"] == pytest.approx(np.mean([r2_score(*c) for c in columns]), abs=1e-4)


def check_weights(folder: Path, expected: dict[str, Tensor]) -> None:
    found = weights(folder)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_numbers_of_the_nodes_of_one_graph(tmp_path: Path, loss: str) -> None:
    """Steps over the known numbers of the nodes of `train`, in their own deviations; metrics over those of `test`."""
    given, part = arrays(), np.arange(NODES) % 4
    np.savez(tmp_path / "one.npz", **given, train=part < 2, val=part == 2, test=part == 3)
    data = f'graph("{tmp_path / "one.npz"}")'
    train(NODES_NET, data, tmp_path / "a", 1, loss=loss)
    run = train(NODES_NET, data, tmp_path / "b", 3, loss=loss)
    truth, rows = given["labels"], part < 2
    expected = descended(weights(tmp_path / "a"), of_nodes, truth, [rows] * 2, f"{loss}_loss")
    check_weights(tmp_path / "b", expected)
    mean, std = mean_of(truth, [rows]), std_of(truth, [rows])
    np.testing.assert_allclose(run.about.units, (mean, std), rtol=1e-5)
    check_metrics(run.result, of_nodes(expected).numpy() * std + mean, np.where((part == 3)[:, None], truth, np.nan))
    assert run.result["onnx"]["r2"] == pytest.approx(run.result["r2"], abs=1e-4)


def test_numbers_of_the_nodes_of_many_graphs_in_parts(tmp_path: Path) -> None:
    """A step is the mean over all known numbers of its graphs, whatever it is cut into."""
    given, rows = arrays(), np.arange(NODES) < UNTIL[15]
    np.savez(tmp_path / "many.npz", **given, sizes=SIZES, train=np.arange(len(SIZES)) < 15)
    data = f'graphs("{tmp_path / "many.npz"}")'
    train(NODES_NET, data, tmp_path / "a", 1, batch=15)
    run = train(NODES_NET, data, tmp_path / "b", 2, batch=15, micro_batch=4)
    expected = descended(weights(tmp_path / "a"), of_nodes, given["labels"], [rows])
    check_weights(tmp_path / "b", expected)
    guess = of_nodes(expected).numpy() * std_of(given["labels"], [rows]) + mean_of(given["labels"], [rows])
    check_metrics(run.result, guess, np.where(rows[:, None], np.nan, given["labels"]))
    assert main(["predict", str(tmp_path / "b"), str(tmp_path / "many.npz"), "-o", str(tmp_path / "out.csv")]) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["sample", "value_0", "value_1"]
    np.testing.assert_allclose(np.array([line[1:] for line in table[1:]], float), guess, rtol=1e-4, atol=1e-4)


def test_numbers_of_graphs_are_standardised(tmp_path: Path) -> None:
    """As targets of other samples are: column by column, over the graphs to train on."""
    given, chosen = arrays(), np.arange(len(SIZES)) < 14
    truth = np.stack([np.nanmean(given["features"][a:b, :2], 0) * [40, 0.1] + [300, -3] for a, b in pairwise(UNTIL)])
    truth = truth.astype(np.float32)
    np.savez(tmp_path / "g.npz", **given | {"labels": truth}, sizes=SIZES, train=chosen)
    data = f'graphs("{tmp_path / "g.npz"}")'
    train(GRAPHS_NET, data, tmp_path / "a", 1, batch=14)
    run = train(GRAPHS_NET, data, tmp_path / "b", 3, batch=14)
    double = truth.astype(float)
    expected = descended(weights(tmp_path / "a"), of_graphs, double, [chosen] * 2)
    check_weights(tmp_path / "b", expected)
    mean, std = mean_of(double, [chosen]), std_of(double, [chosen])
    np.testing.assert_allclose(run.about.units[1], std, rtol=1e-4)
    check_metrics(run.result, of_graphs(expected).numpy() * std + mean, np.where(chosen[:, None], np.nan, truth))
    plain = train(GRAPHS_NET, data, tmp_path / "plain", 1, standardize_targets="false")
    assert plain.about.units is None
    assert run.result["onnx"]["rmse"] == pytest.approx(run.result["rmse"], rel=1e-3)


def test_whole_numbers_of_nodes_are_numbers_for_one_output(tmp_path: Path) -> None:
    """Degrees, as an integer array; a class of each would be read from the same file by `cross_entropy`."""
    given = arrays()
    given["labels"] = np.bincount(given["edges"].ravel(), minlength=NODES)
    np.savez(tmp_path / "g.npz", **given, sizes=SIZES)
    one = NODES_NET.replace("outputs=2", "outputs=1")
    run = train(one, f'graphs("{tmp_path / "g.npz"}")', tmp_path / "r", 2)
    assert run.about.task == "node_numbers"
    assert "rmse" in run.result
    many = NODES_NET.replace("outputs=2", f"outputs={given['labels'].max() + 1}")
    classes = train(many, f'graphs("{tmp_path / "g.npz"}")', tmp_path / "c", 1, loss="cross_entropy", metrics="[f1]")
    assert classes.about.task == "nodes"


def test_masks_of_nodes_over_many_graphs(tmp_path: Path) -> None:
    """Nodes are divided one by one: a step is over those of `train` in its graphs, a graph without any is no sample."""
    given, part = arrays(), np.arange(NODES) % 3
    part[GRAPH == 0] = 1
    masks = {"train_mask": part == 0, "val_mask": part == 1, "test_mask": part == 2}
    np.savez(tmp_path / "m.npz", **given, sizes=SIZES, **masks)
    data = f'graphs("{tmp_path / "m.npz"}")'
    train(NODES_NET, data, tmp_path / "a", 1, batch=19)
    run = train(NODES_NET, data, tmp_path / "b", 2, batch=19)
    truth = given["labels"]
    expected = descended(weights(tmp_path / "a"), of_nodes, truth, [part == 0])
    check_weights(tmp_path / "b", expected)
    guess = of_nodes(expected).numpy() * std_of(truth, [part == 0]) + mean_of(truth, [part == 0])
    check_metrics(run.result, guess, np.where((part == 2)[:, None], truth, np.nan))
    evaluated = [line["n"] for line in run.log if line.get("kind") == "evaluation"]
    assert evaluated == [(~np.isnan(truth[part == 1])).any(1).sum()] * 2


@pytest.mark.parametrize("labels", [1, 3])
def test_masks_of_nodes_with_classes_or_labels(tmp_path: Path, labels: int) -> None:
    """Samples are the graphs that have a node of the mask, and -1 stands for the others."""
    given, part = arrays(), np.arange(NODES) % 2
    truth = np.random.default_rng(5).integers(0, 2, (NODES, labels))
    given["labels"] = truth[:, 0] if labels == 1 else truth.astype(np.float32)
    np.savez(tmp_path / "m.npz", **given, sizes=SIZES, train=part == 0)
    text = NODES_NET.replace("outputs=2", f"outputs={max(2, labels)}")
    loss = "cross_entropy" if labels == 1 else "bce"
    run = train(text, f'graphs("{tmp_path / "m.npz"}")', tmp_path / "r", 1, loss=loss, metrics="[f1]")
    assert run.result["n"] == (part == 1).sum()


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ({"train": np.arange(NODES) < 9, "val": np.arange(len(SIZES)) < 3}, {}, "some divide graphs, and others nodes"),
        ({"train": np.zeros(NODES, bool)}, {}, "`train` has no node with a number"),
        ({"labels": np.full((NODES, 2), np.inf)}, {}, "`labels` of node 0 is infinite.*"),
        (
            {"labels": np.zeros((NODES, 3))},
            {},
            r"the net gives \[2\] for a sample, .* asks for the numbers of nodes \[3\]",
        ),
        ({"labels": np.zeros(len(SIZES)), "train": np.arange(NODES) < 9}, {}, "the masks divide nodes, and `labels`"),
        ({}, {"metrics": "[f1]"}, "`f1` cannot be measured"),
        ({}, {"loss": "cross_entropy", "metrics": "[]"}, "label 0 of node 0 is|labels"),
        ({}, {"mix": "mixup(0.2)"}, "`mix` mixes"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, change: dict[str, Any], more: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "m.npz", **arrays() | change, sizes=SIZES)
    with pytest.raises((netdsl.TrainingError, netdsl.SpecError), match=said):
        train(NODES_NET, f'graphs("{tmp_path / "m.npz"}")', tmp_path / "r", 1, **more)
