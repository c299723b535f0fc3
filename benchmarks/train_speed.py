"""netdsl's defaults against the loop that is usually written.

That is: AdamW as torch has it by default, pictures channels-first, the system's allocator, `loss.item()` after each
step. The same net and batches, one thread, CPU time; each side in a process of its own, in turns.

    python benchmarks/train_speed.py [rounds]

A ratio above 1 says how many times as fast netdsl's update is; `train_plain.py` does the same for whole epochs on data.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

NETS = (("resnet.net:ResNet18", 64), ("convnext.net:ConvNeXt_T", 64))
STEPS = 6


def measure(side: str, target: str, size: int) -> float:
    """CPU seconds of a step, in a process of its own."""
    command = [sys.executable, __file__, side, target, str(size)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return float(done.stdout)


def run(side: str, target: str, size: int) -> float:
    """CPU seconds of a step, in this process."""
    import time

    import torch
    from train_overhead import bare, trainer

    torch.set_num_threads(1)
    if side == "plain":
        # The trainer is only asked for its net and its batches: what it does to the process must not help this side.
        os.environ["NETDSL_KEEP_MEMORY"] = "off"
    loop = trainer(target, size, "nchw" if side == "plain" else "auto")
    step = bare(loop, fused=None) if side == "plain" else loop.update
    step(0), step(1)  # type: ignore[operator]
    start = time.process_time()
    for i in range(2, 2 + STEPS):
        step(i)  # type: ignore[operator]
    return (time.process_time() - start) / STEPS


def main() -> None:
    if len(sys.argv) == 4:
        print(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for target, size in NETS:
        ratios = [measure("plain", target, size) / measure("netdsl", target, size) for _ in range(rounds)]
        print(f"{target} at {size} px: {statistics.median(ratios):.2f}x as fast as the plain loop (median of {rounds})")


if __name__ == "__main__":
    main()
