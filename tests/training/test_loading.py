"""Images read from files by other processes: nothing depends on how many there are, and mistakes keep their words."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe
from safetensors.torch import load_file
from torch import Tensor

from netdsl.cli.main import main
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataError, Split
from netdsl.training.data.fit import fit, statistics
from netdsl.training.data.prefetch import Ahead, loaded, processes
from netdsl.training.data.sampler import EpochSampler
from netdsl.training.data.targets import Targets
from netdsl.training.kernels.memory import forget, pages_of, resident
from netdsl.training.readers import read

SPEC = """
net Small(classes=2) {
  input image [3, 16, 16]
  conv(6, 3, stride=2) -> bn -> relu -> dropout(0.1) -> gap -> linear(classes)
}

recipe Streamed for Small {
  data       = imagefolder("images")
  epochs     = 3
  batch      = 8
  resident   = 0
  validation = 0.1
  repeat     = 2
  optimizer  = sgd(lr=0.1, momentum=0.9)
  augment    = random_resized_crop(16) -> hflip -> randaugment(2, 9) -> random_erasing(0.5)
  mix        = mixup(0.4) | cutmix(1.0)
  ema        = 0.9
}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec beside forty images of two classes, in several sizes and formats, and ten to test on."""
    path = tmp_path_factory.mktemp("streamed")
    (path / "small.net").write_text(SPEC)
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 5)):
        for c, name in enumerate(("cat", "dog")):
            folder = path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 128, (20 + i % 5, 24 - i % 3, 3)) + 100 * c
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.{('png', 'jpg')[i % 2]}")
    return path


def train(root: Path, folder: Path, *more: str) -> dict[str, Tensor]:
    """The final weights of a run."""
    settings = [word for text in more for word in ("--set", text)]
    assert main(["train", str(root / "small.net"), "-o", str(folder), "-q", "--no-onnx", *settings]) == 0
    return load_file(folder / "model.safetensors")


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("augment", ["", "augment=hflip -> random_erasing(0.5)"], ids=["cut", "read"])
def test_weights_do_not_depend_on_the_number_of_processes(root: Path, tmp_path: Path, augment: str) -> None:
    """With repeated augmentation, mixing, an average, small shares: bit for bit, and so are the evaluations."""
    settings = [augment] if augment else []
    runs = {n: train(root, tmp_path / f"{n}", f"workers={n}", *settings) for n in (0, 1, 2)}
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])
    logs = [(tmp_path / f"{n}" / "metrics.jsonl").read_text().splitlines() for n in (0, 1, 2)]
    found = [[{k: v for k, v in json.loads(line).items() if k != "waiting"} for line in log] for log in logs]
    assert found[0] == found[1] == found[2]
    results = [json.loads((tmp_path / f"{n}" / "run.json").read_text())["result"] for n in (0, 1, 2)]
    assert results[0]["top1"] == results[1]["top1"]
    assert results[0]["loss"] == results[2]["loss"]
    if not augment:
        assert_same(runs[0], train(root, tmp_path / "kept", "resident=1024"))  # cut from files all the same
    evaluations = [json.loads(line) for line in logs[1] if '"evaluation"' in line]
    assert len(evaluations) == 3
    assert all(0 <= e["waiting"] <= 1 for e in evaluations)


def test_shares_of_an_update_may_be_small(root: Path, tmp_path: Path) -> None:
    """With micro-batches, the shares that are read ahead are those that are computed: gradients agree to rounding."""
    net = ["ema=none", "steps=6", "optimizer=sgd(lr=0.01)"]
    whole = train(root, tmp_path / "whole", "workers=0", *net)
    parts = train(root, tmp_path / "parts", "workers=1", "micro_batch=3", *net)
    fixed = train(root, tmp_path / "fixed", "workers=0", "micro_batch=3", *net)
    assert_same(parts, fixed)
    assert whole.keys() == parts.keys()


def test_a_run_that_was_killed_in_an_epoch_goes_on_bit_for_bit(root: Path, tmp_path: Path) -> None:
    whole = train(root, tmp_path / "whole", "workers=2", "checkpoint=1 steps", "epochs=12")
    arguments = [sys.executable, "-m", "netdsl", "train", str(root / "small.net"), "-o", str(tmp_path / "broken"), "-q"]
    settings = ["--no-onnx", "--set", "workers=2", "--set", "checkpoint=1 steps", "--set", "epochs=12"]
    process = subprocess.Popen([*arguments, *settings], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not (tmp_path / "broken" / "checkpoint.safetensors").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.1)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert main(["train", "--resume", str(tmp_path / "broken"), "-q", "--no-onnx"]) == 0
    assert_same(whole, load_file(tmp_path / "broken" / "model.safetensors"))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_broken_image_is_named(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int, split: str
) -> None:
    shutil.copytree(root / "images", tmp_path / "images")
    (tmp_path / "images" / split / "dog" / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    spec = tmp_path / "small.net"
    spec.write_text(SPEC)
    settings = ["--set", f"workers={workers}", "--set", "standardize=none", "--set", "validation=0"]
    assert main(["train", str(spec), "-o", str(tmp_path / "run"), "-q", "--no-onnx", *settings]) == 1
    said = capfd.readouterr().err
    assert f"{split}/dog/4.png is not an image that can be read" in said
    assert "Traceback" not in said
    assert "worker" not in said


def test_a_process_that_dies_is_an_error_in_words() -> None:
    def read(job: int) -> tuple[Tensor, ...]:
        if job == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return (torch.tensor([job]),)

    with pytest.raises(DataError, match="has died") as caught:
        list(loaded(read, range(10), 1))
    assert "workers=0" in (caught.value.hint or "")
    assert [int(x) for (x,) in loaded(read, range(3), 2)] == [0, 1, 2]


def test_what_is_asked_out_of_order_is_read_at_once() -> None:
    calls: list[tuple[int, int, int]] = []

    def read(share: tuple[int, int, int]) -> tuple[Tensor, ...]:
        calls.append(share)
        return (torch.tensor(share),)

    shares = [(0, 0, 4), (0, 4, 8), (1, 0, 4)]
    ahead = Ahead(read, shares, loaded(read, shares, 0), 0, torch.device("cpu"))
    assert ahead.take((0, 0, 4))[0].tolist() == [0, 0, 4]
    assert ahead.take((5, 0, 2))[0].tolist() == [5, 0, 2]
    assert [ahead.take(s)[0].tolist() for s in shares[1:]] == [[0, 4, 8], [1, 0, 4]]
    assert ahead.take((9, 0, 1))[0].tolist() == [9, 0, 1]


def test_waiting_is_measured() -> None:
    """Reading takes 20 ms in the process itself and computing 20 ms: half of the time."""

    def read(share: tuple[int, int, int]) -> tuple[Tensor, ...]:
        time.sleep(0.02)
        return (torch.zeros(1),)

    shares = [(i, 0, 1) for i in range(20)]
    fractions = []
    for workers in (0, 1):
        ahead = Ahead(read, shares, loaded(read, shares, workers), workers, torch.device("cpu"))
        for i, share in enumerate(shares):
            ahead.take(share)
            if i == 4:
                ahead.pause()
                time.sleep(0.1)  # an evaluation, which does not count
                ahead.go_on()
            time.sleep(0.02)
        fractions.append(ahead.pause())
        said = ahead.said()
        ahead.close()
        if not workers:
            assert "read by the training process itself; what would help: " in said
    assert fractions[0] == pytest.approx(0.5, abs=0.15)
    assert fractions[1] < fractions[0] - 0.1


def test_auto_takes_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert processes("auto", 1000) == 5
    assert processes(3, 1000) == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert processes("auto", 1000) == 2
    assert processes("auto", 1 << 60) == 0  # more than the shared memory holds


def test_a_feed_can_be_sent_to_a_process_that_was_not_forked(root: Path) -> None:
    fields = 'data = imagefolder("images")\nbatch = 8\naugment = random_resized_crop(16)\nmix = mixup(0.2)'
    found = recipe(fields)
    split = fit(read(found.data, root, (3, 16, 16), 2), (3, 16, 16), 2).train.subset(torch.arange(30))
    feed = BatchLoader(split, found, Targets(found, "classes", 2))
    assert feed.decoder is not None
    sent = pickle.loads(pickle.dumps(feed.decoder))
    assert torch.equal(sent((2, 0, 3))[0], feed.decoder((2, 0, 3))[0])


def test_evaluation_reads_ahead_in_order(root: Path) -> None:
    found = recipe('data = imagefolder("images")')
    split = read(found.data, root, (3, 16, 16), 2).train
    parts = torch.split(torch.arange(40), 7)
    for workers in (0, 1, 2):
        batches = list(split.batches(parts, workers))
        assert torch.equal(torch.cat([x for (x,), _ in batches]), split.take(torch.arange(40))[0][0])
        assert torch.equal(torch.cat([y for _, y in batches]), split.target)
    assert list(split.batches((), 2)) == []


def test_images_that_are_read_have_the_statistics_of_all(root: Path) -> None:
    """Not of the first ones, which are all of one class; the same as where they are kept in memory."""
    found = recipe('data = imagefolder("images")')
    split = fit(read(found.data, root, (3, 16, 16), 2), (3, 16, 16), 2).train
    assert split.inputs == ()
    streamed, kept = statistics(split, found.standardize, 1), statistics(split.kept(1 << 30), found.standardize)
    assert streamed == kept
    pixels = split.take(torch.arange(40))[0][0].numpy()
    assert streamed is not None
    assert streamed[0] == pytest.approx(pixels.mean((0, 2, 3)), abs=1e-5)
    assert streamed[1] == pytest.approx(pixels.std((0, 2, 3)), abs=1e-5)


def test_nothing_is_drawn_where_nothing_is_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    found = recipe("batch = 4")
    feed = BatchLoader(Split((torch.rand(8, 3),), torch.zeros(8)), found, Targets(found, "classes", 2))
    monkeypatch.setattr(EpochSampler, "draws", lambda *_: pytest.fail("drawn"))
    assert feed.batch(0).inputs[0].shape == (4, 3)


def memory_of(job: int) -> tuple[Tensor, ...]:
    """MiB of this process after it has decoded a large image, of which it gives a corner."""
    image = Image.new("RGB", (1536, 1536), job)
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).contiguous()
    return torch.tensor([resident() >> 20]), pixels[:, :2, :2].clone()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_process_that_reads_holds_one_large_image() -> None:
    """Not one for every small object that was made between two: 7 MiB more for each image.

    In a process of its own: what other tests have freed is used again before any block is mapped.
    """
    code = (
        "from test_loading import loaded, memory_of\n"
        "if __name__ == '__main__':\n    print(*(int(used) for used, _ in loaded(memory_of, range(40), 1)))"
    )
    path = os.pathsep.join((os.path.dirname(__file__), *sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    first, *_, last = map(int, done.stdout.split())
    assert last - first < 40


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked")
def test_a_process_that_reads_keeps_no_copy_of_the_weights() -> None:
    """Its pages are given back, from the first whole one to the last, and the other process's stay."""
    weights = torch.ones(2**21 + 3)
    forked = multiprocessing.get_context("fork")
    found = forked.SimpleQueue()

    def begin() -> None:
        forget(pages_of([weights, torch.ones(8)]))
        found.put(int(weights.count_nonzero()))

    process = forked.Process(target=begin)
    process.start()
    process.join()
    assert 0 < found.get() < 4096
    assert int(weights.count_nonzero()) == 2**21 + 3


def test_readers_use_nothing_that_they_give_back(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor of the net, however small."""
    monkeypatch.setattr("netdsl.training.kernels.memory.LARGEST_READ", 1)
    one, two = (train(root, tmp_path / str(n), f"workers={n}", "resident=0", "epochs=1") for n in (0, 2))
    assert all(torch.equal(one[n], two[n]) for n in one)
