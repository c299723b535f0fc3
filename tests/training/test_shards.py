"""Data in shards: every sample once, in one order for any number of processes and workers, file by file."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe
from safetensors.torch import load_file

from netdsl.cli.main import main
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.sampler import EpochSampler
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.readers import read, shards

SPEC = """
net Small(classes=3) {
  input image [3, 8, 8]
  conv(4, 3) -> relu -> gap -> linear(classes)
}
recipe Quick for Small {
  data   = shards("train-*.tar", test="val-*.tar")
  epochs = 2
  batch  = 8
}
"""


def png(number: int) -> bytes:
    """An image that tells which sample it is."""
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write_tar(file: Path, numbers: range, label: Any = lambda i: str(i % 3), names: Any = None) -> None:
    with tarfile.open(file, "w") as archive:
        for i in numbers:
            for ending, data in (("png", png(i)), ("cls", label(i).encode()), ("json", b"{}")):
                info = tarfile.TarInfo(f"part/{i:05d}.{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


COUNTS = (7, 13, 1, 20, 9)
"""Samples of the shards: 50."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    begin = 0
    for k, count in enumerate(COUNTS):
        write_tar(tmp_path / f"train-{k}.tar", range(begin, begin + count))
        begin += count
    write_tar(tmp_path / "val-0.tar", range(200, 206))
    (tmp_path / "small.net").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(base: Path, text: str = 'shards("train-*.tar", test="val-*.tar")') -> DataSet:
    return read(recipe(f"data = {text}").data, base, (3, 8, 8), 3)


def sequence(order: EpochSampler, epoch: int) -> list[int]:
    steps = range(epoch * order.per_epoch, (epoch + 1) * order.per_epoch)
    return [i for s in steps for i in order.at(s, torch.arange(order.count(s))).tolist()]


@pytest.mark.parametrize("batch", [1, 3, 8, 16, 50, 64, 100])
@pytest.mark.parametrize("counts", [(50,), COUNTS, (1,) * 50])
def test_an_epoch_has_every_sample_once(batch: int, counts: tuple[int, ...]) -> None:
    order = EpochSampler(3, 50, batch, shards=counts)
    first, second = sequence(order, 0), sequence(order, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first != list(range(50))


@pytest.mark.parametrize("batch", [100, 128, 1000])
def test_large_batches_take_several_positions_from_each_lane(batch: int) -> None:
    order = EpochSampler(3, 2310, batch, shards=(100, 10, 700, 1500))
    assert sorted(sequence(order, 0)) == list(range(2310))
    short = EpochSampler(3, 2310, batch, drop_last=True, shards=(100, 10, 700, 1500))
    found = sequence(short, 0)
    assert len(found) == len(set(found)) == 2310 // batch * batch


def test_a_process_reads_few_shards_of_its_own() -> None:
    """64 shards of 100, 4 processes, batch 32: each process opens a quarter of the shards, and those at the ends."""
    order = EpochSampler(0, 6400, 32, shards=(100,) * 64)
    opened = []
    for rank in range(4):
        places = torch.arange(rank * 8, rank * 8 + 8)
        found = {int(i) // 100 for s in range(order.per_epoch) for i in order.at(s, places)}
        opened.append(found)
        assert len(found) <= 16 + 1
    assert set.union(*opened) == set(range(64))
    together = {int(i) // 100 for s in range(10) for i in order.at(s, torch.arange(8))}
    assert len(together) <= 2 * 8  # a lane reads one shard after the other


def test_images_and_classes_are_those_of_the_samples(here: Path) -> None:
    found = data(here)
    assert found.train.shards == COUNTS
    assert found.classes == ("0", "1", "2")
    (pixels,), target = found.train.take(torch.tensor([0, 6, 7, 20, 21, 49]))
    assert (pixels[:, 0, 0, 0] * 255).round().tolist() == [0, 6, 7, 20, 21, 49]
    assert target.tolist() == [0, 0, 1, 2, 0, 1]


def seen(base: Path, rank: int, world: int, workers: int) -> dict[int, list[int]]:
    """The samples that a process computes in every step, as their images say."""
    made = recipe(f'data = shards("train-*.tar", test="val-*.tar")\nepochs = 2\nbatch = 8\nworkers = {workers}')
    split = read(made.data, base, (3, 8, 8), 3).train
    feed = BatchLoader(split, made, Targets(made, "classes", 3))
    ranks = ProcessGroup(rank, world)
    shares = [(s, *part) for s in range(feed.total) for part in ranks.parts(feed.count(s), 0)]
    feed.begin(iter(shares))
    found = {s: (feed.batch(s, a, b).inputs[0][:, 0, 0, 0] * 255).round().int().tolist() for s, a, b in shares}
    feed.end()
    return found


def test_ranks_and_workers_share_one_order(here: Path) -> None:
    alone = seen(here, 0, 1, 0)
    for epoch in (range(7), range(7, 14)):
        assert sorted(i for s in epoch for i in alone[s]) == list(range(50))
    each = [seen(here, rank, 4, workers) for rank, workers in enumerate((0, 1, 2, 0))]
    assert {s: [i for found in each for i in found.get(s, [])] for s in alone} == alone


RANK = """
import json, sys
import torch.distributed as dist
from pathlib import Path
from test_shards import seen

if __name__ == "__main__":
    rank, world, workers = map(int, sys.argv[1:])
    store = f"file://{Path().resolve()}/store-{workers}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)  # each indexes its share of files
    print(json.dumps(seen(Path(), rank, world, workers)))
    dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_four_processes_see_every_sample_once_with_any_number_of_workers(here: Path, workers: int) -> None:
    """Four processes at a time, each with its images decoded by itself or by workers, against one alone."""
    (here / "rank.py").write_text(RANK)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, "rank.py", str(rank), "4", str(workers)] for rank in range(4)]
    each = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True, env=env) for c in commands]
    found = [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in each]
    alone = seen(here, 0, 1, 0)
    assert {s: [i for one in found for i in one.get(str(s), [])] for s in alone} == alone


@pytest.mark.parametrize("settings", [["resident=0"], ["resident=0", "workers=1"]])
def test_weights_do_not_depend_on_workers_or_on_memory(here: Path, settings: list[str]) -> None:
    given = [part for s in settings for part in ("--set", s)]
    assert main(["train", "small.net", "--no-onnx", "-q", "-o", "one"]) == 0
    assert main(["train", "small.net", "--no-onnx", "-q", "-o", "two", *given]) == 0
    one, two = (load_file(here / n / "model.safetensors") for n in ("one", "two"))
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_names_of_classes(here: Path) -> None:
    for file, numbers in (("train-0.tar", range(9)), ("val-0.tar", range(3))):
        write_tar(here / f"n{file}", numbers, label=lambda i: ("bee", "ant", "cat")[i % 3])
    found = data(here, 'shards("ntrain-*.tar", test="nval-*.tar")')
    assert found.classes == ("ant", "bee", "cat")
    assert found.train.take(torch.tensor([0, 1, 2]))[1].tolist() == [1, 0, 2]
    assert found.test.take(torch.tensor([0, 1, 2]))[1].tolist() == [1, 0, 2]
    write_tar(here / "nval-0.tar", range(3), label=lambda i: "dog")
    with pytest.raises(DataError, match=r"class `dog` of nval-\*\.tar is not in"):
        data(here, 'shards("ntrain-*.tar", test="nval-*.tar")')


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a tar file|has no samples"),
        (b"PK not a tar at all" * 100, "not a tar file"),
        (None, "no samples"),
    ],
)
def test_shards_that_cannot_be_read_are_named(here: Path, content: bytes | None, words: str) -> None:
    if content is None:
        write_tar(here / "train-2.tar", range(0))
    else:
        (here / "train-2.tar").write_bytes(content)
    with pytest.raises(DataError, match=f"train-2.tar.*({words})"):
        data(here)


def test_a_size_beyond_any_file(here: Path) -> None:
    whole = bytearray((here / "train-2.tar").read_bytes())
    whole[124:136] = b"\x80" + (2**80).to_bytes(11, "big")
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole[:512])
    (here / "train-2.tar").write_bytes(whole)
    with pytest.raises(DataError, match=r"train-2\.tar is not a tar file as it should be"):
        data(here)


def test_more_classes_than_can_be_named(here: Path) -> None:
    """A damaged number is no reason to list all below it."""
    write_tar(here / "train-3.tar", range(3), lambda i: str(10**15))
    with pytest.raises(DataError, match="1000000000000000 as its targets, too many for classes"):
        data(here)


def test_a_shard_that_was_cut_off_and_a_sample_without_a_class(here: Path) -> None:
    whole = (here / "train-3.tar").read_bytes()
    (here / "train-3.tar").write_bytes(whole[: len(whole) // 2 + 700])
    with pytest.raises(DataError, match=r"train-3\.tar"):
        data(here)
    write_tar(here / "train-3.tar", range(3))
    with pytest.raises(DataError, match=r"sample `part/00000` has no `.y`; it has png, cls, json"):
        data(here, 'shards("train-*.tar", test="val-*.tar", label="y")')


def test_parquet_is_read_by_row_groups(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name, numbers in (("train-0", range(10)), ("train-1", range(10, 25)), ("val-0", range(5))):
        cells = [{"bytes": png(i), "path": None} for i in numbers]
        table = arrow.table({"image": cells, "label": [i % 3 for i in numbers]})
        parquet.write_table(table, tmp_path / f"{name}.parquet", row_group_size=6)
    found = data(tmp_path, 'shards("train-*.parquet", test="val-*.parquet")')
    assert found.train.shards == (6, 4, 6, 6, 3)
    (pixels,), target = found.train.take(torch.tensor([24, 0, 9, 10]))
    assert (pixels[:, 0, 0, 0] * 255).round().tolist() == [24, 0, 9, 10]
    assert target.tolist() == [0, 0, 0, 1]
    with pytest.raises(DataError, match="has no column `photo`; it has `image`, `label`"):
        data(tmp_path, 'shards("train-*.parquet", test="val-*.parquet", image="photo")')
    for damaged in (b"PAR1 nothing", b"PAR1" + bytes(100) + b"PAR1", b"PAR1" + bytes(96) + b"d\0\0\0PAR1"):
        (tmp_path / "train-1.parquet").write_bytes(damaged)
        with pytest.raises(DataError, match=r"train-1\.parquet is not a parquet file") as error:
            data(tmp_path, 'shards("train-*.parquet", test="val-*.parquet")')
        assert str(error.value).isprintable()


def row_groups(file: Path, numbers: range, rows: int) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = [{"bytes": png(i), "path": None} for i in numbers]
    table = arrow.table({"image": cells, "label": [i % 3 for i in numbers]})
    parquet.write_table(table, file, row_group_size=rows)


def test_decoded_row_groups_are_kept_up_to_some_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch takes from no more groups than are kept: each is decoded once in an epoch."""
    row_groups(tmp_path / "train-0.parquet", range(60), 6)
    row_groups(tmp_path / "val-0.parquet", range(5), 5)
    monkeypatch.setattr(shards, "DECODED", shards.Decoded())
    files = 'shards("train-*.parquet", test="val-*.parquet")'
    size = max(s.size for s in data(tmp_path, files).train.read.__self__.open.shards)
    monkeypatch.setattr(shards, "KEPT", 3 * size)
    split = data(tmp_path, files).train
    assert split.lanes == 3
    decoded = list[int]()
    column = shards._column
    monkeypatch.setattr(shards, "_column", lambda group: decoded.append(group.number) or column(group))
    order = EpochSampler(0, 60, 20, shards=split.shards, lanes=split.lanes)
    seen = [split.take(order.at(step, torch.arange(20)))[0][0] for step in range(3)]
    assert sorted((torch.cat(seen)[:, 0, 0, 0] * 255).round().tolist()) == [*range(60)]
    assert len(decoded) <= 10 + 2 * 3  # two lanes may share a group at their ends
    assert sum(c.nbytes for c in shards.DECODED.columns.values()) <= shards.KEPT


def test_a_file_that_was_written_again_is_not_read_as_it_was(tmp_path: Path) -> None:
    row_groups(tmp_path / "val-0.parquet", range(5), 5)
    files, first = 'shards("train-*.parquet", test="val-*.parquet")', list[DataSet]()
    for k in (0, 100):
        row_groups(tmp_path / "train-0.parquet", range(k, k + 6), 6)
        os.utime(tmp_path / "train-0.parquet", ns=(k, k))
        first.append(data(tmp_path, files))
        (pixels,), _ = first[-1].train.take(torch.tensor([2]))
        assert round(float(pixels[0, 0, 0, 0]) * 255) == k + 2
    shards.DECODED.columns.clear()
    with pytest.raises(DataError, match=r"train-0\.parquet was written while it is read"):
        first[0].train.take(torch.tensor([2]))
