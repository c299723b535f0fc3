"""Pages that a test follows as a reader does: files are written, commands run in one shell, outputs are compared."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r'^```([\w-]+)(?: title="([^"]+)")?[^\n]*\n(.*?)^```$', re.MULTILINE | re.DOTALL)
END = "@@@"


class Block(NamedTuple):
    """A block of code of a page; `title` is the name of the file that it is saved as."""

    language: str
    title: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page in their order."""
    return (Block(m[1], m[2] or "", m[3]) for m in BLOCK.finditer(page))


def said(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a block and what the page says that it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.rstrip("\n")


class Shell:
    """One shell in a folder; what a command sets is there for the next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        pipe, command = subprocess.PIPE, ["bash", "--norc"]
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment
        )

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command and all that it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\ncode=$?; echo; echo {END}$code\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), "".join(lines).rstrip("\n")
            lines.append(line)
        raise AssertionError(f"the shell ended at `{command}`")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
