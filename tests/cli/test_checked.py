"""Remembered checks: the same answer as a fresh one, and a fresh one whenever something it depends on has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import SPECS, TESTS

from netdsl import checked, pipeline
from netdsl.checked import Checked, check_source
from netdsl.loader import load_source
from netdsl.render.diagnostics import as_data, render_all
from netdsl.source import Source

MAIN = "from part import B\n\nnet A {\n  input x [3, 8, 8]\n  B(4)\n}\n"
PART = "block B(c) = conv(c, 3)\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NETDSL_CACHE", raising=False)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were really checked, one after the other."""
    seen: list[str] = []

    class Counting(pipeline.Spec):
        def __init__(self, source: Source, read: pipeline.Reader) -> None:
            seen.append(source.name)
            super().__init__(source, read)

    monkeypatch.setattr(pipeline, "Spec", Counting)
    return seen


def shown(found: Checked) -> tuple[object, ...]:
    return found.nets, found.recipes, [as_data(d) for d in found.diagnostics], render_all(found.diagnostics)


def test_an_unchanged_file_is_not_checked_again(tmp_path: Path, fresh: list[str]) -> None:
    (tmp_path / "part.net").write_text(PART)
    (tmp_path / "a.net").write_text(MAIN)
    first = check_source(load_source(tmp_path / "a.net"))
    assert shown(check_source(load_source(tmp_path / "a.net"))) == shown(first)
    assert len(fresh) == 1


def test_what_it_depends_on_is_checked_anew(tmp_path: Path, fresh: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> list[str]:
        return [d.code for d in check_source(load_source(tmp_path / "a.net")).diagnostics]

    (tmp_path / "a.net").write_text(MAIN)
    assert check() == ["unknown-module"]
    (tmp_path / "part.net").write_text(PART)
    assert check() == [], "the import is there now"
    (tmp_path / "part.net").write_text(PART.replace("conv(c, 3)", "conv(c, 9, padding=0)"))
    assert check() == ["kernel-too-large"]
    (tmp_path / "a.net").write_text(MAIN.replace("[3, 8, 8]", "[3, 9, 9]"))
    assert check() == []
    (tmp_path / "part.net").write_bytes(b"\xff\xfe")
    assert check() == ["not-utf8"]
    (tmp_path / "part.net").write_text(PART)
    assert check() == []
    assert len(fresh) == 6
    monkeypatch.setattr(checked, "_package", lambda: "another version")
    assert check() == []
    assert len(fresh) == 7


def test_a_damaged_entry_is_checked_anew(tmp_path: Path, fresh: list[str]) -> None:
    (tmp_path / "a.net").write_text("net A {\n  input x [3]\n  rleu\n}\n")
    first = check_source(load_source(tmp_path / "a.net"))
    for file in (tmp_path / "cache" / "netdsl").glob("checked-*"):
        file.write_bytes(b"\0" * 40)
    assert shown(check_source(load_source(tmp_path / "a.net"))) == shown(first)
    assert len(fresh) == 2


@pytest.mark.parametrize(
    "path", sorted([*SPECS.glob("*.net"), *(TESTS / "errors").glob("*.net")]), ids=lambda p: p.stem
)
def test_a_remembered_answer_is_the_fresh_one(path: Path, fresh: list[str]) -> None:
    source = load_source(path)
    assert shown(check_source(source)) == shown(check_source(source))
    assert fresh == [source.name]
