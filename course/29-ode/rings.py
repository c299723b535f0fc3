"""Writes rings.npz: points of a disc (class 0) and of the ring around it (class 1), 500 to train and 500 to test on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

random = np.random.default_rng(0)


def points(count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = random.integers(0, 2, count)
    radius = np.where(labels == 0, 0.8 * np.sqrt(random.random(count)), 1.2 + 0.8 * random.random(count))
    angle = 2 * np.pi * random.random(count)
    found = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32).round(3)
    return found, labels


x, y = points(500)
x_test, y_test = points(500)
np.savez_compressed(Path(__file__).parent / "rings.npz", x=x, y=y, x_test=x_test, y_test=y_test)
