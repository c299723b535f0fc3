"""Whole-process CPU time of `netdsl predict MODEL.onnx picture.png`, beside a script that does only what it must.

    python benchmarks/predict_startup.py [rounds]

The script imports numpy, Pillow and onnxruntime, opens the file, resizes the picture and runs the net once. The two
take turns, with one thread; the bar is 0.5 s beyond the script.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from startup import ROOT, cpu

from netdsl.cli.main import main as netdsl

BARE = """
import sys
import numpy as np
import onnxruntime
from PIL import Image

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
_, channels, height, width = given.shape
side = (width if isinstance(width, int) else 224, height if isinstance(height, int) else 224)
image = Image.open(sys.argv[2]).convert("L" if channels == 1 else "RGB").resize(side)
x = np.asarray(image, dtype=np.float32).reshape(*side[::-1], channels).transpose(2, 0, 1)[None] / 255
print(session.run(None, {given.name: np.ascontiguousarray(x)})[0].argmax())
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 320, 3), dtype=np.uint8)).save(picture)
        print(f"{'':12}{'predict':>10}{'onnxruntime':>13}{'beyond it':>11}   CPU s, medians of {rounds}")
        for net in ("lenet", "resnet:ResNet50"):
            out = Path(folder) / net.partition(":")[0]
            netdsl(["compile", net, "-o", str(out), "--emit", "onnx", "--no-verify", "--json"])
            file = str(out / "model.onnx")
            own = [sys.executable, "-m", "netdsl", "predict", file, str(picture)]
            bare = [sys.executable, "-c", BARE, file, str(picture)]
            cpu(own)
            pairs = [(cpu(own), cpu(bare)) for _ in range(rounds)]
            a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            beyond = statistics.median(p[0] - p[1] for p in pairs)
            print(f"{net:16}{a:6.2f}{b:13.2f}{beyond:11.2f}", flush=True)


if __name__ == "__main__":
    main()
