"""What cannot fit is refused in words, with the bytes needed and there, before it is made."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe

from netdsl.cli.main import main
from netdsl.diagnostics import memory
from netdsl.inference.arrays import load_array
from netdsl.inference.images import open_image
from netdsl.training.data.dataset import DataError
from netdsl.training.errors import diagnosed
from netdsl.training.readers import read

HUGE = """
net Huge(classes=10_000_000) {
  input x [100_000]
  linear(classes)
}
recipe R for Huge { data = npz("a.npz") }
"""


@pytest.mark.parametrize("command", [["train", "--no-onnx", "-o", "run"], ["compile"]])
def test_weights_that_cannot_fit_are_refused_before_they_are_drawn(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "huge.net").write_text(HUGE)
    monkeypatch.chdir(tmp_path)
    assert main([command[0], "huge.net", *command[1:]]) == 1
    said = capsys.readouterr().err
    size = r"7,450.7 GiB" if command[0] == "train" else "3,725.3 GiB"
    assert f"of `Huge` take {size} of memory, and " in said
    assert "are free" in said
    assert "internal error" not in said
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_hint_is_of_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller micro-batch helps activations, not weights or the arrays of the data."""
    monkeypatch.setattr(memory, "available", lambda: 0)
    with pytest.raises(MemoryError) as weights:
        memory.check_room("the weights of `Huge`", 2**40)
    activations = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
    found = [diagnosed(e, "`micro_batch`") for e in (weights.value, MemoryError("an array"), activations)]
    hints = [d.hint or "" for d in found if d is not None]
    assert [("micro_batch" in h) for h in hints] == [False, False, True]
    assert hints[0] == "a smaller net needs less"


def test_check_says_nothing_of_memory(tmp_path: Path) -> None:
    (tmp_path / "huge.net").write_text(HUGE)
    assert main(["check", str(tmp_path / "huge.net")]) == 0


def declared(file: Path, shape: tuple[int, ...]) -> None:
    """A file whose `x` declares a shape and holds ten rows."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    y = io.BytesIO()
    np.save(y, np.zeros(10, np.int64))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(40))
        archive.writestr("y.npy", y.getvalue())


def test_rows_that_a_header_declares_and_a_file_does_not_hold(tmp_path: Path) -> None:
    declared(tmp_path / "a.npz", (1_000_000_000, 100))
    with pytest.raises(DataError, match=r"`x` declares 1,000,000,000 x 100 numbers, 372\.5 GiB, and the file holds"):
        read(recipe('data = npz("a.npz")').data, tmp_path, (100,), 10)


def test_arrays_that_do_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((100, 1000), np.float32), y=np.zeros(100, np.int64))
    monkeypatch.setattr("netdsl.inference.arrays.available", lambda: 1000)
    with pytest.raises(
        DataError, match=r"`x` declares 100 x 1,000 numbers, 400,000 bytes, and 1,000 bytes of memory are free"
    ):
        read(recipe('data = npz("a.npz")').data, tmp_path, (1000,), 10)


def test_rows_of_an_array_that_its_file_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`predict x.npy`: seen before memory is taken."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1_000_000_000, 100)}
    )
    (tmp_path / "x.npy").write_bytes(header.getvalue() + bytes(40))
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(DataError, match=r"the array declares 1,000,000,000 x 100 numbers, 372\.5 GiB, and the file"):
        load_array(tmp_path / "x.npy")


def of_many_rows(file: Path, column: str) -> None:
    """A parquet file of ten rows that says a billion: the numbers of rows are zigzag varints behind 0x16."""
    from pyarrow import parquet, table

    parquet.write_table(table({column: list(range(10)), "label": [0, 1] * 5}), file)
    data = file.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - length], data[-8 - length : -8]
    billion = bytes((2_000_000_000 >> 7 * i & 127) | (128 if i < 4 else 0) for i in range(5))
    footer = footer.replace(bytes((0x16, 20)), b"\x16" + billion)
    file.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert parquet.read_metadata(file).num_rows == 10**9


@pytest.mark.parametrize("source", ['table("a.parquet", target="label")', 'shards("a.parquet", test="a.parquet")'])
def test_rows_that_a_parquet_file_declares(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A billion equal rows take a few kilobytes in a file."""
    of_many_rows(tmp_path / "a.parquet", "image")
    monkeypatch.setattr("netdsl.inference.tables.available", lambda: 2**33)
    with pytest.raises(DataError, match=r"declares 1,000,000,000 rows of . columns, .* GiB, and 8\.0 GiB of memory"):
        read(recipe(f"data = {source}").data, tmp_path, (3, 8, 8), 2)


def test_pixels_that_an_idx_file_declares(tmp_path: Path) -> None:
    for stem, sizes in (("images-idx3", (10**9, 28, 28)), ("labels-idx1", (10**9,))):
        header = struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes)
        (tmp_path / f"train-{stem}-ubyte").write_bytes(header + bytes(7840))
    with pytest.raises(DataError, match=r"declares 1,000,000,000 x 28 x 28 bytes, and holds 7,840"):
        read(recipe('data = mnist(folder=".")').data, tmp_path, (1, 28, 28), 10)


def test_ten_million_classes_are_counted_before_they_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((10, 4), np.float32), y=np.array([0] * 9 + [9_999_999]))
    with pytest.raises(DataError, match="whole numbers up to 9999999 as its targets, too many for classes"):
        read(recipe('data = npz("a.npz")').data, tmp_path, (4,), 3)


def test_a_image_that_declares_too_many_pixels(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "cat" / "a.png")
    good = (tmp_path / "train/cat/a.png").read_bytes()
    head = good[12:16] + struct.pack(">II", 65_535, 65_535) + good[24:29]
    many = good[:12] + head + struct.pack(">I", zlib.crc32(head)) + good[33:]
    (tmp_path / "train/cat/b.png").write_bytes(many)
    split = read(recipe('data = imagefolder(".")').data, tmp_path, (3, 8, 8), 1).train
    with pytest.raises(DataError, match=r"b\.png is not an image that can be read: it has more than [\d,]+ pixels$"):
        split.take(torch.tensor([1]))


def test_a_large_image_is_read_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(tmp_path / "a.png", 3).size == (8, 8)


def test_free_memory_is_what_the_system_or_a_container_leaves() -> None:
    free = memory.available()
    assert free is None or 2**20 < free < 2**50
    assert memory.said(3 * 2**30) == "3.0 GiB"
    assert memory.said(2**20) == "1.0 MiB"
