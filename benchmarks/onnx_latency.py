"""onnxruntime's latency of ONNX files, ours against dynamo's of modules in torchvision's structure, with equal weights.

    python -m benchmarks.onnx_latency [--nets ResNet50,ViT_B16] [--batch 1] [--rounds 15] [--opset 20]

Weights are random, made by the module and taken over by the rules of `netdsl weights`, so that both files compute the
same (`apart`). Both run in one process on one thread, turn by turn; medians of CPU time are compared.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from typing import Any

import onnx
import torch
from torch import nn

from benchmarks.onnx_export import apart, by_netdsl, by_torch, count, latencies
from benchmarks.torchvision_nets import NETS
from netdsl.api import load
from netdsl.weights.load import Rules
from netdsl.weights.load import load as taken
from netdsl.weights.mapping import declared
from netdsl.weights.read import Foreign

COLUMNS = ("net", "ms", "torch's", "ratio", "nodes", "torch's", "apart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default=",".join(NETS), help=f"of {', '.join(NETS)}")
    parser.add_argument("--opset", type=int, default=20)
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15, help="how often each file is run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(" ".join(f"{c:>17}" if c == "net" else f"{c:>9}" for c in COLUMNS), flush=True)
    for name in options.nets.split(","):
        print(" ".join(f"{c:>17}" if c == name else f"{c:>9}" for c in row(name, options)), flush=True)


def row(name: str, options: argparse.Namespace) -> list[str]:
    """One line of the table."""
    spec, made = NETS[name]
    module = randomised(made())
    compiled = load(spec, net=name)
    foreign = Foreign(name, {k: v.numpy() for k, v in module.state_dict().items()})
    rules = Rules(hints=tuple(declared(compiled.spec.constant("weights"))))
    state = dict(taken(compiled.checked, foreign, lambda: fresh(compiled), rules).state)
    x = torch.rand(options.batch, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    files = by_netdsl(compiled, state, options), by_torch(module, [torch.rand(2, 3, 224, 224)], options.opset)
    ours, theirs = latencies(compiled.checked, files, [x], options.rounds)
    nodes = [count(onnx.load_from_string(f)) for f in files]
    difference = apart(compiled.checked, files, [x])
    return [name, f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.3f}", *map(str, nodes), f"{difference:.0e}"]


def fresh(net: Any) -> dict[str, Any]:
    return {k: v.numpy() for k, v in net.module(seed=0).state_dict().items()}


@torch.no_grad()
def randomised(module: nn.Module) -> nn.Module:
    """The module at rest, every gain, statistic and scale of it with random values about those it has in use."""
    torch.manual_seed(0)
    for key, value in module.state_dict(keep_vars=True).items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and value.ndim == 1:
            value.add_(torch.randn_like(value) * 0.1)
        elif "layer_scale" in key:
            value.normal_(0, 0.3)
    return module.eval()


if __name__ == "__main__":
    main()
