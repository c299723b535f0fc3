"""ONNX export against `torch.onnx.export(dynamo=True)` of the emitted module: CPU time, nodes, onnxruntime latency.

    python benchmarks/onnx_export.py [--nets ResNet18,UNet] [--opset 20] [--batch 1] [--rounds 15]

Everything is paired in one process: both exporters are given the same module with the same weights, both files run in
onnxruntime on one thread, turn by turn, and the medians of their CPU times are compared. Imports are done before any
timing, and torch's exporter has run once on a small net. Export ends with the bytes of a file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from netdsl.api import load
from netdsl.backends.onnx.file import weight_bytes
from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.session import Session
from netdsl.backends.onnx.wire import pieces
from netdsl.ir.model import Program
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.stress import on_cpu, state_of, stress

SPECS = Path(__file__).parent.parent / "specs"

NETS: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "LeNet5": ("lenet", {}, {}),
    "ResNet18": ("resnet", {}, {}),
    "ResNet50": ("resnet", {}, {}),
    "ConvNeXt_T": ("convnext", {}, {}),
    "UNet": ("unet", {}, {"H": 96, "W": 128}),
    "GoogLeNet": ("googlenet", {}, {}),
    "MobileNetV3_Small": ("mobilenet_v3", {}, {}),
    "EfficientNet_B0": ("efficientnet", {}, {}),
    "DenseNet121": ("densenet", {}, {}),
    "ViT_B16": ("vit", {}, {}),
    "Swin_T": ("swin", {}, {}),
}
"""Spec, arguments, and values of the named sizes to run at."""

COLUMNS = (
    "net", "CPU s", "torch's", "ratio", "nodes", "torch's", "MB", "torch's", "ms", "torch's", "ratio", "apart",
)  # fmt: skip


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        by_torch(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()), [torch.zeros(2, 3)], options.opset)
    print(" ".join(f"{c:>10}" for c in COLUMNS), flush=True)
    for name in options.nets.split(","):
        print(" ".join(f"{c:>10}" for c in row(name, options)), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="ResNet18,ResNet50,ConvNeXt_T,UNet", help=f"of {', '.join(NETS)}")
    parser.add_argument("--opset", type=int, default=20)
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15, help="how often each file is run")
    return parser.parse_args()


def row(name: str, options: argparse.Namespace) -> list[str]:
    """One line of the table."""
    spec, given, sizes = NETS[name]
    compiled = load(SPECS / f"{spec}.net", net=name, **given)
    program = compiled.program
    fresh = on_cpu(compiled.module(seed=0)).eval()
    module = stress(program, fresh, draw_inputs(program, 2, sizes, seed=0))
    state = state_of(module)
    inputs = draw_inputs(program, options.batch, sizes, seed=1)
    ours, own_time = timed(lambda: by_netdsl(compiled, state, options), repeats=3)
    example = draw_inputs(program, 2, sizes, seed=2)
    try:
        theirs, other_time = timed(lambda: by_torch(module, example, options.opset), repeats=1)
    except torch.onnx.errors.OnnxExporterError as error:
        nodes = count(onnx.load_from_string(ours))
        return [name, f"{own_time:.3f}", "refused", "", str(nodes), "", "", "", "", "", "", type(error).__name__]
    own_latency, other_latency = latencies(program, (ours, theirs), inputs, options.rounds)
    sides = [onnx.load_from_string(data) for data in (ours, theirs)]
    nodes = [count(m) for m in sides]
    megabytes = [f"{weight_bytes(m) / 1e6:.1f}" for m in sides]
    difference = apart(program, (ours, theirs), inputs)
    return [
        name, f"{own_time:.3f}", f"{other_time:.2f}", f"{own_time / other_time:.3f}", *map(str, nodes), *megabytes,
        f"{own_latency:.1f}", f"{other_latency:.1f}", f"{own_latency / other_latency:.3f}", f"{difference:.0e}",
    ]  # fmt: skip


def by_netdsl(net: Any, state: dict[str, Any], options: argparse.Namespace) -> bytes:
    """From the typed program and a state dict to the bytes of a file, metadata included."""
    model = export(net.checked, state, opset=options.opset, target=options.target, metadata=net.metadata)
    return b"".join(pieces(model))


def by_torch(module: torch.nn.Module, inputs: list[torch.Tensor], opset: int) -> bytes:
    """The same from torch's exporter, with a batch that may vary, optimised as it does by default."""
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = torch.onnx.export(module, tuple(inputs), dynamo=True, opset_version=opset, dynamic_shapes=shapes)
    assert made is not None
    return bytes(made.model_proto.SerializeToString())


def timed(action: Any, repeats: int) -> tuple[Any, float]:
    """The result, and the least CPU time in seconds of some runs."""
    times, result = [], None
    for _ in range(repeats):
        result = None  # its memory is free again
        start = time.process_time()
        result = action()
        times.append(time.process_time() - start)
    return result, min(times)


def count(model: onnx.ModelProto) -> int:
    """Nodes, those of functions that are called among them."""
    inside = {(f.domain, f.name): len(f.node) for f in model.functions}
    return sum(inside.get((n.domain, n.op_type), 1) for n in model.graph.node)


def fed(session: Session, inputs: list[torch.Tensor]) -> dict[str, Any]:
    return {name: x.numpy() for name, x in zip(session.inputs, inputs, strict=True)}


def latencies(program: Program, files: tuple[bytes, bytes], inputs: list[torch.Tensor], rounds: int) -> list[float]:
    """The median CPU time of a run of each file in milliseconds, one thread, turn by turn."""
    sessions = [Session(data, threads=1) for data in files]
    times: list[list[float]] = [[], []]
    for turn in range(rounds + 2):
        for i in (0, 1) if turn % 2 else (1, 0):
            feed = fed(sessions[i], inputs)
            start = time.process_time()
            sessions[i].run(feed)
            if turn >= 2:
                times[i].append(1e3 * (time.process_time() - start))
    return [statistics.median(t) for t in times]


def apart(program: Program, files: tuple[bytes, bytes], inputs: list[torch.Tensor]) -> float:
    """How far the two files are from each other: `max|a - b| / max|b|` over the outputs."""
    ours, theirs = ([*s.run(fed(s, inputs)).values()] for s in (Session(data, threads=1) for data in files))
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
