"""Graphs by their edges: what the reader gives, and nets over edges against the same nets over the adjacency."""

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

from netdsl.cli.main import main
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Net, Spec
from netdsl.recipe.sources import Graph
from netdsl.source import Source
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.fit import held_out
from netdsl.training.readers import read
from netdsl.training.readers.graph import both_ways, for_the_net


def net(file: str, name: str, **arguments: int) -> Net:
    return Spec(load_source(SPECS / file), read_import).net(name, arguments)


def write(folder: Path, edges: Any, nodes: int = 4) -> DataSet:
    known = np.arange(nodes) % 2 == 0
    np.savez(folder / "g.npz", features=np.eye(nodes), edges=edges, labels=np.arange(nodes) // 2 % 2, train=known)
    return read(recipe('data = graph("g.npz")').data, folder, (nodes, nodes), 2)


def test_edges_come_once_in_both_directions(tmp_path: Path) -> None:
    data = write(tmp_path, [[0, 1, 2, 1, 3], [1, 2, 3, 0, 3]])
    features, edges = data.train.take(torch.tensor([0]))[0]
    assert edges.dtype == torch.int64
    assert sorted(edges[0].T.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3], [3, 2]]
    assert features.shape == (1, 4, 4)
    assert data.train.target.tolist() == [[0, -1, 1, -1]]
    assert data.test.target.tolist() == [[-1, 0, -1, 1]]


def test_the_adjacency_is_0_and_1_and_1_on_the_diagonal(tmp_path: Path) -> None:
    data = for_the_net(write(tmp_path, [[0, 1], [1, 2]]), takes_edges=False)
    expected = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert data.train.inputs[1].tolist() == [expected]
    assert data.train.inputs[1] is data.test.inputs[1]


def test_masks_of_three_splits_by_the_names_of_pytorch_geometric(tmp_path: Path) -> None:
    """The weights are chosen by `val`; nodes of no mask count nowhere."""
    masks = {f"{n}_mask": np.arange(6) == i for i, n in enumerate(("train", "val", "test"))}
    np.savez(tmp_path / "g.npz", x=np.eye(6), edge_index=[[0], [1]], y=np.arange(6) % 2, **masks)
    data = read(recipe('data = graph("g.npz")').data, tmp_path, (6, 6), 2)
    splits = [data.train, *held_out(data, 0.0, 0)[1:], data.test]
    assert [s.target.tolist() for s in splits] == [
        [[0, -1, -1, -1, -1, -1]], [[-1, 1, -1, -1, -1, -1]], [[-1, -1, 0, -1, -1, -1]],
    ]  # fmt: skip
    assert held_out(for_the_net(data, takes_edges=False), 0.0, 0)[1].inputs[1].shape == (1, 6, 6)
    with pytest.raises(DataError, match="has one of its own to validate on"):
        held_out(data, 0.1, 0)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"train": [1, 1, 0, 0], "val": [0, 1, 0, 0]}, "node 1 is in two of train, val, test"),
        ({"train": [1, 1, 0]}, r"`train` is \[3\] of int64, not true or false for each of 4 nodes"),
        ({"train": [0, 1, 3, 2]}, "not true or false"),
        ({"train": [1, 1, 1, 1]}, "`test` has no node with a class"),
        ({"train": [1, 1, 0, 0], "test": [0, 0, 0, 1]}, "`test` has no node with a class"),
    ],
)
def test_masks_that_are_wrong(tmp_path: Path, masks: dict[str, list[int]], message: str) -> None:
    arrays = {n: np.array(m) for n, m in masks.items()}
    np.savez(tmp_path / "g.npz", features=np.eye(4), edges=[[0], [1]], labels=[0, 1, 0, -1], **arrays)
    with pytest.raises(DataError, match=message):
        read(recipe('data = graph("g.npz")').data, tmp_path, (4, 4), 2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels", np.eye(2)[[0, 1, 0]], r"`labels` is \[3, 2\], not \[4\]"),
        ("labels", np.full((4, 2), 0.1) * [5, 20], "label 1 of node 0 is 2"),
        ("labels", np.array([0, 1, 0.5, 1]), "not a class for each of the nodes"),
        ("labels", np.array(list("abab")), "`labels` holds no numbers"),
        ("labels", np.array(1), r"`labels` is \[\], not \[4\]"),
        ("features", np.ones(4), r"`features` is \[4\], not \[nodes, F\]"),
        ("features", np.array(1.0), r"`features` is \[\], not"),
        ("edges", np.zeros((3, 2), np.int64), r"`edges` is \[3, 2\] of int64, not whole numbers \[2, E\]"),
    ],
)
def test_arrays_of_other_shapes_and_kinds(tmp_path: Path, name: str, value: np.ndarray, message: str) -> None:
    arrays = {"features": np.eye(4), "edges": np.array([[0], [1]]), "labels": [0, 1, 0, 1], "train": [1, 1, 0, 0]}
    np.savez(tmp_path / "g.npz", **(arrays | {name: value}))
    with pytest.raises(DataError, match=message):
        read(Graph(path="g.npz"), tmp_path, (4, 4), 2)


def test_labels_in_a_column(tmp_path: Path) -> None:
    """As Open Graph Benchmark has them; any negative class is none."""
    np.savez(tmp_path / "g.npz", x=np.eye(4), edges=[[0], [1]], y=[[0], [1], [-100], [1]], train_mask=[1, 1, 0, 0])
    data = read(Graph(path="g.npz"), tmp_path, (4, 4), 2)
    assert (data.train.target.tolist(), data.test.target.tolist()) == ([[0, 1, -1, -1]], [[-1, -1, -1, 1]])


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (4, "edge 1 joins the nodes 1 and 4, and there are 4 nodes, counted from 0"),
        (-1, "edge 1 joins the nodes 1 and -1"),
        (1e30, "edge 1 joins the nodes 1.0 and 1e"),
        (np.inf, "edge 1 joins the nodes 1.0 and inf"),
        (2.5, r"`edges` is \[2, 2\] of float64, not whole numbers"),
        (np.nan, r"`edges` is \[2, 2\] of float64, not whole numbers"),
        (np.uint64(2**64 - 1), "edge 1 joins the nodes 1 and 18446744073709551615"),
    ],
)
def test_an_edge_to_a_node_that_does_not_exist(tmp_path: Path, end: float, message: str) -> None:
    """As it is written, before it becomes another number."""
    with pytest.raises(DataError, match=message):
        write(tmp_path, np.array([[0, 1], [1, end]], dtype=getattr(end, "dtype", None)))


def test_whole_numbers_of_nodes_may_be_written_as_floats(tmp_path: Path) -> None:
    data = write(tmp_path, np.array([[0.0, 1.0], [1.0, 2.0]]))
    assert data.train.inputs[1].tolist() == write(tmp_path, [[0, 1], [1, 2]]).train.inputs[1].tolist()
    with pytest.raises(DataError, match=r"`edges` is \[2, 2\] of bool"):
        write(tmp_path, np.array([[0, 1], [1, 0]], bool))


def test_an_adjacency_that_does_not_fit_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path, [[0, 1], [1, 2]])
    monkeypatch.setattr("netdsl.training.readers.graph.available", lambda: 100)
    with pytest.raises(DataError, match=r"adjacency of 4 nodes takes .*; 100 bytes are free") as found:
        for_the_net(data, takes_edges=False)
    assert "input edges [2, E] int64" in (found.value.hint or "")
    assert for_the_net(data, takes_edges=True) is data


def test_what_is_held_grows_with_the_edges() -> None:
    """100,000 nodes: a table of all pairs would have 10^10 numbers."""
    edges = torch.randint(0, 100_000, (2, 1_000), generator=torch.Generator().manual_seed(0))
    assert both_ways(edges, 100_000).numel() <= 4 * 1_000


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_messages_are_not_remembered(reduce: str) -> None:
    """Of what flows along an edge only the numbers of its two nodes are kept for the way back. Values and gradients are
    those of a loop over the edges, for each sample of a batch."""
    text = f"""net A {{
      input x [5, 4]
      input source [E] int64
      input to [E] int64
      x -> gather(index=source) -> scatter(index=to, size=5, reduce={reduce})
    }}"""
    module = Spec(Source(text, "a.net"), read_import).net("A").module()
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 4, generator=random).requires_grad_()
    source, to = torch.randint(0, 4, (2, 2, 40), generator=random)
    kept: list[Tensor] = []

    def remember(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        found = module(x, source, to)
    assert sum(t.untyped_storage().nbytes() for t in kept if t.is_floating_point()) <= x.nbytes
    found.square().sum().backward()
    ours = x.grad
    again = x.detach().clone().requires_grad_()
    rows = [[torch.zeros(4) for _ in range(5)] for _ in range(2)]
    for n in range(2):
        for node in range(5):
            arriving = [again[n, s] for s, t in zip(source[n], to[n], strict=True) if t == node]
            if arriving:
                rows[n][node] = sum(arriving, torch.zeros(4)) / (len(arriving) if reduce == "mean" else 1)
    wanted = torch.stack([torch.stack(row) for row in rows])
    wanted.square().sum().backward()
    assert torch.allclose(found, wanted, atol=1e-5)
    assert ours is not None
    assert again.grad is not None
    assert torch.allclose(ours, again.grad, atol=1e-4)


def links() -> tuple[Tensor, Tensor]:
    """A random graph with a node that has no neighbour: its adjacency and its edges."""
    joined = torch.rand(9, 9, generator=torch.Generator().manual_seed(0)) < 0.25
    joined = (joined | joined.T).fill_diagonal_(False)
    joined[3] = joined[:, 3] = False
    return (joined | torch.eye(9, dtype=torch.bool))[None].float(), joined.nonzero().T[None]


@pytest.mark.parametrize(
    ("file", "dense", "sparse"), [("gcn.net", "GCN_Cora", "GCN_Edges"), ("gat.net", "GAT_Cora", "GAT_Edges")]
)
def test_over_edges_and_over_the_adjacency_a_net_is_the_same(file: str, dense: str, sparse: str) -> None:
    """Outputs and gradients, with random weights."""
    one, two = (net(file, n, features=5, classes=3).module(0).eval().double() for n in (dense, sparse))
    weights = [torch.randn(t.shape, generator=torch.Generator().manual_seed(i)) for i, t in enumerate(one.parameters())]
    for module in (one, two):
        with torch.no_grad():
            for parameter, value in zip(module.parameters(), weights, strict=True):
                parameter.copy_(value)
    adjacency, edges = links()
    x = torch.randn(1, 9, 5, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    outputs = one(x, adjacency.double()), two(x, edges)
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    for out in outputs:
        out.square().sum().backward()
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-5)  # degrees are float32


@pytest.mark.parametrize(
    "selector", ["gcn.net:GCN_Edges", "gat.net:GAT_Edges", "graphsage.net:GraphSAGE", "gcn.net:GCN"]
)
def test_the_zoos_graph_nets_train_on_a_graph(selector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The karate club from four of its members, exported and evaluated again."""
    graph = nx.karate_club_graph()
    labels = [0 if graph.nodes[i]["club"] == "Mr. Hi" else 1 for i in graph]
    known = np.isin(np.arange(34), (0, 1, 32, 33))
    edges = np.array(list(graph.edges())).T
    np.savez(tmp_path / "karate.npz", features=np.eye(34), edges=edges, labels=labels, train=known)
    monkeypatch.chdir(tmp_path)
    settings = ["epochs=60", "batch=1", "optimizer=adam(lr=0.01)", "schedule=constant", "evaluate=30 epochs"]
    given = [part for s in settings for part in ("--set", s)]
    size = ["-p", "features=34", "-p", "classes=2", "--data", 'graph("karate.npz")']
    assert main(["train", str(SPECS / selector), *size, *given, "-q", "-o", "run"]) == 0
    assert (tmp_path / "run" / "model.onnx").exists()
    assert load_file(tmp_path / "run" / "model.safetensors")
    assert main(["eval", "run"]) == 0
    assert main(["eval", "run", "--onnx"]) == 0


def test_a_trained_gcn_is_the_papers_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights after three steps on `graph(...)`: softmax(A relu(A X W0 + b0) W1 + b1), A = D^-1/2 (A + I) D^-1/2."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    x, pairs, y, known = rng.random((40, 7)), rng.integers(0, 40, (2, 90)), rng.integers(0, 3, 40), rng.random(40) < 0.5
    np.savez("g.npz", features=x, edges=pairs, labels=y, train=known)
    layers = "nodes -> GraphConv(links, 5) -> relu -> GraphConv(links, 3)"
    inputs = "input nodes [N, 7]\n input adjacency [N, N]"
    text = f"net G {{\n {inputs}\n links = adjacency -> Normalise\n {layers}\n}}\n"
    Path("g.net").write_text(f"from gcn import GraphConv, Normalise\n{text}")
    for folder, steps, lr in (("begun", 1, 1e-30), ("run", 3, 0.5)):
        settings = (f"steps={steps}", f"optimizer=sgd(lr={lr})", "schedule=constant", "standardize=none")
        given = [part for s in settings for part in ("--set", s)]
        assert main(["train", "g.net", "--data", 'graph("g.npz")', *given, "-q", "--no-onnx", "-o", folder]) == 0
    weights = {k: v.double().requires_grad_() for k, v in load_file("begun/model.safetensors").items()}
    b0, w0, b1, w1 = weights.values()
    a = np.zeros((40, 40))
    a[pairs[0], pairs[1]] = a[pairs[1], pairs[0]] = 1
    np.fill_diagonal(a, 1)
    links = torch.from_numpy(a / np.sqrt(np.outer(a.sum(0), a.sum(0))))
    for _ in range(3):
        scores = links @ ((links @ (torch.from_numpy(x) @ w0.T) + b0).relu() @ w1.T) + b1
        loss = torch.nn.functional.cross_entropy(scores[torch.from_numpy(known)], torch.from_numpy(y[known]))
        for weight, gradient in zip(weights.values(), torch.autograd.grad(loss, list(weights.values())), strict=True):
            weight.data -= 0.5 * gradient
    found = load_file("run/model.safetensors")
    for name, weight in weights.items():
        torch.testing.assert_close(found[name].double(), weight.detach(), rtol=1e-5, atol=1e-6)


def test_weighted_messages_are_not_remembered() -> None:
    """`propagate` gives what `gather`, a product and `scatter` give, and keeps none of the messages."""
    inputs = "input x [5, 2, 2]\n input source [E] int64\n input to [E] int64\n input weight [E, 2]"
    long = "unsqueeze(axis=2) -> expand((E, 2, 2)) -> it * (x -> gather(index=source)) -> scatter(index=to, size=5)"
    short = "x -> propagate(source=source, target=to, weight=weight)"
    random = torch.Generator().manual_seed(0)
    source, to = torch.randint(0, 5, (2, 2, 70_000), generator=random)  # more edges than are computed at once
    values = torch.randn(2, 5, 2, 2, generator=random), torch.rand(2, 70_000, 2, generator=random)
    found = []
    for body in (f"weight -> {long}", short):
        module = Spec(Source(f"net A {{\n {inputs}\n {body}\n}}", "a.net"), read_import).net("A").module()
        x, weight = (value.clone().requires_grad_() for value in values)
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):  # noqa: B023
            result = module(x, source, to, weight)
        result.square().mean().backward()
        found.append((result, x.grad, weight.grad))
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept if t.is_floating_point()}
    assert sum(held.values()) < 2 * 70_000 * 4 * 4  # the messages
    for plain, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("autocast", [False, True])
def test_weighted_messages_of_no_edges_and_in_two_precisions(autocast: bool) -> None:
    """Autocast gives bfloat16 rows and float32 weights. A graph may have no edges, a batch no graphs."""
    module = net("gat.net", "GAT_Edges", features=5, classes=3).module(0).train()
    for batch, count in ((1, 6), (1, 0), (0, 6)):
        x, edges = torch.ones(batch, 4, 5), (torch.arange(2 * batch * count) % 4).reshape(batch, 2, count)
        with torch.autocast("cpu", torch.bfloat16, autocast):
            found = module(x, edges)
        assert found.shape == (batch, 4, 3)
        module.zero_grad()
        found.float().square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_a_file_of_pytorch_geometrics_names_is_trained_on_and_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same file, as for a file of several graphs; nodes are counted, and called as the file calls them."""
    names = np.array(["left", "right"])
    edges, train = np.array([[0, 1, 3, 4], [1, 2, 4, 5]]), np.array([1, 0, 0, 1, 0, 0])
    np.savez(
        tmp_path / "g.npz", x=np.eye(6), edge_index=edges, y=np.arange(6) // 3, train_mask=train, class_names=names
    )
    (tmp_path / "n.net").write_text(
        "net N {\n  input nodes [N, 6]\n  input edges [2, E] int64\n  sources, targets = edges -> chunk(2)\n"
        "  sent = nodes -> gather(index=sources -> squeeze(axis=0))\n"
        "  nodes + (sent -> scatter(index=targets -> squeeze(axis=0), size=N)) -> linear(2)\n}\n"
    )
    file, run = str(tmp_path / "g.npz"), str(tmp_path / "run")
    given = ["--recipe", "none", "--data", f'graph("{file}")', "--set", "epochs=2", "-o", run]
    assert main(["train", f"{tmp_path}/n.net", *given]) == 0
    assert "on 4 nodes" in capsys.readouterr().err
    assert main(["predict", run, file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 6
    assert {f["guesses"][0]["class"] for f in found} <= {"left", "right"}
