"""Texts as tokens: by table, piece by piece, one byte a character where that holds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from recipe_harness import recipe

from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.readers import read, text


def read_text(file: Path, length: int = 4) -> DataSet:
    word = recipe(f'data = text("{file.name}", length={length})').data
    return read(word, file.parent, (0,), 1)


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 2**20])
def test_tokens_are_the_characters_numbers(tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters of one to four bytes, cut anywhere."""
    monkeypatch.setattr(text, "PIECE", piece)
    written = "añ€😀 b\n\r\nz" * 20
    (tmp_path / "a.txt").write_bytes(written.encode())
    data = read_text(tmp_path / "a.txt")
    letters = sorted(set(written))
    assert list(data.classes) == letters
    numbers = torch.tensor([letters.index(c) for c in written])
    inputs, target = data.train.take(torch.arange(len(data.train)))
    assert inputs[0].dtype == target.dtype == torch.int64
    count = target.numel()
    assert torch.equal(inputs[0].flatten(), numbers[:count])
    assert torch.equal(target.flatten(), numbers[1 : count + 1])


def test_a_character_takes_one_byte_or_two(tmp_path: Path) -> None:
    """Inputs and targets share their memory."""
    for letters, dtype in ((100, torch.int8), (200, torch.int16)):
        (tmp_path / "a.txt").write_text("".join(map(chr, range(0x400, 0x400 + letters))) * 20)
        data = read_text(tmp_path / "a.txt")
        own, target = data.train.inputs[0], data.train.target
        assert own.dtype == target.dtype == dtype
        assert own.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()
        assert own.untyped_storage().nbytes() == 20 * letters * dtype.itemsize


@pytest.mark.parametrize("piece", [1, 4, 2**20])
@pytest.mark.parametrize(("tail", "at"), [(b"\xff", 41), (b"\xe2\x82", 41), (b"\xe2\x82x", 41)])
def test_what_is_not_utf8_is_found_at_its_byte(
    tmp_path: Path, tail: bytes, at: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "PIECE", piece)
    (tmp_path / "a.txt").write_bytes(b"a" * 41 + tail)
    with pytest.raises(DataError, match=f"not UTF-8 text: .* at byte {at}"):
        read_text(tmp_path / "a.txt")


def test_bytes_are_tokens_of_any_file(tmp_path: Path) -> None:
    written = "añ€\n".encode() * 20 + b"\xff"
    (tmp_path / "a.txt").write_bytes(written)
    word = recipe('data = text("a.txt", length=4, tokens=bytes)').data
    data = read(word, tmp_path, (0,), 1)
    inputs, target = data.train.take(torch.arange(len(data.train)))
    assert inputs[0].flatten().tolist() == list(written[: target.numel()])
    assert target.flatten().tolist() == list(written[1 : target.numel() + 1])
    assert len(data.classes) == 256
    assert data.test.bytes_per_token == 1


def test_bytes_of_a_character_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("añ€😀" * 40)
    data = read_text(tmp_path / "a.txt")
    assert data.train.bytes_per_token == pytest.approx(2.5, abs=0.02)
    target = data.test.take(torch.arange(len(data.test)))[1].flatten()
    assert data.test.bytes_per_token == sum(len(data.classes[t].encode()) for t in target) / len(target)


def test_tokens_of_a_tokenizer_are_its_own(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    own = tokenizers.Tokenizer(tokenizers.models.BPE())
    own.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = tokenizers.decoders.ByteLevel()
    written = "the cat saw the hat, añ€😀\n" * 30
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    own.train_from_iterator([written], trainer)
    own.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "a.txt").write_text(written)
    word = recipe('data = text("a.txt", length=4, tokenizer="tokenizer.json")').data
    data = read(word, tmp_path, (0,), 1)
    ids = own.encode(written).ids
    inputs, target = data.train.take(torch.arange(len(data.train)))
    assert inputs[0].flatten().tolist() == ids[: target.numel()]
    assert [own.id_to_token(i) for i in range(len(data.classes))] == list(data.classes)
    tested = data.test.take(torch.arange(len(data.test)))[1].flatten().tolist()
    names = own.pre_tokenizer.alphabet()
    assert all(c in names for t in tested for c in own.id_to_token(t))  # a byte each
    bytes_of = [len(own.id_to_token(t)) for t in tested]
    assert data.test.bytes_per_token == pytest.approx(sum(bytes_of) / len(bytes_of), rel=1e-6)


def test_a_file_that_is_no_tokenizer_is_said(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "a.txt").write_text("abc " * 50)
    (tmp_path / "t.json").write_text("{}")
    for name, said in (("t.json", "no tokenizer"), ("none.json", "there is no file")):
        with pytest.raises(DataError, match=said):
            read(recipe(f'data = text("a.txt", tokenizer="{name}")').data, tmp_path, (0,), 1)
