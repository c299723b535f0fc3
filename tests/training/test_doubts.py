"""What data are said to be before training, where they can be learnt and are hardly meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recipe_harness import recipe

from netdsl.training.data.doubts import doubts
from netdsl.training.readers import read
from netdsl.weights.pickled import load
from netdsl.weights.unwrap import WeightsError

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 3)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (12, 1, 4, 4)).astype(np.uint8)
CLASSES = np.arange(40) % 3


def said(base: Path, source: str) -> list[str]:
    data = read(recipe(f"data = {source}").data, base, (3,), 3)
    return [*data.notes, *doubts(data)]


@pytest.mark.parametrize(
    ("arrays", "note"),
    [
        ({"x": ROWS, "y": CLASSES}, None),
        ({"x": ROWS, "y": CLASSES, "x_test": ROWS[:9], "y_test": CLASSES[:9]}, "9 of 9 samples to test on are among"),
        ({"x": ROWS[9:], "y": CLASSES[9:], "x_test": ROWS[:14], "y_test": CLASSES[:14]}, None),
        ({"x": ROWS, "y": np.full((40, 1), 2.5)}, "every target to train on is 2.5"),
        ({"x": ROWS, "y": ROWS[:, :1]}, None),
        ({"x": IMAGES, "y": CLASSES[:12]}, None),
        ({"x": IMAGES.astype(np.float32), "y": CLASSES[:12]}, "values of images go up to 255"),
        ({"x": IMAGES / np.float32(255), "y": CLASSES[:12]}, None),
    ],
)
def test_arrays(tmp_path: Path, arrays: dict[str, Any], note: str | None) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    found = said(tmp_path, 'npz("a.npz")')
    assert len(found) == (note is not None)
    assert note is None or found[0].startswith(note)


@pytest.mark.parametrize(
    ("first", "note"),
    [
        (lambda i: ROWS[i, 0], None),
        (lambda i: i + 7, "`a` counts the rows"),
        (lambda i: ROWS[i, 2], '`a` is `y`, which is to be predicted, in every row: `ignore=["a"]`'),
        (lambda i: 4, "`a` is 4 in every row"),
    ],
)
def test_columns(tmp_path: Path, first: Any, note: str | None) -> None:
    lines = ["a,b,y", *(f"{first(i)},{ROWS[i, 1]},{ROWS[i, 2]}" for i in range(40))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    _, *found = said(tmp_path, 'csv("a.csv", target="y")')
    assert len(found) == (note is not None)
    assert note is None or found[0].startswith(note)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"}}}}", b"q\x00K\x01.", bytes(range(256))])
def test_what_is_no_file_of_weights_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"not a file of plain tensors"):
        load(str(tmp_path / "w.pt"))
