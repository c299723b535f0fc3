"""The folder of things that can be made again: never an error, never trusted blindly, never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from netdsl import cache
from netdsl.source import Source
from netdsl.syntax.parse import parse


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NETDSL_CACHE", raising=False)
    return tmp_path / "netdsl"


def test_a_file_read_again_needs_no_lark(folder: Path) -> None:
    code = (
        "import sys; from netdsl.source import Source; from netdsl.syntax.parse import parse\n"
        "file, _ = parse(Source('A = [1, \"x\", 2 ** 70]  # c\\n', stored=True)); print('lark' in sys.modules, file)"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for _ in range(2)
    )
    assert first.startswith("True ")
    assert second == first.replace("True", "False", 1)


def test_a_damaged_entry_is_read_anew(folder: Path) -> None:
    source = Source("A = 1\n", stored=True)
    whole = parse(source)
    (entry,) = folder.glob("*.ast")
    good = entry.read_bytes()
    for damaged in (b"", b"junk", good[:-3], good[:-1] + b"\x00", good[:9] + b"\x93" + good[10:]):
        entry.write_bytes(damaged)
        assert parse(source) == whole
        assert entry.read_bytes() == good


def test_mistakes_are_not_kept(folder: Path) -> None:
    parse(Source("A = \n", stored=True))
    assert not list(folder.glob("*.ast")) if folder.exists() else True


def test_texts_that_are_being_edited_are_not_kept(folder: Path) -> None:
    parse(Source("A = 1\n"))
    assert not folder.exists()


def test_the_cache_can_be_turned_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETDSL_CACHE", "off")
    parse(Source("A = 1\n", stored=True))
    assert not folder.exists()


def test_a_folder_that_others_can_write_to_is_not_trusted(folder: Path) -> None:
    parse(Source("A = 1\n", stored=True))
    folder.chmod(0o777)
    assert cache.remembered(next(folder.glob("*.ast")).name) is None


def test_a_place_that_cannot_be_written_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not parse(Source("A = 1\n", stored=True))[1]


def test_the_folder_does_not_grow_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 10)
    for number in range(25):
        cache.remember(f"{number}.ast", b"x")
        os.utime(folder / f"{number}.ast", (number, number))
    names = {path.name for path in folder.iterdir()}
    assert len(names) <= 11
    assert "24.ast" in names
