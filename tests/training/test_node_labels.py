"""Graphs whose nodes have several labels each, against a plain loop of torch and scikit-learn's metrics."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

import netdsl
from netdsl.cli.main import main

TEXT = """
net Proteins(features=6, labels=3) {
  input nodes [N, features]
  input edges [2, E] int64
  sources, targets = edges -> chunk(2)
  into = targets -> squeeze(axis=0)
  near = nodes -> gather(index=sources -> squeeze(axis=0)) -> scatter(index=into, size=N)
  concat(nodes, near, axis=1) -> linear(16) -> tanh -> linear(labels)
}
"""
LABELS = 3
SIZES = np.random.default_rng(1).integers(3, 9, 24)
UNTIL = np.concatenate(([0], np.cumsum(SIZES)))
NODES = int(UNTIL[-1])
METRICS = ("micro_f1", "f1", "auroc", "average_precision")
SETTINGS = {
    "batch": 5,
    "optimizer": "sgd(lr=0.5, momentum=0)",
    "schedule": "constant",
    "metrics": f"[{', '.join(METRICS)}]",
}


def arrays() -> dict[str, Any]:
    """Graphs whose nodes have labels that their neighbours tell; a fifth of them is not known, and no label of some."""
    random = np.random.default_rng(0)
    features = random.normal(size=(NODES, 6)).astype(np.float32)
    edges = np.concatenate([[random.integers(a, b, 2 * (b - a)) for _ in "ab"] for a, b in pairwise(UNTIL)], 1)
    labels = (features @ random.normal(size=(6, LABELS)) > 0.3).astype(np.float32)
    labels[random.random((NODES, LABELS)) < 0.2] = -1
    labels[random.random(NODES) < 0.1] = -1
    return {"features": features, "edges": edges, "labels": labels, "class_names": ["binds", "cuts", "folds"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("proteins")
    given, part = arrays(), np.arange(NODES) % 4
    np.savez(base / "many.npz", **given, sizes=SIZES, train=np.arange(len(SIZES)) < 18)
    np.savez(base / "one.npz", **given, train=part < 2, val=part == 2, test=part == 3)
    (base / "proteins.net").write_text(TEXT)
    return base


def train(base: Path, data: str, folder: Path, epochs: int, **more: Any) -> Any:
    net = netdsl.load(str(base / "proteins.net"))
    settings = {**SETTINGS, "epochs": epochs, "loss": "bce", **more}
    return net.train(data=data, settings=settings, folder=folder, quiet=True, device="cpu")


def plain(state: dict[str, Tensor], rows: np.ndarray) -> Tensor:
    """What the net gives for some nodes, whole graphs, by matrices."""
    given = arrays()
    x, (a, b) = torch.from_numpy(given["features"]), given["edges"]
    joined = torch.zeros(NODES, NODES)
    joined[a, b] = joined[b, a] = 1
    joined.fill_diagonal_(0)
    h = (torch.cat((x, joined @ x), 1) @ state["linear1.weight"].T + state["linear1.bias"]).tanh()
    return (h @ state["linear2.weight"].T + state["linear2.bias"])[rows]


def mean(scores: Tensor, truth: Tensor, pos_weight: Tensor | None = None) -> Tensor:
    """The mean of torch over what is known."""
    known = truth >= 0
    weight = None if pos_weight is None else pos_weight.expand(truth.shape)[known]
    return functional.binary_cross_entropy_with_logits(scores[known], truth[known], pos_weight=weight)


def learned(
    state: dict[str, Tensor], steps: list[np.ndarray], pos_weight: Tensor | None = None, factor: int = 1
) -> dict[str, Tensor]:
    """The weights after an epoch of SGD over lists of nodes."""
    state = {n: t.clone().requires_grad_() for n, t in state.items()}
    labels = torch.from_numpy(arrays()["labels"])
    for rows in steps:
        gradients = torch.autograd.grad(mean(plain(state, rows), labels[rows], pos_weight), list(state.values()))
        with torch.no_grad():
            for tensor, gradient in zip(state.values(), gradients, strict=True):
                tensor -= 0.5 * factor * gradient
    return {n: t.detach() for n, t in state.items()}


def weights(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return found


def check_metrics(result: dict[str, Any], scores: np.ndarray, truth: np.ndarray) -> None:
    """The metrics of a run are those of scikit-learn over what is known, label by label."""
    known = truth >= 0
    columns = [(truth[k, c], scores[k, c]) for c, k in enumerate(known.T)]
    flat = truth[known], scores[known] > 0
    assert result["n"] == known.any(1).sum()
    wanted = {
        "top1": accuracy_score(*flat),
        "micro_f1": f1_score(*flat),
        "f1": np.mean([f1_score(y, s > 0) for y, s in columns]),
        "auroc": np.mean([roc_auc_score(y, s) for y, s in columns]),
        "average_precision": np.mean([average_precision_score(y, s) for y, s in columns]),
        "loss": mean(torch.from_numpy(scores), torch.from_numpy(truth)).item(),
    }
    for name, value in wanted.items():
        assert result[name] == pytest.approx(value, abs=1e-6), name


def test_one_graph_and_steps_over_known_labels(base: Path, tmp_path: Path) -> None:
    """Two steps of SGD over the nodes of `train` from the weights after one; metrics over the nodes of `test`."""
    data, part = f'graph("{base / "one.npz"}")', np.arange(NODES) % 4
    train(base, data, tmp_path / "a", 1)
    run = train(base, data, tmp_path / "b", 3)
    expected = learned(weights(tmp_path / "a"), [part < 2] * 2)
    for name, tensor in weights(tmp_path / "b").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
    check_metrics(run.result, plain(expected, part == 3).numpy(), arrays()["labels"][part == 3])


@pytest.mark.parametrize("loss", ["bce", "bce(pos_weight=balanced)", "bce(sum_classes=true)"])
def test_several_graphs_in_parts(base: Path, tmp_path: Path, loss: str) -> None:
    """A step is over all known labels of its graphs, whatever it is cut into; `balanced` counts what is known."""
    data, labels = f'graphs("{base / "many.npz"}")', torch.from_numpy(arrays()["labels"])
    train(base, data, tmp_path / "a", 1, batch=18, loss=loss)
    run = train(base, data, tmp_path / "b", 2, batch=18, loss=loss, micro_batch=5)
    rows = np.arange(NODES) < UNTIL[18]
    yes, no = ((labels[rows] == y).sum(0) for y in (1, 0))
    pos_weight, factor = no / yes if "pos" in loss else None, LABELS if "sum" in loss else 1
    expected = learned(weights(tmp_path / "a"), [rows], pos_weight, factor)
    for name, tensor in weights(tmp_path / "b").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
    if loss == "bce":
        check_metrics(run.result, plain(expected, ~rows).numpy(), labels[~rows].numpy())


@pytest.fixture(scope="module")
def run(base: Path) -> Path:
    train(base, f'graphs("{base / "many.npz"}")', base / "run", 2)
    return base / "run"


def test_a_column_for_each_label(base: Path, run: Path, tmp_path: Path) -> None:
    wanted = plain(weights(run), np.arange(NODES) >= 0).sigmoid().numpy()
    for model in (run, run / "model.onnx"):
        assert main(["predict", str(model), str(base / "many.npz"), "-o", str(tmp_path / "out.csv")]) == 0
        with open(tmp_path / "out.csv", newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["sample", "binds", "cuts", "folds"]
        assert [row[0].rpartition("npz")[2] for row in rows[1:3]] == [":1:1", ":1:2"]
        np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], np.float32), wanted, atol=1e-4)


def test_other_graphs_are_evaluated(base: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another file, all of whose nodes but those of a graph are tested on."""
    given, count = arrays(), UNTIL[4]
    new = {n: given[n][:count] for n in ("features", "labels")}
    edges = given["edges"][:, (given["edges"] < count).all(0)]
    np.savez(base / "new.npz", **new, edges=edges, sizes=SIZES[:4], train=[1, 0, 0, 0])
    asked = ["--data", f'graphs("{base / "new.npz"}")', "--metrics", ",".join(METRICS), "--json"]
    assert main(["eval", str(run), *asked]) == 0
    rows = (np.arange(NODES) >= UNTIL[1]) & (np.arange(NODES) < count)
    found = json.loads(capsys.readouterr().out)
    check_metrics(found, plain(weights(run), rows).numpy(), given["labels"][rows])


def test_yes_or_no_of_each_node(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Classes 0 and 1 and a net with one output, as for samples."""
    given = arrays()
    labels = given.pop("labels")[:, 0]
    np.savez(base / "yes.npz", **given | {"labels": labels, "class_names": ["no", "yes"]}, sizes=SIZES)
    net = netdsl.load(str(base / "proteins.net"), labels=1)
    settings = {**SETTINGS, "epochs": 1, "loss": "bce"}
    run = net.train(data=f'graphs("{base / "yes.npz"}")', settings=settings, folder=tmp_path / "r", quiet=True)
    assert 0 < run.result["n"] < NODES
    assert main(["eval", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(run.result["loss"], rel=1e-5)
    assert run.result["f1"] == run.result["micro_f1"]


@pytest.mark.parametrize("data", ["graph", "graphs"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "cross_entropy"}, "`cross_entropy` cannot compare with the targets of .*: labels of nodes"),
        ({"metrics": "[confusion]"}, "`confusion` cannot be measured: the targets of .* are labels of nodes"),
        ({"mix": "mixup(0.2)"}, "`mix` mixes classes"),
        ({"sampling": "balanced"}, "`sampling` chooses samples by their class"),
        ({"label_noise": "0.1"}, "`label_noise` replaces classes|replaces the classes"),
        ({"distill": 'teacher("run")'}, "`distill` compares classes by their softmax"),
    ],
)
def test_what_has_no_meaning_for_labels_of_nodes(
    base: Path, tmp_path: Path, data: str, settings: dict[str, str], said: str
) -> None:
    file = base / ("one.npz" if data == "graph" else "many.npz")
    with pytest.raises((netdsl.TrainingError, netdsl.SpecError), match=said):
        train(base, f'{data}("{file}")', tmp_path / "r", 1, **settings)


def test_a_net_of_another_number_of_labels_is_said(base: Path, tmp_path: Path) -> None:
    net = netdsl.load(str(base / "proteins.net"), labels=4)
    with pytest.raises(netdsl.TrainingError, match=r"has 4 outputs, .* has 3 classes") as error:
        net.train(data=f'graphs("{base / "many.npz"}")', settings={"loss": "bce"}, folder=tmp_path / "r", quiet=True)
    assert error.value.hint == "bind the net's argument: `-p labels=3`"


def test_a_split_without_known_labels_is_said(base: Path, tmp_path: Path) -> None:
    given = arrays()
    given["labels"][UNTIL[18] :] = -1
    np.savez(base / "void.npz", **given, sizes=SIZES, train=np.arange(len(SIZES)) < 18)
    with pytest.raises(netdsl.TrainingError, match="nothing with a class to test on"):
        train(base, f'graphs("{base / "void.npz"}")', tmp_path / "r", 1)


def test_graphs_of_three_splits(base: Path, tmp_path: Path) -> None:
    """The weights are chosen by the graphs of `val`, as PyTorch Geometric's PPI has them; graphs of no mask count
    nowhere."""
    at = np.arange(len(SIZES))
    masks = {"train_mask": at < 12, "val_mask": (at >= 12) & (at < 16), "test_mask": at >= 20}
    np.savez(base / "three.npz", **arrays(), sizes=SIZES, **masks)
    data = f'graphs("{base / "three.npz"}")'
    train(base, data, tmp_path / "r", 2, stop="early_stopping(3, metric=micro_f1)")
    log = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    counted = [x["n"] for x in log if x.get("n")]
    known = (arrays()["labels"] >= 0).any(1)
    assert counted == [known[UNTIL[12] : UNTIL[16]].sum()] * 2
    result = json.loads((tmp_path / "r" / "run.json").read_text())["result"]
    assert result["n"] == known[UNTIL[20] :].sum()
