"""How cost grows with size: CPU seconds and peak memory of a sweep, and the exponents between its sizes.

python benchmarks/growth.py [NAME ...]      all sweeps, or those whose names begin so

Every size runs in a process of its own. An exponent of 1 means that ten times the work costs ten times as much; the
bound stands in brackets. Memory is what the work adds to the process's peak.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import growth_work as work
from growth_texts import blank, grouped, inputs, residues, sized, unused


@dataclass(frozen=True)
class Sweep:
    """`prepare(size, folder)` gives the work to measure; `seconds`, `memory` bound the exponents that count. Work of
    the size `tiny` comes before it: what is imported and computed once does not count, unless it is `whole`."""

    what: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Callable[[], object]]
    tiny: int = 4
    seconds: float | None = None
    memory: float | None = None
    whole: bool = False


SWEEPS = {
    "extends": Sweep("a chain of recipes", (500, 1_000, 2_000), work.extends, seconds=1.2),
    "fmt-list": Sweep("a list in rows", (6_000, 12_000, 24_000), work.rows_of_numbers, seconds=1.2),
    "check": Sweep("written lines", (1_250, 2_500, 5_000), work.commanded("check"), seconds=1.2),
    "summary": Sweep("written lines", (1_250, 2_500, 5_000), work.commanded("summary"), seconds=1.2),
    "fmt-names": Sweep("that are aligned", (1_500, 3_000, 6_000), work.aligned, seconds=1.2),
    "fmt-lines": Sweep("written lines", (1_250, 2_500, 5_000), work.commanded("fmt", "--check"), seconds=1.2),
    "view": Sweep("written lines", (60, 240, 960), work.commanded("view", "-o", "OUT"), seconds=1.2),
    "terms": Sweep("of a flat sum", (2_500, 5_000, 10_000), work.terms, seconds=1.2),
    "files": Sweep("checked, of a net each", (50, 100, 200), work.nets, seconds=1.2),
    "residues": Sweep("of sizes, by rounds", (16, 32, 64), work.checked(residues), seconds=1.2),
    "groups": Sweep("of a recipe", (500, 1_000, 2_000), work.checked(grouped), seconds=1.2),
    "unused": Sweep("blocks", (1_500, 3_000, 6_000), work.checked(unused), seconds=1.2),
    "size": Sweep("named as its net, by lines", (250, 500, 1_000), work.checked(sized), seconds=1.2),
    "inputs": Sweep("of one net", (250, 500, 1_000), work.checked(inputs), seconds=1.2, memory=1.1),
    "weights": Sweep("in a row, by layers", (500, 1_000, 2_000), work.numbered, seconds=1.2),
    "diff": Sweep("of variants of variants", (100, 200, 400), work.variants_compared, seconds=1.2),
    "lift": Sweep("layers that differ", (100, 200, 400), work.lifted, seconds=1.2),
    "blank": Sweep("lines", (125_000, 250_000, 500_000), work.checked(blank), seconds=1.2),
    "unrolled": Sweep("steps of an RNN", (250, 500, 1_000), work.unrolled, seconds=1.2),
    "imports": Sweep("in a chain, by files", (15, 30, 60), work.imports, seconds=1.2),
    "emit-blocks": Sweep("equal blocks", (2_500, 5_000, 10_000), work.emission, seconds=1.2),
    "emit-lines": Sweep("written lines", (1_250, 2_500, 5_000), work.written, seconds=1.2),
    "export": Sweep("equal blocks to ONNX", (2_500, 5_000, 10_000), work.onnx_export, seconds=1.2),
    "evaluation": Sweep("of masks, by samples", (40, 80, 160), work.evaluation, memory=1.1),
    "report": Sweep(
        "of mistakes, by classes (samples: twice as many)", (1_000, 4_000, 16_000), work.report, memory=1.1
    ),
    "masks": Sweep("in files, by pixels", (256**2, 512**2, 1024**2), work.masks, 16**2, seconds=1.2, memory=1.1),
    **{
        name: Sweep(
            "of ten edges a node, by nodes",
            (1_000, 10_000, 100_000),
            partial(work.graph_of, spec),
            50,
            seconds=1.2,
            memory=1.1,
        )
        for name, spec in (
            ("graph-gcn", "gcn.net:GCN_Edges"),
            ("graph-gat", "gat.net:GAT_Edges"),
            ("graph-sage", "graphsage.net:GraphSAGE"),
        )
    },
    "train-resnet": Sweep("18 at 64 px, by batch", (8, 16, 32), work.resnet("ours"), memory=1.1, whole=True),
    "plain-resnet": Sweep("18 in a plain loop, by batch", (8, 16, 32), work.resnet("plain"), memory=1.1, whole=True),
    "text": Sweep("by characters", (10**6, 10**7, 10**8), work.text, 90_000, seconds=1.2, memory=1.1),
    "columns": Sweep("of a CSV file", (2_500, 5_000, 10_000), work.columns, seconds=1.2, memory=1.1),
    "checkpoint": Sweep("by parameters", (2**22, 2**24, 2**26), work.checkpoint, 2**20, seconds=1.2, memory=1.1),
    "order": Sweep(
        "of 100 steps, by samples in shards", (10**5, 10**6, 10**7), work.order, 10_000, seconds=0.5, memory=1.1
    ),
    "listing": Sweep("of images, by files", (1_000, 10_000, 100_000), work.listing, 10, seconds=1.2, memory=1.1),
}


def measured(name: str, size: int) -> tuple[float, float]:
    """CPU seconds, and bytes that are added to the peak."""
    about = SWEEPS[name]
    os.environ["NETDSL_CACHE"] = "off"
    if not about.whole:
        with tempfile.TemporaryDirectory() as folder:
            about.prepare(about.tiny, Path(folder))()
    with tempfile.TemporaryDirectory() as folder:
        work = about.prepare(size, Path(folder))
        before, began = 0 if about.whole else _peak(), time.process_time()
        work()
        return time.process_time() - began, _peak() - before


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def exponents(sizes: tuple[int, ...], costs: list[float]) -> list[float]:
    """The growth of cost between one size and the next."""
    grown = zip(pairwise(sizes), pairwise(costs), strict=True)
    return [math.log(max(d, 1e-9) / max(c, 1e-9)) / math.log(b / a) for (a, b), (c, d) in grown]


def sweep(name: str) -> None:
    """Measure every size in a process of its own and print a row for each."""
    about = SWEEPS[name]
    seconds: list[float] = []
    memory: list[float] = []
    print(f"\n{name} {about.what}")
    for size in about.sizes:
        done = subprocess.run([sys.executable, __file__, "--one", name, str(size)], capture_output=True, text=True)
        if done.returncode:
            print(f"  {size:>10,}  failed: {done.stderr.strip().splitlines()[-1]}")
            return
        s, m = map(float, done.stdout.split()[-2:])
        seconds.append(s)
        memory.append(m)
        print(f"  {size:>10,}  {s:8.2f} s  {m / 2**20:8.1f} MiB")
    for what, costs, bound in (("seconds", seconds, about.seconds), ("memory", memory, about.memory)):
        if bound is not None:
            print(f"  exponents of {what}: {', '.join(f'{e:.2f}' for e in exponents(about.sizes, costs))} ({bound})")


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(*measured(sys.argv[2], int(sys.argv[3])))
        return
    for name in SWEEPS:
        if not sys.argv[1:] or name.startswith(tuple(sys.argv[1:])):
            sweep(name)


if __name__ == "__main__":
    main()
