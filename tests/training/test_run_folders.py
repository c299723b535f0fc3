"""Run folders that were harmed: by a second run, by a disk, by a process that died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image, ImageOps
from recipe_harness import recipe
from safetensors.torch import load_file
from sklearn.datasets import load_sample_image
from training_harness import loop_of, samples, stop_after

from netdsl.cli.main import main
from netdsl.inference.predictions import predict
from netdsl.training.checkpoints import stream
from netdsl.training.checkpoints.format import load_tensors, save_tensors
from netdsl.training.checkpoints.lock import going_on, locked
from netdsl.training.checkpoints.resume import advice
from netdsl.training.checkpoints.run_dir import Log
from netdsl.training.data.dataset import DataError
from netdsl.training.data.prefetch import deaths_in_words
from netdsl.training.distributed.launch import launch
from netdsl.training.errors import CheckpointError, ReaderDied, WriteError
from netdsl.training.opened import open_trained
from netdsl.training.readers import read

SPEC = """
net Small {
  input image [1, 8, 8]
  flatten -> linear(10)
}
recipe Quick for Small {
  steps = 4
  checkpoint = 1 steps
  keep = 2
}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run."""
    monkeypatch.chdir(tmp_path)
    Path("small.net").write_text(SPEC)
    assert main(["train", "small.net", "-q", "--no-onnx", "-o", "run"]) == 0
    return tmp_path / "run"


def flip(path: Path, count: int = 64) -> None:
    """Change some bytes in the middle, in place: hard links of the file change with it."""
    data = bytearray(path.read_bytes())
    for i in range(len(data) // 2, len(data) // 2 + count):
        data[i] ^= 0x5A
    with open(path, "r+b") as file:
        file.write(data)


def test_files_of_tensors_have_a_checksum_and_are_still_safetensors(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(300), "b.c": torch.arange(7), "empty": torch.zeros(0, 3)}
    save_tensors(tmp_path / "x", tensors, {"step": 3, "words": ["a", "b"]})
    found, notes = load_tensors(tmp_path / "x")
    assert notes == {"step": 3, "words": ["a", "b"]}
    library = load_file(tmp_path / "x")
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert torch.equal(library[name], tensor)


def test_a_large_file_is_sent_to_the_disk_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tensor or many: memory of the system's for the whole of a large file costs more than writing it."""
    sizes: list[int] = []
    monkeypatch.setattr(stream, "SENT", 1 << 10)
    monkeypatch.setattr(os, "posix_fadvise", lambda file, *_: sizes.append(os.fstat(file).st_size))
    tensors = {"large": torch.arange(1_000), **{f"small{i}": torch.full((32,), i) for i in range(16)}}
    save_tensors(tmp_path / "x", tensors)
    steps = [b - a for a, b in pairwise(sizes)]
    assert len(sizes) == 11
    assert max(steps) < 2 << 10
    found = load_tensors(tmp_path / "x")[0]
    assert all(torch.equal(found[n], t) for n, t in tensors.items())


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_tensors(path, {"a": torch.randn(50)}, {"step": 3})
    whole = path.read_bytes()
    name = whole.index(b"checksum")  # without it a file is taken as it is, as other writers' are
    for at in [i for i in range(0, len(whole), 5) if not name - 1 <= i < name + 13]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CheckpointError):
            load_tensors(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError):
        load_tensors(path)


def test_a_damaged_checkpoint_is_refused_and_an_older_one_offered(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(run / "checkpoint.safetensors")
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--set", "steps=6", "-q", "--no-onnx"]) != 0
    said = capsys.readouterr().err
    assert "checkpoint.safetensors is damaged" in said
    older = "run/checkpoints/step-000003.safetensors"
    assert f"netdsl train --resume {older}" in said
    assert main(["train", "--resume", older, "--set", "steps=6", "-q", "--no-onnx"]) == 0
    flip(run / "checkpoint.safetensors")
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    assert main(["train", "--resume", "run", "--set", "steps=8", "-q", "--no-onnx"]) != 0
    assert "no other checkpoint is kept" in capsys.readouterr().err


def test_a_diverged_run_is_not_sent_to_a_damaged_checkpoint(tmp_path: Path) -> None:
    loop = loop_of("steps = 20\nbatch = 16\ncheckpoint = 4 steps\nkeep = 2", folder=tmp_path)
    stop_after(loop, 8)
    assert f"the checkpoint of step 8 is good: `netdsl train --resume {tmp_path} " in advice(loop)
    flip(tmp_path / "checkpoint.safetensors")
    assert "the checkpoint of step 4 is good" in advice(loop)
    assert "step-000004.safetensors --set" in advice(loop)


def test_damaged_weights_are_not_predicted_with(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(run / "model.safetensors")
    assert main(["eval", "run"]) != 0
    assert "model.safetensors is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (None, "there is no file run/spec.net"),
        ("", "declares no net `Small`"),
        (SPEC.replace("Small", "Other"), "declares no net `Small`"),
        (SPEC.replace("flatten ->", "flatten -> linear(12) ->"), "the weights are not this net's"),
    ],
    ids=["gone", "empty", "another net", "another body"],
)
def test_a_run_of_another_spec_predicts_nothing(
    spec: str | None, said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", np.zeros((2, 1, 8, 8), np.float32))
    path = run / "spec.net"
    path.unlink()
    if spec is not None:
        path.write_text(spec)
    assert main(["predict", "run", "x.npy"]) != 0
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_a_run_of_an_edited_spec_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights fit a net with another activation too. Comments and the file's name change nothing."""
    path, resume = run / "spec.net", ["train", "--resume", "run", "--no-onnx", "--set"]
    for text, said in ((f"# mine\n{SPEC}", False), (SPEC.replace("linear(10)", "relu -> linear(10)"), True)):
        path.write_text(text)
        for command in (["eval", "run"], [*resume, f"steps={5 + said}"]):
            assert main(command) == 0
            assert ("has been edited: its net computes something else" in capsys.readouterr().err) is said
    path.write_text(SPEC.replace("flatten", "maxpool(2) -> flatten"))
    assert main([*resume, "steps=7"]) != 0
    told = capsys.readouterr().err
    assert "`linear.weight` is [10, 64] where the net has [10, 16]" in told
    assert "size mismatch" not in told


def test_damaged_lines_of_the_log_are_told_before_the_first_step(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = run / "metrics.jsonl"
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([lines[0], b'{"kind": "step", "st\x00\xff', b"[1, 2]", b"{}", *lines[1:], b""]))
    assert main(["train", "--resume", "run", "--set", "steps=6", "--no-onnx"]) == 0
    said = capsys.readouterr().err
    assert "metrics.jsonl was damaged: left out 3 lines, numbers 2, 3, 4" in said
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"kind":"step"' in line]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_log_that_is_gone_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "metrics.jsonl").unlink()
    assert main(["train", "--resume", "run", "--set", "steps=6", "--no-onnx"]) == 0
    assert "metrics.jsonl has nothing of the first 4 steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("run.json", "{", "run.json is damaged: "),
        ("run.json", "{}", "run.json: Object missing required field `net`"),
        ("recipe.json", "{}", "recipe.json says no `data`"),
        ("recipe.json", '{"data": {"component": "digits"}, "batch": "8"}', "recipe.json: Expected `int`, got `str`"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(
    run: Path, file: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / file).write_text(text)
    for command in (["train", "--resume", "run"], ["eval", "run"]):
        assert main(command) == 2
        assert f"run is not a run directory: {said}" in capsys.readouterr().err


def test_a_log_keeps_what_was_before_a_step(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for step in range(1, 5):
        log.write("step", {"step": step})
    assert Log(tmp_path / "log", after=2).damaged == ()
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_a_folder_belongs_to_one_run_at_a_time(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"""
import sys
from itertools import pairwise
from pathlib import Path
from netdsl.training.checkpoints.lock import locked
with locked(Path({str(run)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert main(["train", "--resume", "run", "--set", "steps=6", "-q", "--no-onnx"]) != 0
    assert f"process {other.pid} is training into run" in capsys.readouterr().err
    other.kill()
    other.wait()
    assert main(["train", "--resume", "run", "--set", "steps=6", "-q", "--no-onnx"]) == 0
    assert not (run / ".lock").exists()


def test_two_new_runs_into_one_folder(tmp_path: Path) -> None:
    """The one that comes second is refused, also when the first has ended in the meantime."""
    with locked(tmp_path), pytest.raises(CheckpointError, match="is training into"), locked(tmp_path):
        pass


@pytest.mark.parametrize("begun", [True, False])
def test_what_ended_a_run_says_how_to_go_on(begun: bool, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    how = f"`netdsl train --resume {tmp_path}` "
    how += "resumes from the newest checkpoint" if begun else "begins at the first step again"
    if begun:
        (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(WriteError) as full, going_on(tmp_path):
        raise WriteError("cannot-write", "cannot write x: No space left on device")
    assert full.value.hint == how
    with pytest.raises(ReaderDied) as died, deaths_in_words(), going_on(tmp_path):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    assert died.value.hint is not None
    assert died.value.hint.endswith(how)


def test_a_process_that_dies_at_the_start_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(rank: int, *rest: object) -> subprocess.Popen[bytes]:
        end = f"import os, signal; os.kill(os.getpid(), signal.{'SIGKILL' if rank else 'SIGCONT'})"
        return subprocess.Popen([sys.executable, "-c", end])

    monkeypatch.setattr("netdsl.training.distributed.launch._start", start)
    assert launch(2, ["train", "x.net", "-o", "there"]) == 128 + signal.SIGKILL
    said = capsys.readouterr().err
    assert "process 1 of 2 (counted from 0) was ended by SIGKILL" in said
    assert "netdsl train --resume there" in said


def test_predictions_see_images_as_the_runs_test_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resized to 20 and cut to 16, and not squeezed into the cut: as `eval` sees them."""
    monkeypatch.chdir(tmp_path)
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((96, 64))
    for split in ("train", "val"):
        for name, image in (("a", photo), ("b", ImageOps.invert(photo))):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            image.save(tmp_path / "pets" / split / name / "0.png")
    Path("n.net").write_text("net N {\n  input image [3, H, W]\n  conv(4, 3) -> gap -> linear(2)\n}\n")
    word = 'imagefolder("pets", resize=20, crop=16)'
    assert main(["train", "n.net", "--data", word, "--set", "steps=1", "-q", "--no-onnx", "-o", "run"]) == 0
    trained = open_trained(tmp_path / "run")
    found = read(trained.recipe.data, tmp_path, (3, 0, 0), 2).test
    seen: list[np.ndarray] = []
    watched = replace(trained, compute=lambda x: (seen.append(x), trained.compute(x))[1])
    next(predict(watched, [tmp_path / "pets" / "val" / "a" / "0.png"]))
    assert torch.equal(torch.from_numpy(seen[0]), found.take(torch.tensor([0]))[0][0])


def saved(tmp_path: Path, **arrays: np.ndarray) -> str:
    np.savez(tmp_path / "d.npz", **arrays)
    return 'npz("d.npz")'


def test_a_number_that_is_none_is_named_by_its_row_in_the_file(tmp_path: Path) -> None:
    """Also where the test split is taken from the rows at random."""
    for row in (3, 57):
        x, y = np.random.rand(80, 4), np.arange(80) % 2
        x[row, 2] = np.nan
        with pytest.raises(DataError, match=rf"`x` has values that are not finite, first in row {row} "):
            read(recipe(f"data = {saved(tmp_path, x=x, y=y)}").data, tmp_path, (4,), 2)
        targets = np.zeros(80)
        targets[row] = np.inf
        with pytest.raises(DataError, match=rf"`y` has values that are not finite, first in row {row} "):
            read(recipe(f"data = {saved(tmp_path, x=np.zeros((80, 4)), y=targets)}").data, tmp_path, (4,), 2)


def test_absent_classes_and_a_last_batch_of_one_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.permutation(33) % 3
    y[y == 1] = 0
    arrays = {"x": rng.random((33, 4)), "y": y, "x_test": rng.random((9, 4)), "y_test": np.arange(9) % 2}
    word = saved(tmp_path, **arrays)
    Path("n.net").write_text("net N {\n  input x [4]\n  linear(3)\n}\n")
    settings = ["--set", "epochs=1", "--set", "batch=8", "--no-onnx", "-o", "run"]
    assert main(["train", "n.net", "--data", word, *settings]) == 0
    said = capsys.readouterr().err
    assert "class `1` has no sample to train on" in said
    assert "class `2` has no sample to test on" in said
    assert "the last step of an epoch has 1 sample, whose gradient counts as much as a batch's" in said
    assert "drop_last = true" in said


def test_an_epoch_by_default_warms_up_for_a_tenth_of_it() -> None:
    loop = loop_of("epochs = 1\nbatch = 1", split=samples(40))
    rates = [loop.schedule(step) for step in range(40)]
    assert max(rates) == pytest.approx(rates[4]) == pytest.approx(loop.recipe.optimizer.lr)
    assert rates[-1] < 0.01 * rates[4]


def test_a_run_folder_is_read_once_to_open_its_net(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl.training.checkpoints import run_dir

    read: list[Path] = []
    monkeypatch.setattr(
        run_dir, "read_about", lambda folder, inner=run_dir.read_about: read.append(folder) or inner(folder)
    )
    found = open_trained(run)
    assert read == [run]
    assert (found.task, found.recipe.steps, found.classes) == ("classes", 4, tuple("0123456789"))
