"""`predict` on bare arrays: those of each kind of input, and what is said of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdsl.cli.main import main
from netdsl.inference.errors import DataError
from netdsl.inference.predictions import predict
from netdsl.inference.trained import Trained, open_onnx

SPEC = """
net Vectors { input x [4]; linear(3) }
net Pairs { input left [4]; input right [3]; (left -> linear(2)) + (right -> linear(2)) }
net Moved {
  input ids [2, 1] int64; x = squeeze(axis=1); (x -> embed(20, 8)) + (x -> embed(5, 8)) -> flatten -> linear(2)
}
net Words { input ids [L] int64; embed(20, 8) -> reduce_mean(axis=0) -> linear(2) }
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    base = tmp_path_factory.mktemp("arrays")
    (base / "n.net").write_text(SPEC.replace("{ ", "{\n  ").replace("; ", "\n  ").replace(" }", "\n}"))
    found = {}
    for name in ("Vectors", "Pairs", "Words", "Moved"):
        assert main(["compile", f"{base}/n.net:{name}", "-o", f"{base}/{name}", "--no-verify"]) == 0
        found[name] = open_onnx(base / name / "model.onnx")
    return found


def saved(folder: Path, array: Any) -> Path:
    file = folder / ("new.npz" if isinstance(array, dict) else "new.npy")
    np.savez(file, **array) if isinstance(array, dict) else np.save(file, array)
    return file


@pytest.mark.parametrize(("net", "array", "samples"), [
    ("Vectors", np.arange(8).reshape(2, 4), 2),
    ("Vectors", np.arange(4), 1),
    ("Vectors", np.ones((3, 4), dtype=bool), 3),
    ("Words", np.arange(6, dtype=np.uint8).reshape(2, 3), 2),
    ("Pairs", {"left": np.zeros((2, 4), int), "right": np.zeros((2, 3))}, 2),
])  # fmt: skip
def test_numbers_of_any_type_are_taken(
    nets: dict[str, Trained], net: str, array: Any, samples: int, tmp_path: Path
) -> None:
    assert len(list(predict(nets[net], [saved(tmp_path, array)]))) == samples


@pytest.mark.parametrize(("net", "array", "said"), [
    ("Vectors", np.zeros((0, 4)), "has no samples"),
    ("Vectors", np.zeros((2, 5)), "the net takes [4], and a sample of"),
    ("Vectors", np.full((1, 4), 1e300), "values that are not finite"),
    ("Vectors", np.array([["a", "b"]]), "is not an array of numbers"),
    ("Words", np.zeros((2, 3)), "`ids` takes whole numbers, found float64"),
    ("Words", np.full((2, 3), 20), "sample 1 of {} has 20 for `ids`, and the net has vectors for 0 to 19"),
    ("Words", np.array([[1, 2], [3, -1]]), "sample 2 of {} has -1 for `ids`, and the net has vectors for 0 to 19"),
    ("Words", np.array([1, -100]), "sample 1 of {} has -100 for `ids`"),
    ("Moved", np.array([[[1], [-7]]]), "sample 1 of {} has -7 for `ids`, and the net has vectors for 0 to 4"),
    ("Pairs", np.zeros((2, 4)), "is one array, and the net takes left, right"),
    ("Pairs", {"left": np.zeros((2, 4)), "right": np.zeros((3, 3))}, "has 2 samples of `left` and 3 of `right`"),
    ("Pairs", {"left": np.zeros((2, 4)), "right": np.zeros((2, 2))}, "`right` takes [3], and a sample of"),
])  # fmt: skip
def test_what_does_not_fit_is_said(nets: dict[str, Trained], net: str, array: Any, said: str, tmp_path: Path) -> None:
    file = saved(tmp_path, array)
    with pytest.raises(DataError) as found:
        list(predict(nets[net], [file]))
    assert said.format(file) in str(found.value)
