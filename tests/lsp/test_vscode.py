"""The VS Code extension: its grammar colours the whole zoo, and npm packs it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from netdsl.loader import zoo

EXTENSION = Path(__file__).parent.parent.parent / "editors" / "vscode"
WORDS = re.compile(r"#[^\n]*|\"[^\"\n]*\"|[A-Za-z_]\w*|\d[\w.]*|->|[^\s\w]")


def test_its_files_are_json_and_stand_where_it_says() -> None:
    package = json.loads((EXTENSION / "package.json").read_text())
    contributed = package["contributes"]
    for path in (contributed["languages"][0]["configuration"], contributed["grammars"][0]["path"]):
        json.loads((EXTENSION / path).read_text())
    grammar = json.loads((EXTENSION / "syntaxes" / "netdsl.tmLanguage.json").read_text())
    patterns = re.findall(r'"(?:match)": "((?:[^"\\]|\\.)*)"', json.dumps(grammar))
    assert len(patterns) > 15
    for pattern in patterns:
        re.compile(json.loads(f'"{pattern}"'))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the extension with its packages from npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("vscode") / "extension"
    shutil.copytree(EXTENSION, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"npm could not install the extension's packages: {done.stderr[-300:]}")
    return folder


@pytest.mark.slow
def test_the_grammar_colours_the_whole_zoo(installed: Path) -> None:
    paths = list(zoo().values())
    command = ["node", "tokenize.mjs", *paths]
    done = subprocess.run(command, cwd=installed, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    for path in paths:
        for line, tokens in zip(Path(path).read_text().split("\n"), found[path], strict=True):
            scope = {at: name for start, end, name in tokens for at in range(start, end)}
            for match in WORDS.finditer(line):
                assert scope[match.start()] != "source.netdsl", f"{path}: nothing colours `{match[0]}` in: {line}"
                if match[0].startswith("#"):
                    assert scope[match.start()].startswith("comment")
                    break


@pytest.mark.slow
def test_npm_packs_it(installed: Path) -> None:
    done = subprocess.run(
        ["npm", "run", "package"], cwd=installed, capture_output=True, text=True, timeout=600, input="y\n"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = zipfile.ZipFile(installed / "netdsl.vsix").namelist()
    assert {"extension/client.js", "extension/syntaxes/netdsl.tmLanguage.json"} <= set(names)
    assert not [n for n in names if "node_modules" in n]
