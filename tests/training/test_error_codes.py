"""Each code of mistakes in data, runs and weights, as `netdsl` gives it: one situation for each, by its code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

import netdsl
from netdsl.cli.failure import USAGE, WRONG
from netdsl.cli.main import main
from netdsl.diagnostics.codes.data import DATA
from netdsl.diagnostics.codes.runs import RUNS
from netdsl.diagnostics.codes.weights import WEIGHTS as WEIGHTS_CODES
from netdsl.training.checkpoints.lock import locked
from netdsl.training.checkpoints.run_dir import ABOUT, WEIGHTS
from netdsl.training.checkpoints.run_dir import SPEC as SPEC_FILE
from netdsl.training.errors import DataError, diagnosed

SPEC = """
net Small(classes=3) {
  input image [1, 4, 4]
  conv(4, 4, padding=0) -> bn -> relu -> flatten -> linear(classes)
}

recipe Short for Small {
  data = npz("good.npz")
  steps = 2
  batch = 8
  optimizer = sgd(lr=0.1)
}
"""

X, Y = np.linspace(0, 1, 24 * 16, dtype=np.float32).reshape(24, 1, 4, 4), np.arange(24) % 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its data, and a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.net").write_text(SPEC)
    np.savez(folder / "good.npz", x=X, y=Y)
    assert main(["train", f"{folder}/small.net", "-o", f"{folder}/run", "--no-onnx", "-q"]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays(**given: np.ndarray) -> list[str]:
    np.savez("bad.npz", **given)
    return ["train", "small.net", "--data", 'npz("bad.npz")']


def images(*paths: str) -> list[str]:
    for path in paths:
        Path("images", path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(Path("images", path))
    return ["train", "small.net", "--data", 'imagefolder("images")']


def damaged(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[-1] ^= 1
    Path(path).write_bytes(data)


def unreadable_data() -> list[str]:
    Path("bad.npz").write_text("no archive")
    return ["train", "small.net", "--data", 'npz("bad.npz")']


def not_finite_data() -> list[str]:
    x = X.copy()
    x[7] = np.nan
    return arrays(x=x, y=Y)


def not_a_run() -> list[str]:
    Path("empty").mkdir()
    return ["train", "--resume", "empty"]


def unfinished_run() -> list[str]:
    Path("run", WEIGHTS).unlink()
    return ["eval", "run"]


def changed_data() -> list[str]:
    about = Path("run", ABOUT)
    about.write_text(about.read_text().replace(" 19,", " 20,"))
    return ["train", "--resume", "run", "--set", "steps=4"]


def outdated_run() -> list[str]:
    spec = Path("run", SPEC_FILE)
    spec.write_text(spec.read_text().replace("relu", "rleu"))
    return ["eval", "run"]


def damaged_checkpoint() -> list[str]:
    damaged(f"run/{WEIGHTS}")
    return ["eval", "run"]


def unfit_weights() -> list[str]:
    spec = Path("small.net")
    spec.write_text(spec.read_text().replace("steps = 2", 'steps = 2\n  init = weights("other.safetensors")'))
    np.savez("other.npz", a=np.zeros(3, np.float32))
    return ["train", "small.net", "--set", 'init=weights("other.npz")']


def unreadable_model() -> list[str]:
    Path("bad.onnx").write_bytes(b"no model")
    return ["eval", "bad.onnx"]


def other_output() -> list[str]:
    np.save("x.npy", X[:1])
    np.save("y.npy", np.full((1, 3), 9.0, np.float32))
    return ["weights", "small.net", "run/model.safetensors", "--check", "x.npy", "y.npy"]


def foreign_model() -> list[str]:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "plain",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("y", 1, [1, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), "plain.onnx")
    return ["verify", "plain.onnx", "--against", "run"]


TRAIN = ["train", "small.net"]
SITUATIONS: dict[str, Callable[[], list[str]]] = {
    "missing-data": lambda: [*TRAIN, "--data", 'npz("none.npz")'],
    "unreadable-data": unreadable_data,
    "missing-column": lambda: arrays(x=X),
    "no-samples": lambda: images("train/1.png", "test/1.png"),
    "unpaired-samples": lambda: arrays(x=X, y=Y[:20]),
    "uneven-samples": lambda: arrays(x=X, y=Y, x_test=np.zeros((3, 1, 5, 5), np.float32), y_test=Y[:3]),
    "unknown-class": lambda: images("train/a/1.png", "train/b/1.png", "train/c/1.png", "test/zebra/1.png"),
    "not-finite-data": not_finite_data,
    "data-type": lambda: arrays(x=X, y=np.array(["a"] * 24)),
    "data-value": lambda: [*arrays(x=X * 9, y=Y), "--set", "augment=hflip"],
    "no-such-device": lambda: [*TRAIN, "--device", "warp"],
    "few-samples": lambda: [*TRAIN, "--set", "batch=1"],
    "not-finite": lambda: [*TRAIN, "--set", "optimizer.lr=1e38", "--set", "steps=8"],
    "not-empty": lambda: [*TRAIN, "-o", "run"],
    "cannot-write": lambda: [*TRAIN, "-o", "good.npz/run"],
    "not-a-run": not_a_run,
    "unfinished-run": unfinished_run,
    "already-ended": lambda: ["train", "--resume", "run", "--set", "steps=1"],
    "changed-data": changed_data,
    "outdated-run": outdated_run,
    "damaged-checkpoint": damaged_checkpoint,
    "unfit-weights": unfit_weights,
    "unfit-net": lambda: ["predict", "run", "face.png", "--mc", "3"],
    "unreadable-model": unreadable_model,
    "unreadable-weights": lambda: ["weights", "small.net", "small.net"],
    "unclear-weights": lambda: ["weights", "small.net", "run/model.safetensors", "--inside", "ema"],
    "bad-mapping": lambda: ["weights", "small.net", "run/model.safetensors", "--exclude", "head"],
    "other-output": other_output,
    "foreign-model": foreign_model,
    "not-a-model": lambda: ["verify", "good.npz.onnx"],
}
ELSEWHERE = {
    "hub-unreachable": "test_tables",
    "missing-package": "test_tables",
    "cannot-compile": "test_gpu_paths",
    "out-of-memory": "below",
    "run-in-use": "below",
    "reader-died": "test_loading",
    "process-ended": "test_cli, slow",
    "callback-failed": "test_from_python",
    "unverified": "test_verify",
    "precision-loss": "precision/test_precision",
    "unknown-layer": "precision/test_precision",
    "not-exportable": "test_onnx",
    "not-liftable": "lift/test_refused",
    "no-way-back": "test_weights",
    "ambiguous-weights": "test_weights",
}
FILES = {"not-empty", "cannot-write", "not-a-run", "unfinished-run", "outdated-run", "damaged-checkpoint"}
FILES |= {"unreadable-model", "unreadable-weights", "unclear-weights"}


def test_every_code_has_a_situation() -> None:
    assert {c.name for c in (*DATA, *RUNS, *WEIGHTS_CODES)} == SITUATIONS.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("code", SITUATIONS)
def test_situations(code: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (4, 4)).save("face.png")
    shutil.copy("good.npz", "good.npz.onnx")
    argv = SITUATIONS[code]()
    found = main([*argv, "--no-onnx"] if argv[0] == "train" else argv)
    said = capsys.readouterr().err
    assert f"error[{code}]: " in said, said
    assert found == (USAGE if code in FILES else WRONG), said


def test_a_run_that_is_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(Path("run")):
        assert main(["train", "--resume", "run", "--set", "steps=3"]) == USAGE
    assert "error[run-in-use]: process" in capsys.readouterr().err


def test_exceptions_of_packages() -> None:
    found = diagnosed(RuntimeError("CUDA out of memory"), "`micro_batch`")
    assert found is not None
    assert found.code == "out-of-memory"
    assert diagnosed(RuntimeError("a bug"), "`micro_batch`") is None


def test_python_has_the_code_too(here: Path) -> None:
    with pytest.raises(netdsl.TrainingError) as caught:
        netdsl.load("small.net").train("Short", data=(X.reshape(24, 16), Y), folder=Path("other"))
    assert caught.value.code == "unfit-input"
    assert str(caught.value).startswith("error[unfit-input]: ")


def test_a_mistake_of_another_process_keeps_all_it_says() -> None:
    import pickle

    error = DataError("data-type", "row 3 of `x` has a text", "convert it")
    error.advise("or leave it out", more=True)
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), there.diagnostic) == (DataError, error.diagnostic)
    assert there.hint == "convert it; or leave it out"
