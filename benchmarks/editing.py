"""CPU time of the language server after one key, over the zoo and in a file of 1,000 lines. Bars in brackets.

Garbage is collected between keys, as the server does when nothing is typed for a moment; that is told apart.

python benchmarks/editing.py [keys in each file]
"""

from __future__ import annotations

import gc
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from netdsl.checks.unchanged import Memory
from netdsl.garbage import collect_on_request
from netdsl.loader import zoo
from netdsl.lsp.analysis import Analysis
from netdsl.lsp.hints import glance_at
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.syntax import ast

LINES = 1000
COLLECTED: list[float] = []
KEYS = "abcx12 (),{}\n="


def long_spec(lines: int = LINES) -> str:
    """A spec of at least so many lines: specs of the zoo that import nothing, their names made distinct."""
    text = ""
    for number, path in enumerate(zoo().values()):
        piece = Path(path).read_text()
        if "import" not in piece and text.count("\n") < lines:
            found = Spec(Source(piece), lambda *_: None).module.file.declarations
            names = {d.name.id for d in found if not isinstance(d, ast.Import | ast.Expect)}
            text += re.sub(rf"\b({'|'.join(sorted(names))})\b", rf"\1_{number}", piece) + "\n"
    return text


def edited(text: str, random: Random, keys: int) -> Iterator[tuple[int, str]]:
    """Texts that differ by one key from the one before, and its offset: it is typed at a random place, then deleted."""
    for _ in range(keys):
        at = random.randrange(len(text))
        yield at, text[:at] + random.choice(KEYS) + text[at:]
        yield at, text


def after_keys(text: str, name: str, keys: int) -> list[float]:
    """Milliseconds of CPU for the check of a whole file after each key."""
    memory = Memory()
    Analysis(Source(text, name), {}, memory).run()
    taken = []
    for _, draft in edited(text, Random(0), keys):
        begun = time.process_time()
        Analysis(Source(draft, name), {}, memory).run()
        taken.append(1000 * (time.process_time() - begun))
        collect()
    return taken


def collect() -> None:
    """Collect the garbage of a key."""
    begun = time.process_time()
    gc.collect()
    COLLECTED.append(1000 * (time.process_time() - begun))


def first_hints(text: str, name: str, keys: int) -> list[float]:
    """Milliseconds of CPU for the hints of the net or block that a key was typed in, before the file is checked."""
    taken = []
    for at, draft in edited(text, Random(0), keys):
        begun = time.process_time()
        glance_at(Analysis(Source(draft, name), {}), at, {})
        taken.append(1000 * (time.process_time() - begun))
        collect()
    return taken


def shown(what: str, taken: list[float], bar: int | str) -> None:
    """Print the median and the 95th percentile."""
    taken = sorted(taken)
    middle, late = taken[len(taken) // 2], taken[int(0.95 * len(taken))]
    print(f"{what}: median {middle:.0f} ms, p95 {late:.0f} ms, largest {taken[-1]:.0f} ms ({bar})", flush=True)


def main(keys: int) -> None:
    collect_on_request()
    text = long_spec()
    shown(f"{text.count(chr(10)):,} lines after one key", after_keys(text, "long.net", keys), 150)
    specs = {path: Path(path).read_text() for path in zoo().values()}
    shown("zoo, whole file", [t for p, s in specs.items() for t in after_keys(s, p, max(1, keys // 20))], 250)
    shown("zoo, net under the cursor", [t for p, s in specs.items() for t in first_hints(s, p, max(1, keys // 20))], 50)
    shown("garbage of a key", COLLECTED, "between keys")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
