"""How cost grows with size: CPU seconds and peak memory of a sweep, and the exponent between its last two sizes.

python benchmarks/growth.py [NAME ...]      all sweeps, or those whose names begin so

Every size runs in a process of its own. An exponent of 1 means that ten times the work costs ten times as much; the
bound stands in brackets. Memory is what the work adds to the process's peak.
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sweep:
    """`prepare(size, folder)` gives the work to measure; `seconds`, `memory` bound the exponents that count."""

    what: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Callable[[], object]]
    seconds: float | None = None
    memory: float | None = None


def evaluation(samples: int, folder: Path) -> Callable[[], object]:
    """A small net on masks of 128 x 128, two at once."""
    import torch
    from torch import nn

    from netdsl.recipe.schema import Recipe
    from netdsl.training.data.dataset import Split
    from netdsl.training.distributed.process_group import Ranks
    from netdsl.training.evaluate import Evaluator

    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    pixels = torch.zeros(samples, 3, 128, 128, dtype=torch.uint8)
    split = Split((pixels,), torch.zeros(samples, 128, 128, dtype=torch.int64))
    evaluator = Evaluator(Recipe(batch=2), ("output",), ("output",), "mask", 2, Ranks())
    return lambda: evaluator(module, split)


def report(classes: int, folder: Path) -> Callable[[], object]:
    """The mistakes of a classifier of so many classes on twice as many samples."""
    import torch
    from torch.nn import functional

    from netdsl.training.report.mistakes import confusions

    truth = torch.arange(2 * classes) % classes

    def forward(x: Any) -> Any:
        return functional.one_hot((x + x % 2) % classes, classes).float()

    chunks = [((t,), t) for t in truth.split(64)]
    return lambda: confusions(forward, chunks, classes, 16)


def small_blocks(blocks: int) -> Any:
    """A net of equal small blocks."""
    from netdsl.loader import read_import
    from netdsl.pipeline import Spec
    from netdsl.source import Source

    unit = "block U(c) = conv(c, 3) -> bn -> relu"
    text = f"{unit}\nnet A {{ input x [4, 8, 8]\n repeat {blocks} {{ U(4) }} }}\n"
    return Spec(Source(text, "growth.net"), read_import).net("A")


def emission(blocks: int, folder: Path) -> Callable[[], object]:
    """PyTorch source, once the net is elaborated."""
    net = small_blocks(blocks)
    assert net.checked
    return lambda: net.source()


def written(lines: int, folder: Path) -> Callable[[], object]:
    """PyTorch source of a net whose lines are all written out."""
    from netdsl.loader import read_import
    from netdsl.pipeline import Spec
    from netdsl.source import Source

    body = "\n".join(f"a{i} = conv(4, 1)\n it + a{i}" for i in range(lines // 2))
    net = Spec(Source(f"net A {{ input x [4, 8, 8]\n {body} }}\n", "growth.net"), read_import).net("A")
    assert net.checked
    return lambda: net.source()


def onnx_export(blocks: int, folder: Path) -> Callable[[], object]:
    """An ONNX model with weights of 0 and statistics of 1."""
    import numpy as np

    from netdsl.analysis import count

    net = small_blocks(blocks)
    weights = {p.path: np.zeros(p.shape, "float32") for p in count.parameters(net.checked.main)}
    weights |= {b.path: np.ones(b.shape, b.dtype) for b in count.buffers(net.checked.main)}
    return lambda: net.onnx(weights)


SWEEPS = {
    "emit-blocks": Sweep("equal blocks", (2_500, 5_000, 10_000), emission, seconds=1.2),
    "emit-lines": Sweep("written lines", (1_250, 2_500, 5_000), written, seconds=1.2),
    "export": Sweep("equal blocks to ONNX", (2_500, 5_000, 10_000), onnx_export, seconds=1.2),
    "evaluation": Sweep("of masks, by samples", (40, 80, 160), evaluation, memory=1.1),
    "report": Sweep("of mistakes, by classes (samples: twice as many)", (250, 1000, 4000), report, memory=1.1),
}


def measured(name: str, size: int) -> tuple[float, float]:
    """CPU seconds, and bytes that are added to the peak."""
    with tempfile.TemporaryDirectory() as folder:
        work = SWEEPS[name].prepare(size, Path(folder))
        before, began = _peak(), time.process_time()
        work()
        return time.process_time() - began, _peak() - before


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def exponent(sizes: tuple[int, ...], costs: list[float]) -> float:
    """The growth of cost between the last two sizes."""
    return math.log(max(costs[-1], 1e-9) / max(costs[-2], 1e-9)) / math.log(sizes[-1] / sizes[-2])


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
            print(f"  exponent of {what}: {exponent(about.sizes, costs):.2f} ({bound})")


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(*measured(sys.argv[2], int(sys.argv[3])))
        return
    for name in SWEEPS:
        if not sys.argv[1:] or name.startswith(tuple(sys.argv[1:])):
            sweep(name)


if __name__ == "__main__":
    main()
