"""Options of the wrong kind, of every command: refused in words, and no file is written that was not meant."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from netdsl.cli.main import COMMANDS, MAY_BE_EMPTY, _parser, main

SPEC = "net M {\n  input image [1, 8, 8]\n  gap -> linear(10)\n}\n"
NUMBERS = ("-1", "nan", "inf", "1e999", "x", "1.5.2")
"""Taken by no option that is a number."""


def options(*, numbers: bool) -> Iterator[tuple[str, str]]:
    """Every command with each of its options that takes a value."""
    for command in COMMANDS:
        for action in _parser(command, import_module(f"netdsl.cli.{command}"))._actions:
            if action.option_strings and action.nargs is None and (not numbers or action.type is not None):
                yield command, action.option_strings[-1]


def types() -> Iterator[tuple[str, str, object]]:
    for command, option in options(numbers=True):
        parser = _parser(command, import_module(f"netdsl.cli.{command}"))
        yield from ((command, option, a.type) for a in parser._actions if option in a.option_strings)


def test_every_number_has_a_range() -> None:
    assert [o for o in types() if o[2] in (int, float)] == []
    assert len(list(types())) >= 20


@pytest.mark.parametrize(("command", "option", "read"), list(types()))
def test_what_is_no_number_is_refused(command: str, option: str, read: Callable[[str], object]) -> None:
    """Of the type alone: commands read their arguments before anything else."""
    for value in NUMBERS:
        with pytest.raises(argparse.ArgumentTypeError, match="number"):
            read(value)


def test_an_empty_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command, option in options(numbers=False):
        if option not in MAY_BE_EMPTY:
            for given in ([option, ""], [f"{option}="], [f"{option}=--"]):
                assert main([command, "a.net", *given]) == 2, (command, given)
                assert f"`{option}` has " in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "diff a.net b.net", "compare runs", "view a.net", "view a.net --diff b.net", "probe a.net",
        "weights a.net w.safetensors", "lift m.onnx", "lift m.onnx -o c.net --weights", "recipe a.net --png",
        "weights a.net w.safetensors --stub", "predict run a.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["a.net", "photograph.jpg"])
def test_no_output_takes_the_place_of_a_file_of_another_kind(
    command: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "lift m.onnx" and target == "a.net":
        return  # writes specs
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for name in ("a.net", "b.net", target):
        Path(name).write_text(SPEC)
    words = command.split()
    given = [*words, target] if words[-1].startswith("--") else [*words, "-o", target]
    assert main(given) == 2
    assert target in capsys.readouterr().err or command.startswith("predict")
    assert Path(target).read_text() == SPEC


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("view a.net --diff a.net", "--depth 2"),
        *(("verify m.onnx", o) for o in ("-p k=3", "--size H=8", "--opset 18", "--target portable")),
        *(("train --resume run", o) for o in ("-p k=3", "--size H=8", "--seed 0", "-o x", "--data d", "--recipe R")),
        *(("profile run", o) for o in ("-p k=3", "--size H=8", "--data digits", "--recipe R", "--set epochs=3")),
        *(("probe run", o) for o in ("-p k=3", "--size H=8", "--recipe R", "--set epochs=3")),
        *(("compile run", o) for o in ("-p k=3", "--size H=8", "--recipe R", "--set epochs=3", "--weights w.pth")),
        *(("compile a.net", o) for o in ("--map m", "--inside k", "--exclude k", "--partial", "--channels sum")),
        ("experiment a.net --plan", "--format text"),
    ],
)  # fmt: skip
def test_an_option_that_would_change_nothing_is_refused(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.net").write_text(SPEC)
    Path("run").mkdir()
    Path("run", "run.json").write_text("{}")
    assert main([*command.split(), *option.split()]) == 2
    assert f"`{option.split()[0]}`" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["a.net", "run"]
