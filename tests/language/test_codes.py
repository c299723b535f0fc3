"""The table of diagnostic codes: complete, without leftovers, and with examples that give what they say."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest
from paths import ROOT

from netdsl.cli.main import main
from netdsl.diagnostics.codes import TABLE
from netdsl.diagnostics.codes.code import Code
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.plugins.known import LOADED
from netdsl.plugins.loading import unload
from netdsl.source import Source

MAKERS = {"fault", "Diagnostic", "diagnostic", "say", "_say", "found", "warning", "error"}
MAKERS |= {
    "UserError",
    "DataError",
    "CheckpointError",
    "WriteError",
    "ReaderDied",
    "WeightsError",
    "ExportError",
    "__init__",
}
"""Functions whose first or second argument is a code."""

WORD = re.compile(r"[a-z]+(-[a-z]+)+|syntax|requirement|indivisible|misplaced|undecided|opset|unreadable")


def used() -> dict[str, str]:
    """Every code that the package gives, and where."""
    codes: dict[str, str] = {}
    for path in (ROOT / "netdsl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                given = [k.value for k in node.keywords if k.arg == "code"]
                given += node.args[:2] if function in MAKERS else []
                for value in given:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str) and WORD.fullmatch(value.value):
                        codes[value.value] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return codes


def test_every_code_is_in_the_table() -> None:
    missing = {code: where for code, where in used().items() if code not in TABLE}
    assert not missing, "add them to netdsl/diagnostics/codes"


def test_every_entry_is_used() -> None:
    text = "\n".join(p.read_text() for p in (ROOT / "netdsl").rglob("*.py") if "codes" not in p.parts)
    assert not [code for code in TABLE if f'"{code}"' not in text]


def codes_of(text: str) -> set[str]:
    return {d.code for d in Spec(Source(text, "example.net"), read_import).diagnostics}


WRITTEN = [c for c in TABLE.values() if c.wrong and not c.wrong.startswith("$ ")]
TYPED = [c for c in TABLE.values() if c.wrong.startswith("$ ")]
SLOW = {"changed-experiment"}
"""Those that start processes."""


def test_every_code_has_an_example_or_says_why_it_has_none() -> None:
    assert not [code.name for code in TABLE.values() if bool(code.wrong) == bool(code.unshown)]
    assert not [code.name for code in TABLE.values() if code.unshown and (code.right or code.files)]


def run(lines: str) -> list[int]:
    """The exit codes of command lines."""
    return [main(shlex.split(line)[2:]) for line in lines.splitlines()]


@pytest.mark.parametrize(
    "code", [pytest.param(c, marks=[pytest.mark.slow] if c.name in SLOW else [], id=c.name) for c in TYPED]
)
def test_examples_of_command_lines(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name, text in code.files:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    known = {*LOADED}
    try:
        *prepared, last = run(code.wrong)
        shown = capsys.readouterr()
        assert (f"[{code.name}]" in shown.err + shown.out, bool(last), any(prepared)) == (True, True, False)
        assert not any(run(code.right))
    finally:
        for plugin in {*LOADED} - known:
            unload(plugin)


@pytest.mark.parametrize("code", WRITTEN, ids=lambda c: c.name)
def test_examples(code: Code) -> None:
    assert code.name in codes_of(code.wrong), codes_of(code.wrong)
    assert not codes_of(code.right)
