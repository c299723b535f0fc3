"""What one sample, step and gigabyte cost a run over shards: the numbers that docs/scale.md multiplies.

    python benchmarks/unit_costs.py

CPU seconds of one thread. Images are 500 x 375 JPEGs of about 100 KB, a thousand in each tar file.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from netdsl.recipe.sources import Shards
from netdsl.training.checkpoints.format import save_tensors
from netdsl.training.data.sampler import EpochSampler
from netdsl.training.readers import read

SAMPLES, SHARDS, SIDE = 1_000, 3, 224
IMPORTED = """
import time
import netdsl.training.setup
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) / 1024)
"""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def photograph() -> bytes:
    """A JPEG that is about as hard to decode as one of ImageNet."""
    random = np.random.default_rng(0)
    blocks = np.kron(random.integers(0, 255, (24, 32, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    pixels = blocks[:375, :500] + random.normal(0, 20, (375, 500, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def write_shards(folder: Path, image: bytes) -> None:
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard}.tar", "w") as file:
            for i in range(SAMPLES):
                for end, data in (("jpg", image), ("cls", str(i % 10).encode())):
                    about = tarfile.TarInfo(f"{i:06}.{end}")
                    about.size = len(data)
                    file.addfile(about, io.BytesIO(data))


def main() -> None:
    torch.set_num_threads(1)
    imported = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    ).stdout.split()
    print(f"start: {float(imported[0]):.1f} s and {float(imported[1]):.0f} MiB to import")
    image = photograph()
    print(f"an image: {len(image) / 1e3:.0f} KB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder, image)
        source = Shards(files="[12].tar", test="0.tar")
        seconds, data = timed(lambda: read(source, folder, (3, SIDE, SIDE), 10))
        print(f"index: {seconds / SHARDS / SAMPLES * 1e6:.0f} us a sample")
        seconds, _ = timed(lambda: data.train.take(torch.arange(0, 2 * SAMPLES, 10)))
        print(f"reading, decoding, cutting: {seconds / (2 * SAMPLES / 10) * 1e3:.2f} ms a sample")
        tensors = {str(i): torch.ones(2**20) for i in range(256)}
        seconds, _ = timed(lambda: save_tensors(folder / "c.safetensors", tensors))
        print(f"checkpoint: {seconds / (2**30 / 1e9):.2f} s a GB")
    order = EpochSampler(0, 10**7, 4096, shards=(1_000,) * 10**4)
    seconds, _ = timed(lambda: order.at(0, torch.arange(64)))
    print(f"order: {seconds * 1e3:.1f} ms for the first step")
    seconds, _ = timed(lambda: [order.at(step, torch.arange(64)) for step in range(1, 101)])
    print(f"order: {seconds * 10:.2f} ms a step")


if __name__ == "__main__":
    main()
