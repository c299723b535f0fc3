"""The tutorial, followed literally: from `pip install` of the wheel in an empty environment to the last command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from followed import Shell, blocks, said
from paths import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
MEASURED = ("netdsl train", "netdsl predict", "netdsl verify")
"""Commands whose numbers depend on the machine and its load: their words are compared, and their accuracy roughly."""

FAILS = ("netdsl check digits.net",)
"""What may end with 1: a check of mistakes that the page shows."""

NUMBER = re.compile(r"(?<![\w.])-?\d[\d,.]*(e[-+]\d+)?(?![\w])")
WAITING = re.compile(r"waiting for data \d+%|^\d+% of the training time .*\n", re.MULTILINE)
"""What is said only where the data are slower than the net."""

ACCURACY = re.compile(r"accuracy ([\d.]+)%")


def same(command: str, output: str, wanted: str) -> bool:
    if not command.startswith(MEASURED):
        return output == wanted
    close = all(
        abs(float(a) - float(b)) < 5 for a, b in zip(ACCURACY.findall(output), ACCURACY.findall(wanted), strict=True)
    )
    words = [re.sub(r" +", " ", NUMBER.sub("#", WAITING.sub("", text))) for text in (output, wanted)]
    return close and words[0] == words[1]


def share_packages(environment: Path) -> None:
    """The dependencies of the wheel are those of this environment: nothing is downloaded, and netdsl is not there."""
    (packages,) = environment.glob("lib/python*/site-packages")
    for older in packages.glob("setuptools*"):  # what `venv` adds before Python 3.12 is older than torch allows
        shutil.rmtree(older)
    (packages / "dependencies.pth").write_text(f"{Path(torch.__file__).parent.parent}\n")


def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    own = {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = Shell(tmp_path, {"PATH": path, **own})
    followed = 0
    try:
        for block in blocks(PAGE.read_text()):
            if block.title:
                (tmp_path / block.title).write_text(block.text)
            elif block.language == "console":
                for command, wanted in said(block.text):
                    code, output = shell.run(command)
                    assert same(command, output, wanted), f"$ {command}\n{output}\n\nthe page says:\n{wanted}"
                    assert code == 0 or (code == 1 and command in FAILS), (command, output)
                    followed += 1
                    if command.startswith("python3 -m venv "):
                        share_packages(tmp_path / command.rpartition(" ")[2])
        assert followed > 12
        assert shell.run("python -c 'import netdsl; print(netdsl.__file__)'")[1].startswith(str(tmp_path / "env"))
    finally:
        shell.close()
