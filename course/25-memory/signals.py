"""Writes signals.npz: a signal, one of four, and behind it sixty others that mean nothing: which was the first?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

random = np.random.default_rng(0)


def sequences(count: int) -> tuple[np.ndarray, np.ndarray]:
    first = random.integers(0, 4, (count, 1))
    return np.concatenate([first, random.integers(4, 8, (count, 60))], 1).astype(np.uint8), first[:, 0].astype(np.uint8)


x, y = sequences(2000)
x_test, y_test = sequences(500)
np.savez_compressed(Path(__file__).parent / "signals.npz", x=x, y=y, x_test=x_test, y_test=y_test)
