"""Data sets in their real formats, made here byte by byte; what is malformed is answered in words."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from paths import SPECS
from PIL import Image
from recipe_harness import recipe

from netdsl.inference.columns import Input
from netdsl.inference.images import images_below
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.data.fit import fit, held_out, resize, statistics, with_noise
from netdsl.training.readers import read
from netdsl.training.readers.graph import for_the_net
from netdsl.training.readers.taken import taken

RNG = np.random.default_rng(0)


def data(text: str, base: Path, shape: tuple[int, ...] = (3, 32, 32), outputs: int = 10) -> DataSet:
    return read(recipe(f"data = {text}").data, base, shape, outputs)


def test_digits_are_split_evenly_and_the_same_every_time() -> None:
    found = data("digits", Path())
    assert (len(found.train), len(found.test)) == (1438, 359)
    counts = torch.bincount(found.test.target)
    assert int(counts.min()) >= 34
    assert torch.equal(found.test.target, data("digits", Path()).test.target)
    rows = {tuple(r.flatten().tolist()) for r in found.test.inputs[0]}
    assert sum(tuple(r.flatten().tolist()) in rows for r in found.train.inputs[0]) <= 5  # a few digits occur twice


def test_cifar_in_its_binary_version(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(10, dtype=np.uint8)
    for i in range(6):
        name = f"data_batch_{i}.bin" if i else "test_batch.bin"
        (tmp_path / name).write_bytes(b"".join(bytes([labels[k]]) + pixels[k].tobytes() for k in range(10)))
    (tmp_path / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(10)) + "\n\n")
    found = data('cifar10(".")', tmp_path)
    assert (len(found.train), len(found.test), found.classes[3]) == (50, 10, "class3")
    assert torch.equal(found.test.inputs[0], torch.from_numpy(pixels))
    assert found.test.target.tolist() == list(range(10))
    (tmp_path / "test_batch.bin").write_bytes(b"123")
    with pytest.raises(DataError, match="records of 3073 bytes"):
        data('cifar10(".")', tmp_path)
    with pytest.raises(DataError, match="no file"):
        data('cifar100(".")', tmp_path)


def test_cifar100_has_two_kinds_of_labels(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.bin").write_bytes(b"".join(bytes([k % 20, k]) + bytes(3072) for k in range(40)))
    assert data('cifar100(".")', tmp_path).train.target.tolist() == list(range(40))
    coarse = data('cifar100(".", labels=coarse)', tmp_path)
    assert coarse.train.target.tolist() == [k % 20 for k in range(40)]
    assert len(coarse.classes) == 20


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_mnist_in_idx_files_compressed_or_not(tmp_path: Path) -> None:
    pixels, labels = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8), np.arange(7, dtype=np.uint8)
    for stem in ("train", "t10k"):
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))
    found = data('mnist(".")', tmp_path)
    assert torch.equal(found.train.inputs[0][:, 0], torch.from_numpy(pixels))
    assert found.test.target.tolist() == list(range(7))
    assert data('fashion_mnist(".")', tmp_path).classes[5] == "sandal"
    for broken in (b"", idx(labels)[:-1], b"\0\0\x08\x03" + b"\xff" * 12, b"\x1f\x8bnot gzip"):
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(broken)
        with pytest.raises(DataError, match=r"idx|says"):
            data('mnist(".")', tmp_path)


def test_an_idx_file_whose_compressed_bytes_are_damaged_or_go_on(tmp_path: Path) -> None:
    pixels = np.arange(6 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(6, 28, 28)
    whole = bytearray(gzip.compress(idx(pixels)))
    whole[12:16] = b"\xff" * 4
    endless = gzip.compress(idx(pixels) + bytes(10**7))
    for content, said in ((bytes(whole), "whole gzip file"), (endless, "and holds more")):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(DataError, match=said):
            data('mnist(".")', tmp_path)


def test_npz_files_and_no_pickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=RNG.random((50, 4)).astype(np.float64), y=RNG.random(50))
    found = data('npz("a.npz", test=0.1)', tmp_path)
    assert (found.task, len(found.train), len(found.test)) == ("numbers", 45, 5)
    assert found.train.target.shape == (45, 1)
    np.savez(tmp_path / "b.npz", x=np.zeros((6, 2)), y=np.arange(6), x_test=np.zeros((3, 2)), y_test=np.arange(3))
    assert data('npz("b.npz")', tmp_path).classes == tuple("012345")
    np.savez(tmp_path / "c.npz", x=np.array([{"a": 1}], dtype=object), y=np.arange(1))
    (tmp_path / "d.npz").write_bytes(pickle.dumps({"x": 1}))
    np.savez(tmp_path / "e.npz", x=np.zeros((6, 2)), y=np.arange(5))
    np.savez(tmp_path / "f.npz", y=np.arange(5))
    for name, words in (
        ("c", "plain arrays"),
        ("d", "plain arrays"),
        ("e", "rows"),
        ("f", "no array `x`"),
        ("g", "no file"),
    ):
        with pytest.raises(DataError, match=words):
            data(f'npz("{name}.npz")', tmp_path)


def write_folder(root: Path) -> None:
    for split in ("train", "val"):
        for c, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                array = np.full((20 + 4 * i, 30, 3), 60 + 120 * c, dtype=np.uint8)
                Image.fromarray(array).save(root / split / name / f"{i}.png")


def test_images_are_listed_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """Folders of any depth, hidden ones too; no other files, no hidden ones, nothing behind links to folders."""
    random = Random(0)
    for i in range(200):
        folder = tmp_path.joinpath(*random.choices(["a", "b", "a b", "B", "a-1", ".h"], k=random.randrange(4)))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{random.choice('abX.')}{i % 40}{random.choice(['.png', '.JPG', '.txt', ''])}").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "a")
    every = (Path(where) / name for where, _, names in os.walk(tmp_path) for name in names)
    wanted = sorted(p for p in every if p.suffix.lower() in (".png", ".jpg") and not p.name.startswith("."))
    assert images_below(tmp_path) == [str(p) for p in wanted if not p.is_dir()]
    assert len(wanted) > 40
    assert images_below(tmp_path / "nowhere") == []


def test_image_folders_are_resized_and_cut(tmp_path: Path) -> None:
    write_folder(tmp_path)
    streamed = data('imagefolder(".")', tmp_path, (3, 16, 16))
    assert streamed.classes == ("cat", "dog")
    assert streamed.train.inputs == ()
    assert streamed.train.target.tolist() == [0, 0, 0, 1, 1, 1]
    held = streamed.train.kept(6 * 3 * 16 * 16)
    everything = held.stored(torch.arange(6))[0]
    assert everything.shape == (6, 3, 16, 16)
    assert everything[5].unique().tolist() == [180]
    assert streamed.train.kept(6 * 3 * 16 * 16 - 1) is streamed.train
    index = torch.tensor([4, 0])
    assert torch.equal(streamed.train.take(index)[0][0], held.take(index)[0][0])
    (tmp_path / "train" / "cat" / "x.png").write_bytes(b"not an image")
    broken = data('imagefolder(".")', tmp_path, (3, 16, 16)).train
    with pytest.raises(DataError, match="not an image"):
        broken.take(torch.arange(7))
    with pytest.raises(DataError, match="no folder"):
        data('imagefolder("nothing")', tmp_path)


def test_mask_folders_keep_class_numbers(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        mask = RNG.integers(0, 3, (8, 8), dtype=np.uint8)
        Image.fromarray(np.repeat(mask[:, :, None] * 80, 3, 2)).save(tmp_path / split / "images" / "a.jpg", quality=100)
        Image.fromarray(mask).save(tmp_path / split / "masks" / "a.png")
    found = data('maskfolder(".")', tmp_path, (3, 16, 16))
    target = found.test.take(torch.tensor([0]))[1]
    assert target.shape == (1, 16, 16)
    assert torch.equal(target[0, ::2, ::2], torch.from_numpy(mask).long())
    assert data('maskfolder(".")', tmp_path, (3, 0, 0)).train.example()[0].shape == (1, 3, 8, 8)  # their own size
    (tmp_path / "val" / "masks" / "a.png").unlink()
    with pytest.raises(DataError, match=r"no mask for a.jpg"):
        data('maskfolder(".")', tmp_path, (3, 16, 16))


def test_texts_predict_the_next_character(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcd" * 50)
    found = data('text("a.txt", length=8)', tmp_path)
    assert found.classes == ("a", "b", "c", "d")
    assert torch.equal(found.train.inputs[0][:, 1:], found.train.target[:, :-1])
    assert found.train.target.numel() + found.test.target.numel() >= 180
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        data('text("a.txt")', tmp_path)


def test_graphs_are_zeros_and_ones_that_the_zoos_net_normalises_as_in_the_paper(tmp_path: Path) -> None:
    """Both directions of an edge written once or twice, and the diagonal; the net computes D^-1/2 (A + I) D^-1/2."""
    edges = np.array([[0, 1, 2, 1], [1, 2, 3, 0]])
    matrix = np.eye(4)
    matrix[edges[0], edges[1]] = matrix[edges[1], edges[0]] = 1
    np.savez(tmp_path / "g.npz", features=np.eye(4), edges=edges, labels=[0, 0, 1, 1], train=[True, False, False, True])
    found = for_the_net(data('graph("g.npz")', tmp_path), takes_edges=False)
    np.testing.assert_array_equal(found.train.inputs[1][0], matrix)
    scale = np.diag(matrix.sum(1) ** -0.5)
    net = Spec(load_source(SPECS / "gcn.net"), read_import).net("GCN", {"features": 4, "classes": 2})
    module = net.module(0).eval()
    weights = {n: p.detach().double().numpy() for n, p in module.named_parameters() if p.ndim == 2}
    first, second = weights.values()
    hidden = np.maximum(scale @ matrix @ scale @ np.eye(4) @ first.T, 0)
    with torch.no_grad():
        got = module(*(x for x in found.train.inputs))[0]
    np.testing.assert_allclose(got, scale @ matrix @ scale @ hidden @ second.T, rtol=1e-4, atol=1e-6)
    assert found.train.target.tolist() == [[0, -1, -1, 1]]
    assert found.test.target.tolist() == [[-1, 0, 1, -1]]
    np.savez(tmp_path / "g.npz", features=np.eye(4), edges=edges + 3, labels=[0, 0, 1, 1], train=[True] * 4)
    with pytest.raises(DataError, match="edge 0 joins the nodes 3 and 4"):
        data('graph("g.npz")', tmp_path)


def test_synthetic_images_have_the_nets_shape() -> None:
    found = data("synthetic(20, 10)", Path(), (3, 5, 7), 4)
    assert found.train.inputs[0].shape == (20, 3, 5, 7)
    assert set(found.train.target.tolist()) == {0, 1, 2, 3}


def test_a_margin_is_blank() -> None:
    plain, larger = data("digits", Path()), data("digits(margin=3)", Path())
    images = larger.train.inputs[0]
    assert images.shape[1:] == (1, 14, 14)
    assert torch.equal(images[:, :, 3:11, 3:11], plain.train.inputs[0])
    assert images.long().sum() == plain.train.inputs[0].long().sum()


@pytest.mark.parametrize("stored", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("integer", [False, True])
def test_arrays_are_whole_numbers_where_the_net_reads_such(stored: type, integer: bool, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=RNG.integers(0, 8, (10, 4)).astype(stored), y=np.arange(10))
    found, inputs = data('npz("a.npz")', tmp_path), (Input("x", integer, None),)
    if integer and stored is np.float32:
        with pytest.raises(DataError, match="takes whole numbers"):
            taken(found, inputs)
        return
    x = taken(found, inputs).train.inputs[0]
    assert x.dtype == (torch.int64 if integer else torch.uint8 if stored is np.uint8 else torch.float32)
    assert torch.equal(x.long(), found.train.inputs[0].long())


def digits() -> DataSet:
    return data("digits", Path())


@pytest.mark.parametrize(
    ("shape", "outputs", "words"),
    [
        ((3, 32, 32), 7, "7 outputs, `digits` has 10 classes"),
        ((100,), 10, "100 numbers"),
        ((1, 1, 8, 8), 10, "takes"),
    ],
)
def test_data_that_do_not_fit_are_refused(shape: Any, outputs: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit(digits(), shape, outputs)


def test_data_are_made_to_fit() -> None:
    large = fit(digits(), (3, "H", 16), 10)
    assert large.train.inputs[0].shape == (1438, 3, 8, 16)
    assert any("resized" in n for n in large.notes)
    flat = fit(digits(), (64,), 10)
    assert flat.train.inputs[0].shape == (1438, 64)
    images = digits().train.inputs[0][:4]
    expected = [Image.fromarray(p[0].numpy()).resize((32, 32), Image.Resampling.BILINEAR) for p in images]
    got = resize(images, (32, 32))[:, 0]
    for a, b in zip(got, expected, strict=True):
        assert np.abs(a.numpy().astype(int) - np.asarray(b).astype(int)).max() <= 1


def test_statistics_are_those_of_the_training_split() -> None:
    found = fit(digits(), (1, 8, 8), 10)
    mean, std = statistics(found.train, recipe("").standardize) or ((), ())
    pixels = found.train.inputs[0].numpy() / 255
    assert mean == pytest.approx([pixels.mean()], abs=1e-6)
    assert std == pytest.approx([pixels.std()], abs=1e-6)
    assert statistics(found.train, recipe("standardize = none").standardize) is None
    fixed = recipe("standardize = fixed([0.5], [0.25])").standardize
    assert statistics(found.train, fixed) == ((0.5,), (0.25,))


def test_splits_and_label_noise() -> None:
    train, held = held_out(digits(), 0.1, 3)
    assert (len(train), len(held)) == (1294, 144)
    assert torch.equal(train.target, held_out(digits(), 0.1, 3)[0].target)
    split = Split((torch.zeros(5000, 1),), torch.zeros(5000, dtype=torch.int64))
    noisy = with_noise(split, 0.4, 10, 7)
    changed = float((noisy.target != 0).float().mean())
    assert changed == pytest.approx(0.4 * 0.9, abs=0.02)  # a random label is the right one in one case of ten
    assert int(split.target.sum()) == 0
