"""Data sets of many graphs: how they are read and batched, and a net over a batch against dense matrices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from paths import SPECS
from recipe_harness import recipe
from safetensors.torch import load_file
from torch import Tensor

import netdsl
from netdsl.cli.main import main
from netdsl.inference.graphs import load_graphs
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.folds import fold_of
from netdsl.training.errors import TrainingError
from netdsl.training.losses.criterion import Criterion
from netdsl.training.opened import open_trained
from netdsl.training.readers import read
from netdsl.training.readers.taken import inputs_of, taken
from netdsl.training.teacher import teacher_of


def families(count: int, seed: int = 0) -> tuple[list[nx.Graph], np.ndarray]:
    """Trees, and the same kind of trees with one edge more, which closes a cycle."""
    random = np.random.default_rng(seed)
    graphs = []
    for i in range(count):
        size = int(random.integers(6, 13))
        graph = nx.random_labeled_tree(size, seed=int(random.integers(1 << 30)))
        free = [(a, b) for a in range(size) for b in range(a) if not graph.has_edge(a, b)]
        if i % 2:
            graph.add_edge(*free[int(random.integers(len(free)))])
        graphs.append(graph)
    return graphs, np.arange(count) % 2


def arrays(graphs: list[nx.Graph], features: int = 7) -> dict[str, Any]:
    """Graphs as the arrays of a file: nodes by degree, each edge once."""
    sizes = np.array([len(g) for g in graphs])
    first = np.cumsum(sizes) - sizes
    degrees = np.concatenate([[d for _, d in g.degree()] for g in graphs])
    edges = [np.array(list(g.edges()), int).reshape(-1, 2).T + a for g, a in zip(graphs, first, strict=True)]
    return {
        "features": np.eye(features)[np.minimum(degrees, features - 1)],
        "edges": np.concatenate(edges, 1),
        "sizes": sizes,
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graphs, labels = families(160)
    path = tmp_path_factory.mktemp("graphs") / "families.npz"
    np.savez(path, **arrays(graphs), labels=labels, class_names=["tree", "cycle"])
    return path


def data_of(path: Path, net: Any = None, more: str = "") -> DataSet:
    program = (net or netdsl.load("gin")).program
    found = read(recipe(f'data = graphs("{path.name}"{more})').data, path.parent, (0, 7), 2)
    return taken(found, inputs_of(program))


# Reading and batching.


def test_a_batch_is_one_graph_whose_parts_are_not_joined(file: Path) -> None:
    """In any order, also with the same graph twice: networkx's disjoint union."""
    graphs, labels = families(160)
    data = data_of(file)
    index = torch.tensor([5, 0, 5, 17])
    (nodes, edges, graph, sizes), target = data.train.take(index)
    assert data.train.graphs is not None
    which = data.train.graphs.which[index].tolist()
    union = nx.disjoint_union_all([graphs[i] for i in which])
    assert sizes.tolist() == [[len(graphs[i]) for i in which]]
    assert graph[0].tolist() == [k for k, i in enumerate(which) for _ in graphs[i]]
    assert nodes[0].argmax(1).tolist() == [d for _, d in union.degree()]
    assert sorted(map(tuple, edges[0].T.tolist())) == sorted(union.to_directed().edges())
    assert target.tolist() == labels[which].tolist()
    assert data.classes == ("tree", "cycle")
    assert (len(data.train), len(data.test)) == (128, 32)


def test_a_folder_of_the_tu_collection_is_the_same(tmp_path: Path, file: Path) -> None:
    """Both directions of each edge, numbers from 1, labels of nodes one-hot, classes of any numbers."""
    graphs, labels = families(160)
    stored = arrays(graphs)
    both = np.concatenate((stored["edges"], stored["edges"][::-1]), 1)
    tables = {
        "A": both.T + 1,
        "graph_indicator": np.repeat(np.arange(160), stored["sizes"]) + 1,
        "node_labels": stored["features"].argmax(1),
        "graph_labels": labels * 2 - 1,
        "edge_labels": np.tile(np.arange(both.shape[1] // 2) % 3, 2),
    }
    for name, table in tables.items():
        np.savetxt(tmp_path / f"FAM_{name}.txt", table, fmt="%d", delimiter=", ")
    one, two = load_graphs(tmp_path), load_graphs(file)
    assert one.class_names == ("-1", "1")
    used = np.unique(two.features.argmax(1))
    for a, b in ((one.features, two.features[:, used]), (one.edges, two.edges), (one.edges_until, two.edges_until)):
        np.testing.assert_array_equal(a, b)
    assert one.edge_features is not None
    assert one.edge_features.shape == (one.edges.shape[1], 3)
    place = {(a, b): i for i, (a, b) in enumerate(stored["edges"].T.tolist())}
    kinds = [place[(a, b)] if (a, b) in place else place[(b, a)] for a, b in one.edges.T.tolist()]
    np.testing.assert_array_equal(one.edge_features.argmax(1), np.array(kinds) % 3)


GOOD = {"features": np.eye(4), "edges": [[0, 2], [1, 3]], "sizes": [2, 2], "labels": [0, 1]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"edges": [[0, 1], [1, 2]]}, "edge 1 joins node 1 of graph 0 and node 2 of graph 1"),
        ({"edges": [[0, 2], [1, 4]]}, "edge 1 joins the nodes 2 and 4, and there are 4 nodes"),
        ({"edges": [[0, 2, 1]]}, r"`edges` is \[1, 3\] of int64"),
        ({"sizes": [2, 3]}, "`sizes` adds up to 5, and `features` has 4 rows"),
        ({"sizes": [4, 0]}, "graph 1 has no nodes"),
        ({"sizes": None}, "neither `graph` nor `sizes`"),
        ({"sizes": None, "graph": [0, 1, 0, 1]}, "node 2 is of graph 0, behind nodes of graph 1"),
        ({"labels": [0, 1, 1]}, r"`labels` is \[3\], and there are 2 graphs"),
        ({"labels": None}, "no array `labels`"),
        ({"features": np.full((4, 1), np.nan)}, "`features` has values that are not finite, first in row 0"),
        ({"edge_features": np.eye(3)}, "`edge_features` has 3 rows, and there are 2 edges"),
        ({"class_names": ["a"]}, "`class_names` of `g.npz` are 1, and there are 2 classes"),
        ({"class_names": "a"}, r"g.npz: `class_names` is \[\] of <U1"),
        ({"sizes": None, "graph": [-1, 0, 0, 1]}, "g.npz: node 0 is of graph -1"),
        (
            {"sizes": None, "graph": np.array([0, 0, 1, 2**64 - 1], np.uint64)},
            "node 3 is of graph 18446744073709551615",
        ),
        ({"sizes": None, "graph": [0, 0, 1, 10**13]}, "node 3 is of graph 10000000000000"),
        ({"sizes": None, "graph": list("aabb")}, r"`graph` is \[4\] of <U1"),
        ({"sizes": ["2", "2"]}, r"g.npz: `sizes` is \[2\] of <U1"),
        ({"train": [[1, 0], [0, 1]]}, r"g.npz: `train` is \[2, 2\] of int64"),
        ({"train": ["no", "yes"]}, r"`train` is \[2\] of <U3"),
        ({"val": [0, 1]}, "g.npz has no array `train`: the graphs to train on"),
        ({"train": [1, 1], "val": [0, 1]}, "g.npz: graph 1 is in two of train, val, test"),
        ({"train": [0, 2]}, r"`train` is \[2\] of int64, not true or false"),
        ({"train": [True, True]}, "g.npz has 2 graphs to train on and 0 graphs to test on"),
        (
            {"features": np.zeros((0, 1)), "edges": np.zeros((2, 0), int), "sizes": np.zeros(0, int), "labels": []},
            "g.npz has no graphs",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    given = {n: x for n, x in (GOOD | change).items() if x is not None}
    np.savez(tmp_path / "g.npz", **given)
    with pytest.raises(DataError, match=said):
        data_of(tmp_path / "g.npz", more=", test=0.5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"graph_indicator": [0, 0, 1]}, "F_graph_indicator.txt: line 1: graph 0"),
        ({"node_labels": [1, 2]}, "F_node_attributes.txt has 3 lines, F_node_labels.txt 2"),
    ],
)
def test_what_is_wrong_in_a_folder_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    good = {"A": [[1, 2]], "graph_indicator": [1, 1, 2], "node_labels": [1, 2, 1], "node_attributes": [1, 2, 3]}
    for name, table in (good | {"graph_labels": [0, 1]} | change).items():
        np.savetxt(tmp_path / f"F_{name}.txt", table, fmt="%d", delimiter=", ")
    with pytest.raises(DataError, match=said):
        load_graphs(tmp_path)


def test_targets_are_classes_texts_labels_and_numbers(tmp_path: Path) -> None:
    for labels, task, classes in (
        (np.array(["b", "a"]), "classes", ("a", "b")),
        (np.array([0.5, 1.5]), "numbers", ()),
        (np.array([[0.5, 1.5], [2, 3]]), "numbers", ()),
    ):
        np.savez(tmp_path / "g.npz", **(GOOD | {"labels": labels, "train": [True, False]}))
        found = data_of(tmp_path / "g.npz")
        assert (found.task, found.classes) == (task, classes)
        assert len(found.train) == len(found.test) == 1


def test_folds_take_each_graph_once(file: Path) -> None:
    data = data_of(file)
    tested = [fold_of(data, 5, k, 0).test.graphs for k in range(5)]
    assert sorted(i for g in tested if g is not None for i in g.which.tolist()) == list(range(160))


# Nets.


def dense(state: dict[str, Tensor], adjacency: Tensor, x: Tensor, owner: Tensor, training: bool) -> Tensor:
    """GIN by hand, over the adjacency of all graphs of a batch; `owner` [graphs, nodes] says whose each node is."""

    def linear(name: str, h: Tensor) -> Tensor:
        return h @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, h: Tensor) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        if training:
            mean, variance = h.mean(0), h.var(0, correction=0)
        return (h - mean) / (variance + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    scores = linear("linear1", owner @ x)
    for i in range(1, 5):
        layer = f"gin_conv{i}"
        x = linear(f"{layer}.mlp.linear1", x + adjacency @ x)
        x = linear(f"{layer}.mlp.linear2", norm(f"{layer}.mlp.node_norm.bn", x).relu())
        x = norm(f"{layer}.node_norm.bn", x).relu()
        scores = scores + linear(f"linear{i + 1}", owner @ x)
    return scores


@pytest.mark.parametrize("training", [False, True])
def test_gin_over_a_batch_is_gin_over_dense_matrices(file: Path, training: bool) -> None:
    """Outputs and gradients in double precision; alone, each graph gives what it gives in the batch."""
    module = netdsl.load("gin").module(0).double()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=random, dtype=torch.float64) * 0.3
                tensor.copy_(noise.abs() + 0.5 if name.endswith("running_var") else noise)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    module.train(training)
    split = data_of(file).train
    inputs, _ = split.take(torch.arange(9))
    nodes, edges, graph, sizes = (x.double() if x.is_floating_point() else x for x in inputs)
    count = nodes.shape[1]
    adjacency = torch.zeros(count, count, dtype=torch.float64)
    adjacency[edges[0, 1], edges[0, 0]] = 1
    owner = torch.nn.functional.one_hot(graph[0]).T.double()
    state = {n: t.detach().clone().requires_grad_(t.is_floating_point()) for n, t in module.state_dict().items()}
    found, wanted = module(nodes, edges, graph, sizes)[0], dense(state, adjacency, nodes[0], owner, training)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    found.square().sum().backward()
    wanted.square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, state[name].grad, rtol=1e-7, atol=1e-7)
    if not training:
        for i in range(9):
            one = [x.double() if x.is_floating_point() else x for x in split.take(torch.tensor([i]))[0]]
            torch.testing.assert_close(module(*one)[0, 0], found[i], rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def run(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GIN, trained to tell trees from graphs with a cycle."""
    folder = tmp_path_factory.mktemp("run") / "run"
    settings = {"epochs": 12, "batch": 32, "optimizer": "adam(lr=0.01)", "metrics": "[auroc]"}
    given = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
    given += ["--data", f'graphs("{file}")', "--device", "cpu"]
    assert main(["train", "gin:GIN_Mean", *given, "-p", "depth=2", "-q", "-o", str(folder)]) == 0
    return folder


def test_a_net_learns_to_tell_families_of_graphs(run: Path) -> None:
    result = json.loads((run / "run.json").read_text())["result"]
    assert result["n"] == 32
    assert result["top1"] > 0.85
    assert result["onnx"]["top1"] == result["top1"]
    assert result["onnx"]["n"] == 32
    assert result["onnx_difference"] < 1e-5


def test_it_is_evaluated_and_predicts_by_graph(
    run: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 32
    graphs, labels = families(20, seed=1)
    alone = nx.Graph()
    alone.add_node(0)
    np.savez(tmp_path / "new.npz", **arrays([*graphs, alone]))
    for model in (run, run / "model.onnx"):
        assert main(["predict", str(model), str(tmp_path / "new.npz"), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        guesses = [x["guesses"][0]["class"] for x in found]
        assert len(guesses) == 21
        right = [guess == ("tree", "cycle")[i] for guess, i in zip(guesses, labels, strict=False)]
        assert np.mean(right) > 0.7


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("input sizes [G]", "input sizez [G]", "the net has an input `sizez`, and `graphs` gives none"),
        ("input graph [N] int64", "input graph [M] int64", "`graph` takes [M] int64, and `graphs` gives [N] int64"),
        (
            "\n  scores\n",
            "\n  h -> permute((1, 0))\n",
            "the net gives [64, N], and `graphs` asks for the class of each graph or node",
        ),
        ("input nodes [N, features]", "input nodes [features]", "the nodes of graphs are rows"),
    ],
)
def test_check_says_what_does_not_fit(old: str, new: str, said: str) -> None:
    text = (SPECS / "gin.net").read_text().partition("# The same, read out")[0].replace(old, new)
    found = netdsl.check(netdsl.Source(f'{text}\nrecipe R for GIN {{ data = graphs("g.npz") }}', "g.net"))
    messages = [d.message for d in found]
    assert any(said in m for m in messages) or any("broken" in d.code or "shape" in d.code for d in found), messages


def test_other_features_than_the_nets_are_said_with_the_argument(file: Path) -> None:
    with pytest.raises(netdsl.TrainingError, match=r"takes 9 features of a node, .* have 7") as error:
        netdsl.load("gin", features=9).train(data=f'graphs("{file}")', folder=file.parent / "no", quiet=True)
    assert error.value.hint == "`-p features=7`"


EDGES = """
net Described(kinds=3) {
  input nodes [N, 1]
  input edges [2, E] int64
  input edge_features [E, kinds]
  input graph [N] int64
  input sizes [G] int64
  sources, targets = edges -> chunk(2)
  concat(nodes -> gather(index=sources -> squeeze(axis=0)), edge_features, axis=1) -> linear(8) -> relu
  -> scatter(index=targets -> squeeze(axis=0), size=N) -> scatter(index=graph, size=G) -> linear(1)
}
"""


@pytest.mark.parametrize(("head", "shared"), [("", 10), ("", 0), (" -> linear(1)", 10), ("", None)])
def test_what_nodes_add_up_to_is_learnt_by_default(tmp_path: Path, head: str, shared: int | None) -> None:
    """A sum over nodes cannot give a number that all graphs have in common, large or small: targets that grow with the
    nodes are not shifted, and those that do not (the mean of the nodes, `shared` None) are."""
    draws = np.random.default_rng(0)
    sizes = draws.integers(3, 20, 200)
    x, first = draws.normal(size=(sizes.sum(), 2)).astype(np.float32), np.cumsum(sizes) - sizes
    labels = np.add.reduceat(3 * np.abs(x[:, 0]) + x[:, 1] + (shared or 0), first)
    labels = labels / sizes if shared is None else labels
    edges = np.stack([first, first + 1])
    np.savez(tmp_path / "g.npz", features=x, edges=edges, sizes=sizes, labels=labels.astype(np.float32))
    inputs = "input nodes [N, 2]\n input edges [2, E] int64\n input graph [N] int64\n input sizes [G] int64\n"
    layers = f"linear({4 if head else 1}) -> scatter(index=graph, size=G){head}"
    net = netdsl.load(netdsl.Source(f"net Sum {{ {inputs} nodes -> linear(16) -> relu -> {layers} }}"))
    settings = {"epochs": 30, "batch": 8, "loss": "mse", "optimizer.lr": 0.01, "metrics": ["r2"]}
    data = f'graphs("{tmp_path / "g.npz"}")'
    run = net.train(data=data, settings=settings, folder=tmp_path / "run", quiet=True, onnx=False)
    assert run.about.units is not None
    assert (run.about.units[0] == (0.0,)) == (shared is not None)
    assert run.result["r2"] > (0.97 if shared is not None else 0.3)


def test_features_of_edges_and_numbers_to_predict(tmp_path: Path) -> None:
    """How many edges of the first kind a graph has: what is added up over them is of that size from the start."""
    graphs, _ = families(60)
    stored = arrays(graphs, 1)
    kinds = np.random.default_rng(0).integers(0, 3, stored["edges"].shape[1])
    first = np.cumsum(stored["sizes"]) - stored["sizes"]
    owner = np.searchsorted(first, stored["edges"][0], side="right") - 1
    counts = np.bincount(owner, kinds == 0, minlength=60).astype(np.float32)
    np.savez(tmp_path / "g.npz", **stored, edge_features=np.eye(3)[kinds], labels=counts)
    net = netdsl.load(netdsl.Source(EDGES, str(tmp_path / "e.net")))
    settings = {"epochs": 60, "batch": 16, "loss": "mse", "optimizer": "adam(lr=0.02)", "metrics": "[r2]"}
    stored_at = tmp_path / "g.npz"
    run = net.train(data=f'graphs("{stored_at}")', settings=settings, folder=tmp_path / "run", quiet=True, device="cpu")
    assert run.result["r2"] > 0.8
    assert run.about.units is not None
    assert run.about.units[0] == (0.0,)
    assert run.result["onnx"]["r2"] == pytest.approx(run.result["r2"], abs=1e-3)


def test_a_teacher_is_compared_graph_by_graph(file: Path, run: Path) -> None:
    """Kullback and Leibler's divergence of torch between what both say of each graph of a batch."""
    net = netdsl.load("gin", "GIN_Mean", depth=1)
    data, module = data_of(file, net), net.module(0).eval()
    fields = recipe(f'distill = teacher("{run.name}", temperature=2, alpha=1)')
    teacher = teacher_of(fields, run.parent, module, data, data.train)
    assert teacher is not None
    inputs, target = data.train.take(torch.arange(9))
    with torch.no_grad():
        ours, theirs = (m(*inputs)[0] / 2 for m in (module, open_trained(run).module))
        output, target = data.train.by_sample(module(*inputs), target)
        found = teacher(output, inputs, target)
    assert found.shape == (9,)
    wanted = torch.nn.KLDivLoss(reduction="batchmean")(ours.log_softmax(-1), theirs.softmax(-1))
    torch.testing.assert_close(found.mean(), 4 * wanted)


# A class for each node.

NODES = """
net Degrees(features=1, classes=3) {
  input nodes [N, features]
  input edges [2, E] int64
  sources, targets = edges -> chunk(2)
  neighbours = nodes -> gather(index=sources -> squeeze(axis=0)) -> scatter(index=targets -> squeeze(axis=0), size=N)
  concat(nodes, neighbours, axis=1) -> linear(16) -> relu -> linear(classes)
}
"""


@pytest.fixture(scope="module")
def nodes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How many neighbours a node has, from 1 to 3; of the first graph's first node that is not said."""
    graphs, _ = families(60)
    stored = arrays(graphs, 1)
    degrees = np.concatenate([[d for _, d in g.degree()] for g in graphs])
    labels = np.where(np.arange(len(degrees)) == 0, -1, np.minimum(degrees, 3) - 1)
    path = tmp_path_factory.mktemp("nodes") / "nodes.npz"
    np.savez(path, **stored, labels=labels, class_names=["end", "middle", "fork"], train=np.arange(60) < 45)
    return path


def nodes_net(path: Path) -> Any:
    return netdsl.load(netdsl.Source(NODES, str(path.parent / "n.net")))


def test_a_loss_over_nodes_is_torchs_over_all_nodes_of_the_batch(nodes_file: Path) -> None:
    data = data_of(nodes_file, nodes_net(nodes_file))
    assert (data.task, data.classes, len(data.train)) == ("nodes", ("end", "middle", "fork"), 45)
    module = nodes_net(nodes_file).module(0)
    index = torch.tensor([3, 0, 7])
    inputs, target = data.train.take(index)
    criterion = Criterion(recipe("loss = cross_entropy(weight=[1, 2, 3])"), ("output",))
    result, target = data.train.by_sample(module(*inputs), target)
    stored = np.load(nodes_file)
    until = np.concatenate(([0], np.cumsum(stored["sizes"])))
    truth = torch.from_numpy(np.concatenate([stored["labels"][until[i] : until[i + 1]] for i in index.tolist()]))
    expected = torch.nn.functional.cross_entropy(
        module(*inputs)[0], truth, torch.tensor([1.0, 2.0, 3.0]), ignore_index=-1
    )
    torch.testing.assert_close(criterion(result, target).mean(), expected)
    assert (target >= 0).sum() == (truth >= 0).sum() == len(truth) - 1


def train_nodes(path: Path, folder: Path, **more: Any) -> Any:
    settings = {"epochs": 25, "batch": 8, "optimizer": "adam(lr=0.02)", "metrics": "[auroc, f1]", **more}
    source = f'graphs("{path}")'
    return nodes_net(path).train(data=source, settings=settings, folder=folder, quiet=True, device="cpu")


def test_classes_of_nodes_are_trained_measured_and_predicted(
    nodes_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metrics are scikit-learn's of what `predict` says of the nodes of the test graphs, one line each."""
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    run = train_nodes(nodes_file, tmp_path / "run")
    assert run.result["top1"] > 0.95
    assert run.result["onnx"]["auroc"] == pytest.approx(run.result["auroc"], abs=1e-6)
    stored = np.load(nodes_file)
    assert run.result["n"] == stored["sizes"][45:].sum()  # nodes, not graphs
    until = np.concatenate(([0], np.cumsum(stored["sizes"])))
    for model in (tmp_path / "run", tmp_path / "run" / "model.onnx"):
        assert main(["predict", str(model), str(nodes_file), "--probabilities", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [x["sample"] for x in found[:2]] == [f"{nodes_file}:1:1", f"{nodes_file}:1:2"]
        chances = np.array([list(x["probabilities"].values()) for x in found])[until[45] :]
        truth, guess = stored["labels"][until[45] :], chances.argmax(1)
        result = run.result
        assert result["top1"] == pytest.approx(accuracy_score(truth, guess), abs=1e-9)
        assert result["f1"] == pytest.approx(f1_score(truth, guess, average="macro"), abs=1e-9)
        each = [roc_auc_score(truth == c, chances[:, c]) for c in range(3)]
        assert result["auroc"] == pytest.approx(np.mean(each), abs=1e-4)
    alone = {n: stored[n][: until[1]] for n in ("features",)} | {"edges": arrays(families(60)[0][:1], 1)["edges"]}
    np.savez(tmp_path / "one.npz", **alone)
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "one.npz"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == until[1]


def test_a_gradient_over_graphs_that_is_not_finite_is_said(nodes_file: Path, tmp_path: Path) -> None:
    """The root of 0 is finite, its slope is not: where it begins is looked for with the loss of graphs and nodes."""
    text = NODES.replace("relu", "it * 0.0 -> sqrt")
    net = netdsl.load(netdsl.Source(text, str(nodes_file.parent / "n.net")))
    with pytest.raises(TrainingError, match="the loss is finite, but its gradient is not finite: it ceases to be"):
        net.train(data=f'graphs("{nodes_file}")', settings={"epochs": 1}, folder=tmp_path / "run", device="cpu")


def test_a_file_that_stands_alone_predicts_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not say what it was trained for."""
    (tmp_path / "n.net").write_text(NODES)
    assert main(["compile", str(tmp_path / "n.net"), "-o", str(tmp_path), "--emit", "onnx", "--no-verify"]) == 0
    np.savez(tmp_path / "one.npz", features=np.ones((4, 1)), edges=[[0, 1], [1, 2]])
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "model.onnx"), str(tmp_path / "one.npz"), "--probabilities", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [x["sample"][-4:] for x in found] == [f":1:{node}" for node in (1, 2, 3, 4)]
    assert all(sum(x["probabilities"].values()) == pytest.approx(1) for x in found)


def test_edges_of_an_image_are_no_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = "input image [3, 8, 8]\n  input edges [1, 8, 8]"
    text = f"net E {{\n  {inputs}\n  concat(image, edges) -> conv(4, 3) -> gap -> linear(3)\n}}\n"
    (tmp_path / "e.net").write_text(text)
    assert main(["compile", str(tmp_path / "e.net"), "-o", str(tmp_path), "--emit", "onnx", "--no-verify"]) == 0
    np.savez(tmp_path / "two.npz", image=np.ones((2, 3, 8, 8)), edges=np.ones((2, 1, 8, 8)))
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "model.onnx"), str(tmp_path / "two.npz"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_parts_of_a_step_over_nodes_are_the_whole(nodes_file: Path, tmp_path: Path) -> None:
    """Graphs of several sizes and a node without a class: the mean is over the nodes of the step."""
    short = {"epochs": 1, "loss": "cross_entropy(weight=balanced)"}
    train_nodes(nodes_file, tmp_path / "whole", **short)
    train_nodes(nodes_file, tmp_path / "parts", micro_batch=3, **short)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 1], r"`labels` is \[3\], and there are 2 graphs of 4 nodes"),
        ([0.5, 1, 1, 0], r"`labels` is \[4\] of float64, not a class for each of the nodes"),
        ([["a", "b"]] * 4, r"`labels` is \[4, 2\] of <U1, not 0 and 1"),
        ([[0, 1]] * 3 + [[0, 2]], "label 1 of node 3 is 2"),
        ([[0, 1]] * 3 + [[0, np.nan]], "label 1 of node 3 is nan"),
        ([[-1, 1]] * 4, r"no label of .* is 0"),
    ],
)
def test_labels_of_nodes_that_are_none_are_said(tmp_path: Path, labels: Any, said: str) -> None:
    np.savez(tmp_path / "g.npz", **(GOOD | {"labels": labels}))
    with pytest.raises(DataError, match=said):
        data_of(tmp_path / "g.npz", more=", test=0.5")


def test_a_loss_that_is_none_of_classes_of_nodes_is_refused(nodes_file: Path, tmp_path: Path) -> None:
    with pytest.raises(netdsl.TrainingError, match=r"cannot compare with the targets of .*: classes of nodes"):
        train_nodes(nodes_file, tmp_path / "run", loss="bce")


def test_a_net_over_graphs_does_not_fit_classes_of_nodes(nodes_file: Path, file: Path, tmp_path: Path) -> None:
    with pytest.raises(netdsl.TrainingError, match=r"asks for the class of each node"):
        netdsl.load("gin", features=1).train(data=f'graphs("{nodes_file}")', folder=tmp_path / "a", quiet=True)
    with pytest.raises(netdsl.TrainingError, match=r"asks for the class of each graph"):
        nodes_net(file).train(data=f'graphs("{file}")', folder=tmp_path / "b", quiet=True)
