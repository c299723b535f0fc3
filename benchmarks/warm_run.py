"""What a run of an experiment costs in a warm worker beside its steps: CPU seconds of the whole run over those of its
training loop.

    OMP_NUM_THREADS=1 python benchmarks/warm_run.py [runs] [epochs]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from netdsl.experiment.jobs import Job
from netdsl.experiment.worker import attempt, warm_up
from netdsl.training.trainer import Trainer

SPEC = """
net LeNet {
  input image [1, 28, 28]
  conv(6, 5, padding=2) -> tanh -> avgpool(2) -> conv(16, 5) -> tanh -> avgpool(2)
  flatten -> linear(120) -> tanh -> linear(84) -> tanh -> linear(10)
}

recipe Short for LeNet {
  optimizer = adamw(3e-3)
}
"""


def main(runs: int, epochs: int) -> None:
    """Train LeNet-5 on the embedded digits, once for each seed."""
    warm_up()
    loops: list[float] = []
    run = Trainer.run

    def timed(self: Trainer) -> Any:
        began = time.process_time()
        try:
            return run(self)
        finally:
            loops.append(time.process_time() - began)

    Trainer.run = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        whole = [one(Path(folder), seed, epochs) for seed in range(runs + 1)]
    ratios = [a / b for a, b in zip(whole[1:], loops[1:], strict=True)]  # the first elaborates the net
    rest = statistics.median(a - b for a, b in zip(whole[1:], loops[1:], strict=True))
    print(f"a run {statistics.median(whole[1:]):.3f} s of CPU, its loop {statistics.median(loops[1:]):.3f} s")
    print(f"the rest {rest * 1e3:.0f} ms; whole over loop {statistics.median(ratios):.4f}")
    print(f"sums over {runs} runs: {sum(whole[1:]) / sum(loops[1:]):.4f}")


def one(folder: Path, seed: int, epochs: int) -> float:
    settings = {"epochs": str(epochs), "seed": str(seed)}
    path = str(folder / "n.net")
    job = Job(path, SPEC, "LeNet", "Short", {}, settings, {}, (), str(folder / f"{seed}"), "p", "k", "one")
    began = time.process_time()
    assert attempt(job).done
    return time.process_time() - began


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*given, *(6, 10)[len(given) :])
