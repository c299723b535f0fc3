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
