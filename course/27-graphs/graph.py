"""Writes communities.npz: four groups of fifty nodes, joined more often within a group than between two, each node with
sixteen numbers that hardly tell its group; five labels of each group are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GROUPS, SIZE, KNOWN = 4, 50, 5
WITHIN, BETWEEN = 0.12, 0.02

random = np.random.default_rng(0)
labels = np.repeat(np.arange(GROUPS), SIZE)
chance = np.where(labels[:, None] == labels, WITHIN, BETWEEN)
joined = np.triu(random.random(chance.shape) < chance, 1)
features = random.standard_normal((len(labels), 16)).astype(np.float32)
features[np.arange(len(labels)), labels] += 1
train = np.zeros(len(labels), bool)
for group in range(GROUPS):
    train[random.choice(np.flatnonzero(labels == group), KNOWN, replace=False)] = True
np.savez_compressed(
    Path(__file__).parent / "communities.npz",
    features=features.round(2), edges=np.stack(np.nonzero(joined)), labels=labels, train=train,
)  # fmt: skip
