"""It really trains: masks, text, graphs, memorisation and averages, each against a number that can be argued for."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

import netdsl

pytestmark = pytest.mark.slow

UNET = """
from unet import UNet
net Small = UNet(width=16, depth=2, classes=2)
recipe Clutter for Small {
  data = clutter
  epochs = 4
  batch = 32
  loss = dice_ce
  optimizer = adamw(lr=3e-3)
  augment = hflip
}
"""

GCN = """
net GCN(classes=2, hidden=16) {
  input features [34, 34]
  input adjacency [34, 34]
  root = adjacency -> reduce_sum(axis=-1) -> rsqrt
  links = adjacency * root -> permute((1, 0)) -> it * root
  h = features -> linear(hidden) -> matmul(links, it) -> relu
  h -> linear(classes) -> matmul(links, it)
}
recipe Karate for GCN {
  data = graph("karate.npz")
  epochs = 100
  batch = 1
  standardize = none
  optimizer = adam(lr=0.01)
  schedule = constant
}
"""

LSTM = """
net CharLSTM(classes, width=64) {
  input text [L] int64
  embed(classes, width) -> lstm(width) -> linear(classes)
}
recipe Chars for CharLSTM {
  data = text("text.txt", length=32)
  epochs = 6
  batch = 32
  optimizer = adamw(lr=1e-2)
  clip = 1.0
}
"""

DIGITS = """
net Small(classes=10) {
  input image [1, 8, 8]
  conv(16, 3) -> bn -> relu -> conv(32, 3, stride=2) -> bn -> relu
  gap -> linear(classes)
}
recipe Digits for Small {
  epochs = 12
  optimizer = sgd(lr=0.3, momentum=0.9)
  schedule = constant
}
"""

NOISY = """
net Wide(classes=10) {
  input image [1, 8, 8]
  conv(64, 3) -> bn -> relu -> conv(128, 3, stride=2) -> bn -> relu
  flatten -> linear(classes)
}
recipe Noisy for Wide {
  label_noise = 0.4
  epochs = 40
  optimizer = adamw(lr=5e-3)
}
"""

DEEP = """
net Deep(classes=10, depth=9) {
  input image [1, 8, 8]
  conv(16, 3, bias=false) -> bn -> relu
  repeat depth { residual { conv(16, 3, bias=false) -> bn -> relu -> conv(16, 3, bias=false) -> bn } -> relu }
  gap -> linear(classes)
}
recipe Noisy for Deep {
  data = digits(test=0.5)
  label_noise = 0.3
  epochs = 40
  batch = 32
}
"""


def train(tmp_path: Path, text: str, *args: str, name: str = "run") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result of a run, and its evaluations."""
    (tmp_path / "spec.net").write_text(text)
    command = [sys.executable, "-m", "netdsl", "train", "spec.net", "-o", name, "--no-onnx", *args]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((tmp_path / name / "run.json").read_text())["result"]
    return result, [line for line in lines if line["kind"] == "evaluation"]


def losses(folder: Path) -> list[float]:
    """The training losses that a run has logged."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "step"]


def test_a_unet_finds_digits_in_clutter(tmp_path: Path) -> None:
    assert train(tmp_path, UNET)[0]["mean_iou"] > 0.9


def test_a_gcn_classifies_the_karate_club_from_two_labels(tmp_path: Path) -> None:
    """Kipf & Welling (2017), appendix A; the club split after a quarrel between members 0 and 33."""
    graph = nx.karate_club_graph()
    labels = [0 if graph.nodes[i]["club"] == "Mr. Hi" else 1 for i in graph]
    known = np.isin(np.arange(34), (0, 33))
    np.savez(
        tmp_path / "karate.npz", features=np.eye(34), edges=np.array(list(graph.edges())).T, labels=labels, train=known
    )
    assert train(tmp_path, GCN)[0]["top1"] >= 29 / 32


def test_an_lstm_beats_a_bigram_model(tmp_path: Path) -> None:
    draw = random.Random(0)
    sentence = "the cat sat on a mat while another dog ran over some green hill and found its small red ball"
    text = " ".join(draw.choice(sentence.split()) for _ in range(6000))
    (tmp_path / "text.txt").write_text(text)
    cut = len(text) - round(0.1 * len(text))
    pairs, singles = Counter(pairwise(text[:cut])), Counter(text[: cut - 1])
    letters = len(set(text))
    held = list(pairwise(text[cut:]))
    bigram = -sum(math.log((pairs[p] + 0.1) / (singles[p[0]] + 0.1 * letters)) for p in held) / len(held)
    result, _ = train(tmp_path, LSTM, "-p", f"classes={letters}")
    assert result["loss"] < 0.8 * bigram


def test_an_average_is_steadier_than_the_weights_it_averages(tmp_path: Path) -> None:
    """At a constant large lr and a small batch the averaged net is better than the raw one, and steadier from epoch to
    epoch (Polyak & Juditsky 1992)."""
    settings = ("ema=ema(0.98, buffers=average)", "batch=16", "epochs=8")
    _, lines = train(tmp_path, DIGITS, *[part for s in settings for part in ("--set", s)])
    later = lines[1:]
    assert sum(line["loss"] < line["raw"]["loss"] for line in later) >= 0.75 * len(later)
    raw, averaged = ([line["raw"]["top1"] for line in later], [line["top1"] for line in later])
    assert np.std(averaged) < np.std(raw) / 2
    assert np.mean(averaged) > np.mean(raw) + 0.01


def test_random_labels_are_learnt_by_heart(tmp_path: Path) -> None:
    """Zhang et al. (2017): the net fits labels that mean nothing, and knows nothing of the test split."""
    settings = ["label_noise=1.0", "epochs=40", "optimizer=adamw(lr=5e-3)", "schedule=cosine"]
    text = DIGITS.replace("16, 3", "64, 3").replace("32, 3, stride=2", "128, 3").replace("gap", "flatten")
    result, _ = train(tmp_path, text, *[part for s in settings for part in ("--set", s)])
    assert max(losses(tmp_path / "run")[-10:]) < 0.3  # chance is ln 10 = 2.3
    assert result["top1"] < 0.25


def test_mixup_learns_fewer_wrong_labels_by_heart(tmp_path: Path) -> None:
    """Zhang et al. (2018), section 3.4: with 40% of the labels replaced, the last net without mixup has fitted them and
    lost on the test split what it knew; with mixup it has not. alpha = 8, as the paper has it for corrupted labels."""
    without, lines = train(tmp_path, NOISY, name="without")
    with_it, _ = train(tmp_path, NOISY, "--set", "mix=mixup(8.0)", name="with")
    assert max(losses(tmp_path / "without")[-10:]) < 0.2  # it has learnt the labels by heart
    assert max(line["top1"] for line in lines) > without["top1"] + 0.05  # and knew better before
    assert min(losses(tmp_path / "with")[-10:]) > 1.0
    assert with_it["top1"] > without["top1"] + 0.05


def test_stochastic_depth_generalises_better(tmp_path: Path) -> None:
    """Huang et al. (2016), section 4: a higher training loss and a lower test error, here of 18 layers on half of the
    digits with 30% of the labels replaced; the survival rate falls linearly to 0.5."""
    without, _ = train(tmp_path, DEEP, name="without")
    with_it, _ = train(tmp_path, DEEP, "--set", "drop_path=linear(0, 0.5)", name="with")
    assert np.mean(losses(tmp_path / "with")[-20:]) > np.mean(losses(tmp_path / "without")[-20:]) + 0.1
    assert with_it["top1"] > without["top1"]
    assert with_it["loss"] < without["loss"]


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_expects_what_it_evaluates(tmp_path: Path, mode: str) -> None:
    """The mean over the draws of training is the output at test time, where every link is there; a link is dropped at
    its rate, for each sample or for the whole batch."""
    (tmp_path / "link.net").write_text("net Link { input x [4]\n residual(drop_path=0.3) { linear(4) } }")
    module = netdsl.load(tmp_path / "link.net").module(seed=0)
    for layer in module.modules():
        if hasattr(layer, "rate"):
            layer.mode = mode  # type: ignore[assignment]
    x = torch.tensor([[0.5, -1.0, 2.0, 0.1]])
    with torch.no_grad():
        wanted = module.eval()(x)[0]
        module.train()
        torch.manual_seed(5)
        outputs = torch.stack([module(x.expand(8, 4)) for _ in range(2000)])  # [2000, 8, 4]
    dropped = (outputs == x[0]).all(2)
    together = (dropped == dropped[:, :1]).all(1)
    assert bool(together.all()) is (mode == "batch")
    draws = 2000 * (1 if mode == "batch" else 8)
    assert abs(float(dropped.float().mean()) - 0.3) < 4 * (0.3 * 0.7 / draws) ** 0.5
    error = (outputs.mean((0, 1)) - wanted).abs() / (wanted - x[0]).abs()
    assert float(error.max()) < 4 * (0.3 / 0.7 / draws) ** 0.5
