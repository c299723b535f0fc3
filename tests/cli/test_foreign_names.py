"""Names of classes, files and runs as text: no control character reaches a terminal, none breaks a line or a card."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from netdsl.cli.eval import _lines
from netdsl.cli.main import main
from netdsl.cli.predict import _line
from netdsl.cli.training import show
from netdsl.publish.card import block, code
from netdsl.render.paint import named
from netdsl.render.table import Cell, columns, markdown
from netdsl.render.terminal import guarded, unguarded

NAMES = [
    "\x1b]0;title\x07", "\x1b[2J", "a\nb", "a\r\n# b", "\u202eb", "`", "a``b", "```", "|", "<script>alert(1)</script>",
    "", " ", "![x](javascript:y)", "\x00", "\x85", "\u2028", "cat", "\udc80",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_one_line_of_printable_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    guesses = [{"class": name, "probability": 1.0}]
    guess = {"sample": name, "guesses": guesses, "probabilities": {name: 1.0}, "mask": name}
    lines = [_line(guess), columns([[name], [Cell(name, "bold")]], "<"), markdown([name], [[name]], "<"), named(name)]
    lines += [
        *_lines({"n": 1, "loss": 0.0, "per_class": [1.0], "confusion": [[1]]}, (named(name),), "classes"),
        code(name),
    ]
    for line in lines:
        assert all(part.isprintable() for part in line.split("\n")), repr(line)
        assert line.count("\n") <= 2  # of the table's own rows
    show(f"a run in {name.splitlines()[0] if name.strip() else name}")
    assert capsys.readouterr().err.rstrip("\n").isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_code_in_a_card_ends_where_it_ends(name: str) -> None:
    """CommonMark: code goes from a run of backticks to the next run of that length."""
    fence = re.match("`+", code(name))
    assert fence is not None
    inside = code(name)[fence.end() : -fence.end()]
    assert fence.group() not in re.findall("`+", inside)
    assert code(name).endswith(fence.group())
    first, *rest, last = block([name])
    assert first == last
    assert not any(line.startswith(first) for line in rest)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("command", ["summary", "check"])
def test_a_spec_s_comments_and_name_steer_no_terminal(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "a\x1b]0;title\x07b.net"
    spec.write_text("# \x1b[2J\x1b[8m hidden \u202e \x9b31m\nnet A {\n  input x [4]\n  linear(2) -> linear(3)\n}\n")
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert main([command, str(spec)]) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert "hidden" in plain or command == "check"
    assert all(line.isprintable() for line in plain.split("\n")), repr(plain)
    assert "\x1b[8m" not in shown.getvalue()
    assert "\x1b[1m" in shown.getvalue() or command == "check"


def test_what_is_piped_is_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(sys.stdout) is sys.stdout
    terminal = Terminal()
    assert guarded(guarded(terminal)).write("a\x1b[2Kb\rc") == len("a\x1b[2Kb?c")
    assert unguarded(guarded(terminal)) is terminal
    assert terminal.getvalue() == "a\x1b[2Kb\N{REPLACEMENT CHARACTER}c"
