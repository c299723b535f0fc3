"""The time from a key to its hints in Chromium, over the specs of the zoo with one or two nets.

python playground/keys.py SITE [SPECS]    (SITE: the folder that `make playground` made; SPECS: every so many)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from netdsl.loader import load_source, read_import, zoo
from netdsl.pipeline import Spec

BAR = 150
HERE = Path(__file__).parent


class Quiet(SimpleHTTPRequestHandler):
    """A static server that prints nothing."""

    def log_message(self, format: str, *args: object) -> None: ...


def small(step: int) -> dict[str, str]:
    """The texts of the specs with one or two nets, by name."""
    specs = {name: load_source(path) for name, path in zoo().items()}
    few = {name: s.text for name, s in specs.items() if len(Spec(s, read_import).nets) <= 2}
    return dict(list(few.items())[::step])


def measured(site: str, step: int) -> dict[str, list[float]]:
    """Milliseconds from each key to its hints, by spec."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server,
        tempfile.NamedTemporaryFile("w", suffix=".json") as file,
    ):
        json.dump(small(step), file)
        file.flush()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        done = subprocess.run(["node", HERE / "drive.mjs", address, "keys", file.name], capture_output=True, text=True)
        server.shutdown()
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, list[float]] = json.loads(done.stdout)["seen"]
    return found


def main(site: str, step: int = 1) -> None:
    found = measured(site, step)
    for name, taken in found.items():
        print(f"{name:24} {' '.join(f'{t:5.0f}' for t in taken)}")
    every = sorted(t for taken in found.values() for t in taken)
    middle, late = every[len(every) // 2], every[int(0.95 * len(every))]
    print(f"{len(every)} keys in {len(found)} specs: median {middle:.0f} ms, p95 {late:.0f} ms ({BAR})")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
