"""netdsl's defaults against the loop that is usually written, on one thread of a CPU.

    python benchmarks/train_speed.py [rounds] [BATCH,...]

The other side is `plain_nets.py` (torchvision's ResNet-18 and ConvNeXt-T by hand, and ConvNeXt-T as in its authors'
repository), AdamW as torch has it by default, images channels-first, the system's allocator, `loss.item()` after each
step. Both sides see the same images at 64 px. Each is a process of its own, and they take turns step by step, so that
what else the machine does falls on both; CPU time, medians. A ratio above 1 says how many times as fast netdsl's update
is. `train_plain.py` does the same for whole epochs on data.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Any

PAIRS = (("resnet.net:ResNet18", "ResNet18"), ("convnext.net:ConvNeXt_T", "ConvNeXt"))
PAIRS = (*PAIRS, ("convnext.net:ConvNeXt_T", "OfficialConvNeXt"))
SIZE, FIRST = 64, 3
"""Pixels of a side; steps of each side that are not counted."""


class Side:
    """A process that does one step when it is asked to."""

    def __init__(self, name: str, batch: int) -> None:
        command = [sys.executable, __file__, "--side", name, str(batch)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def step(self) -> float:
        """CPU seconds of one step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(name: str, batch: int) -> None:
    """Do a step for every line of the input, and say how long it took."""
    import time

    import torch

    torch.set_num_threads(1)
    step = netdsl_step(name, batch) if ":" in name else plain_step(name, batch)
    for i, _ in enumerate(sys.stdin):
        start = time.process_time()
        step(i)
        print(time.process_time() - start, flush=True)


def netdsl_step(target: str, batch: int) -> Any:
    """The trainer's own update, with everything it does by default."""
    from train_overhead import trainer

    return trainer(target, SIZE, batch).update


def plain_step(name: str, batch: int) -> Any:
    """The usual loop on a net written by hand."""
    import plain_nets
    import torch

    torch.manual_seed(0)
    model = getattr(plain_nets, name)().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x, y = torch.rand(batch * 4, 3, SIZE, SIZE), torch.randint(0, 1000, (batch * 4,))
    return plain_nets.usual_step(model, optimizer, x, y, batch)


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--side":
        serve(sys.argv[2], int(sys.argv[3]))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    batches = [int(b) for b in sys.argv[2].split(",")] if len(sys.argv) > 2 else [8, 16, 32]
    print(f"{'plain net':18}{'batch':>6}{'plain ms':>10}{'netdsl ms':>11}{'ratio':>8}   quartiles")
    for target, plain in PAIRS:
        for batch in batches:
            sides = [Side(plain, batch), Side(target, batch)]
            times = [[s.step() for s in sides] for _ in range(FIRST + rounds)][FIRST:]
            for side in sides:
                side.end()
            a, b = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
            low, middle, high = statistics.quantiles([x / y for x, y in times], n=4)
            print(f"{plain:18}{batch:6}{a:10.0f}{b:11.0f}{middle:8.2f}   {low:.2f} to {high:.2f}", flush=True)


if __name__ == "__main__":
    main()
