"""Builds the page: `python playground/build.py OUT` leaves a folder in OUT that any static server can serve.

The packages of npm come from package.json, the wheels of lark and msgspec from the index of pip in the versions of
constraints.txt, and netdsl from this checkout.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PLATFORM = "pyemscripten_2026_0_wasm32"
"""What wheels for the CPython of this Pyodide are called."""

NO_PACKAGES = 3
"""The exit code where npm or pip cannot give the packages that the page needs."""

NPM = ("npm", "install", "--no-audit", "--no-fund", "--loglevel=error")


def build(out: Path) -> None:
    """Build the page into a folder."""
    with open(HERE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the packages are shared by all builds of a checkout
        installed = HERE / "node_modules" / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < (HERE / "package.json").stat().st_mtime:
            _fetch(NPM)
            installed.touch()
        wheels = _wheels()
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=ROOT, check=True)
    own = next(out.glob("netdsl-*.whl")).rename(out.with_name(f"{out.name}.zip"))
    try:
        subprocess.run(["node", HERE / "build.mjs", out, own, *wheels], check=True)
    finally:
        own.unlink()


def _fetch(command: Sequence[str | Path]) -> None:
    """Run what downloads packages, here."""
    if subprocess.run(command, cwd=HERE).returncode:
        print("the packages of the page cannot be downloaded", file=sys.stderr)
        sys.exit(NO_PACKAGES)


def _wheels() -> list[Path]:
    """The wheels that netdsl needs in a browser, downloaded once."""
    wanted = re.findall(r"^((?:lark|msgspec)==\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    folder = HERE / "wheels" / "-".join(wanted)
    if not folder.exists():
        draft = folder.with_name("draft")
        shutil.rmtree(draft, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--platform", PLATFORM, "--python-version", "3.14", "--abi", "cp314"]
        _fetch([*command, "--dest", draft, *wanted])
        draft.rename(folder)
    return sorted(folder.glob("*.whl"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python playground/build.py OUT")
    build(Path(sys.argv[1]).absolute())
