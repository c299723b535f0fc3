"""The most memory that `netdsl train` takes, with all that it leaves in its run directory, against a plain loop.

    python benchmarks/train_memory.py [BATCH]

ResNet-18 at 64 pixels for four steps of AdamW on the same 128 images in memory. The plain side is torchvision's net
written by hand (`plain_nets.py`) and writes nothing; netdsl evaluates, leaves a checkpoint, exports and verifies ONNX,
and writes its report. The peak of each process's resident memory, with what importing torch takes; ratios of it.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE, SAMPLES, CLASSES = 64, 128, 1000
SPEC = Path(__file__).parent.parent / "specs" / "resnet.net"


def plain(batch: int) -> None:
    """The usual loop."""
    import plain_nets
    import torch

    torch.manual_seed(0)
    model = plain_nets.ResNet18().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x, y = torch.rand(SAMPLES, 3, SIZE, SIZE), torch.randint(0, CLASSES, (SAMPLES,))
    step = plain_nets.usual_step(model, optimizer, x, y, batch)
    for i in range(4):
        step(i)


def ours(batch: int, *more: str) -> None:
    """The whole command."""
    import numpy as np

    from netdsl.cli.main import main as command

    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (2 * SAMPLES, 3, SIZE, SIZE), dtype=np.uint8)
        np.savez(Path(folder) / "a.npz", x=images, y=np.linspace(0, CLASSES - 1, 2 * SAMPLES).astype(int))
        (Path(folder) / "resnet.net").write_text(SPEC.read_text().replace("[3, 224, 224]", f"[3, {SIZE}, {SIZE}]"))
        spec = str(Path(folder) / "resnet.net:ResNet18")
        given = ["-p", f"classes={CLASSES}", "--data", f'npz("{folder}/a.npz", test=0.5)']
        given += [part for s in (f"batch={batch}", "steps=4") for part in ("--set", s)]
        if command(["train", spec, *given, "-q", "-o", str(Path(folder) / "run"), *more]):
            raise SystemExit(1)


def peak(side: str, batch: int, *more: str) -> float:
    """MiB of a side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, str(batch), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        {"plain": plain, "netdsl": ours}[sys.argv[2]](int(sys.argv[3]), *sys.argv[4:])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    batch = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    rounds = [[peak("plain", batch), peak("netdsl", batch), peak("netdsl", batch, "--no-onnx")] for _ in range(3)]
    a, b, c = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"ResNet-18, {SIZE} px, batch {batch}: plain {a:.0f} MiB, netdsl {b:.0f} MiB ({b / a:.2f})", end=", ")
    print(f"without ONNX {c:.0f} MiB ({c / a:.2f})")


if __name__ == "__main__":
    main()
