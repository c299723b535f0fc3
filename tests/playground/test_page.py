"""The page: built, run under node, and driven in a browser. Skipped where npm or Chromium are not installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from netdsl.cli.main import main
from netdsl.loader import read_import, zoo
from netdsl.pipeline import Spec
from netdsl.source import Source

PLAYGROUND = Path(__file__).parent.parent.parent / "playground"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

NO_PACKAGES = 3
"""The exit code of a build that could not download its packages."""

HEAVIEST = 8_000_000
"""Bytes over the wire."""

SMALL = "net Small {\n  input image [3, 32, 32]\n  conv(16, 3) -> relu\n  flatten\n  linear(10)\n}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    out = tmp_path_factory.mktemp("playground") / "site"
    command = [sys.executable, PLAYGROUND / "build.py", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode == NO_PACKAGES:
        pytest.skip(f"the packages of the page cannot be had: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MB over the wire" in done.stdout.splitlines()[-1]
    return out


class Quiet(SimpleHTTPRequestHandler):
    """A static server that prints nothing."""

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The page, served on this machine."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def drive(address: str, scenario: str, *rest: str) -> Any:
    """What a scenario of drive.mjs has seen; the page must not have failed, nor asked any other server."""
    command = ["node", PLAYGROUND / "drive.mjs", address, scenario, *rest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["problems"] == []
    return found["seen"]


def commands(everything: bool) -> list[list[str]]:
    """The check of every spec of the zoo; summary and source of all nets, or of the first net of every third spec."""
    found = []
    for number, (name, path) in enumerate(zoo().items()):
        nets = Spec(Source(Path(path).read_text(), path), read_import).nets
        file = f"specs/{name}.net"
        found.append(["check", file, "--format", "json"])
        chosen = nets if everything else nets[:1] if number % 3 == 0 else ()
        found += [["compile", f"{file}:{net}", "--emit", "torch,summary", "--json"] for net in chosen]
    return found


def natively(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[Any]:
    shutil.rmtree("out", ignore_errors=True)
    code = main(arguments)
    files = {str(p): p.read_text() for p in sorted(Path("out").rglob("*.*"))}
    return [code, capsys.readouterr().out, files]


def compare(
    site: Path, everything: bool, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NETDSL_CACHE", "off")
    files = {f"specs/{name}.net": Path(path).read_text() for name, path in zoo().items()}
    (folder / "specs").mkdir()
    for name, text in files.items():
        Path(name).write_text(text)
    wanted = commands(everything)
    given = json.dumps({"site": str(site), "files": files, "commands": wanted})
    command = ["node", PLAYGROUND / "equal.mjs"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    for arguments, found in zip(wanted, json.loads(done.stdout), strict=True):
        assert found == natively(arguments, capsys), arguments


def test_python_in_the_page_gives_the_bytes_of_the_command_line(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(site, False, tmp_path, capsys, monkeypatch)


@pytest.mark.slow
def test_python_in_the_page_gives_the_bytes_of_the_command_line_for_all_nets(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(site, True, tmp_path, capsys, monkeypatch)


def test_a_visit(address: str) -> None:
    seen = drive(address, "visit")
    assert seen["start"]["status"].startswith("no mistakes · 1 net")
    assert "[32, 16, 16]" in seen["start"]["hints"]
    assert seen["broken"]["status"].startswith("1 mistake")
    assert seen["broken"]["marks"] == ["flaten"]
    assert seen["broken"]["hints"] == ["(448)", "[16, 32, 32]"]
    assert seen["mended"] == {"text": SMALL, "hints": ["(448)", "[16, 32, 32]", "[16384]", "[10] (163,850)"]}
    assert seen["typed"] == SMALL.replace("(10)", "(10) -> softmax") == seen["shared"]
    assert any("61,706 parameters" in lens for lens in seen["zoo"]["lenses"])
    assert "61.71 k" in seen["tabs"]["summary"]
    assert "nn.Conv2d(1, 6, 5)" in seen["tabs"]["torch"]
    assert seen["tabs"]["recipe"].startswith("LeNet5 by Digits")
    assert seen["tabs"]["problems"] == "No mistakes, no warnings."
    assert seen["linked"]["selected"].startswith("conv(16, 5")
    assert seen["linked"]["marked"][0].startswith("self.conv2 = ")
    assert seen["weight"] < HEAVIEST


def test_words_are_explained_and_completed(address: str) -> None:
    seen = drive(address, "words")
    assert "Convolution over the image" in seen["explained"]
    assert seen["offered"][0] == "maxpool"
    assert "conv(16, 3) -> relu -> maxpool\n" in seen["text"]


def test_a_check_over_its_time_is_stopped_and_the_text_is_kept(address: str) -> None:
    seen = drive(address, "stopped")
    assert "took more than" in seen["notice"]
    assert seen["kept"]
    assert seen["after"] == ["(448)", "[16, 32, 32]", "[16384]", "[10] (163,850)"]


def _doubled(first: str, step: str, count: int = 60) -> str:
    lines = [first, *(step.format(i=i, n=i + 1) for i in range(count))]
    return "\n".join(lines) + "\n"


def _net(body: str) -> str:
    return f"net N {{\n  input image [3, 8, 8]\n{body}\n}}\n"


HOSTILE = {
    "deep brackets": f"X = {'(' * 50_000}1{')' * 50_000}\n",
    "deep lists": f"X = {'[' * 50_000}{']' * 50_000}\n",
    "many braces": f"net N {'{' * 50_000}\n",
    "signs": f"X = {'-' * 50_000}1\n",
    "nots": f"X = {'not ' * 50_000}true\n",
    "power": "X = 10 ** 10 ** 8\n",
    "long number": f"X = {'9' * 500_000}\n",
    "text times": 'X = "a" * 1000000000\n',
    "list times": "X = [0] * 10000\nY = X * 10000\nZ = Y * 10000\n",
    "doubled list": _doubled("X0 = [1, 2]", "X{n} = X{i} + X{i}") + _net("  conv(len(X60), 3)"),
    "shared list": _doubled("X0 = [1, 2]", "X{n} = [X{i}, X{i}]") + _net("  conv(X60, 3)"),
    "doubled block": _doubled("block A0(c) = relu", "block A{n}(c) = A{i}(c) + A{i}(c)") + _net("  A60(3)"),
    "doubled arrow": _doubled("X0 = conv(3, 3)", "X{n} = X{i} -> X{i}") + _net("  X60"),
    "repeat": _net("  repeat 1000 { repeat 1000 { repeat 1000 { } } }\n  gap"),
    "loop": _net("  for i in range(10**12) { relu }\n  gap"),
    "comprehension": "X = [[[0 for i in range(10000)] for j in range(10000)] for k in range(10000)]\n",
    "recursion": "block R(n) {\n  if n > 0 { R(n - 1) -> R(n - 1) }\n  else { relu }\n}\n" + _net("  R(60)"),
    "no end": "block A(n) = B(n)\nblock B(n) = A(n)\n" + _net("  A(0)"),
    "long line": _net("  " + " -> ".join(["relu"] * 50_000)),
    "long sum": f"X = {' + '.join(['1'] * 50_000)}\n",
    "else": _net(f"  if false {{ relu }}{' else if false { relu }' * 5000}\n  gap"),
    "sizes": "net N {\n  input image [3, H, W]\n" + "  maxpool(2) -> upsample(3)\n" * 40 + "}\n",
    "periods": "net N {\n  input image [3, H, W]\n"
    + "".join(f"  it + (maxpool({p}) -> upsample({p}))\n" for p in (97, 89, 83, 79, 99991))
    + "}\n",
    "large": "#" + "x" * 3_000_000 + "\n",
    "lines": "\n" * 500_000,
}


@pytest.mark.slow
def test_the_page_survives_hostile_specs(address: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(HOSTILE))
    seen = drive(address, "hostile", str(path))
    assert seen.keys() == HOSTILE.keys()
    for name, found in seen.items():
        assert found["kept"], name
        assert found["status"].startswith(("stopped", "1 mistake", "no mistakes")), (name, found)
        assert found["after"].startswith("no mistakes · 1 net"), name
