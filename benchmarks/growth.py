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
from typing import Any

from growth_texts import blank, inputs, lines_of, residues, sized, stages, unused


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


def evaluation(samples: int, folder: Path) -> Callable[[], object]:
    """A small net on masks of 512 x 512, two at once."""
    import torch
    from torch import nn

    from netdsl.recipe.schema import Recipe
    from netdsl.training.data.dataset import Split
    from netdsl.training.distributed.process_group import ProcessGroup
    from netdsl.training.evaluate import Evaluator

    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    pixels = torch.zeros(samples, 3, 512, 512, dtype=torch.uint8)
    split = Split((pixels,), torch.zeros(samples, 512, 512, dtype=torch.int64))
    evaluator = Evaluator(Recipe(batch=2), ("output",), ("output",), "mask", 2, ProcessGroup())
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

    net = Spec(Source(lines_of(lines), "growth.net"), read_import).net("A")
    assert net.checked
    return lambda: net.source()


def commanded(*words: str) -> Callable[[int, Path], Callable[[], object]]:
    """A command on a spec of so many lines."""

    def prepare(lines: int, folder: Path) -> Callable[[], object]:
        from netdsl.cli.main import main as command

        spec = folder / "growth.net"
        spec.write_text(lines_of(lines))
        given = [w.replace("OUT", str(folder / "out.html")) for w in words]
        return lambda: command([given[0], str(spec), *given[1:]])

    return prepare


def terms(count: int, folder: Path) -> Callable[[], object]:
    """Checking, formatting and printing a flat sum."""
    from netdsl.loader import read_import
    from netdsl.pipeline import Spec
    from netdsl.source import Source
    from netdsl.syntax.format import format_source

    source = Source(f"net A {{\n  input x [4]\n  {' + '.join(['tanh'] * count)}\n}}\n", "growth.net")
    return lambda: (format_source(source), Spec(source, read_import).net("A").source())


def nets(count: int, folder: Path) -> Callable[[], object]:
    """Checking files of one net each, which import a block of one file."""
    from netdsl.cli.main import main as command

    (folder / "unit.net").write_text("block U(c) = conv(c, 3) -> bn -> relu\n")
    for i in range(count):
        (folder / f"n{i}.net").write_text(f"from unit import U\nnet A {{\n  input x [4, 8, 8]\n  U({i + 1})\n}}\n")
    return lambda: command(["check", *(str(folder / f"n{i}.net") for i in range(count))])


def onnx_export(blocks: int, folder: Path) -> Callable[[], object]:
    """An ONNX model with weights of 0 and statistics of 1."""
    import numpy as np

    from netdsl.analysis import count

    net = small_blocks(blocks)
    weights = {p.path: np.zeros(p.shape, "float32") for p in count.parameters(net.checked.main)}
    weights |= {b.path: np.ones(b.shape, b.dtype) for b in count.buffers(net.checked.main)}
    return lambda: net.onnx(weights)


def masks(pixels: int, folder: Path) -> Callable[[], object]:
    """A tiny net trained on thirty masks in files, one at a time."""
    side = math.isqrt(pixels)
    import numpy as np
    from PIL import Image

    from netdsl.cli.main import main as command

    for split, count in (("train", 30), ("val", 2)):
        for kind, shape in (("images", (side, side, 3)), ("masks", (side, side))):
            (folder / split / kind).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(np.full(shape, i % 2, np.uint8)).save(folder / split / kind / f"{i}.png")
    small = "conv(2, 3) -> relu -> conv(2, 1, padding=0)"
    (folder / "m.net").write_text(
        f"net M {{ input image [3, {side}, {side}]\n {small} }}\nrecipe R for M {{ batch = 1 }}"
    )
    data = [f"data=maskfolder({str(folder)!r})".replace("'", '"'), "resident=0", "workers=0", "epochs=1"]
    given = [part for s in data for part in ("--set", s)]
    return lambda: command(["train", str(folder / "m.net"), "--no-onnx", "-q", "-o", str(folder / "run"), *given])


def graph_of(spec: str, nodes: int, folder: Path) -> Callable[[], object]:
    """A graph net trained for two steps over ten edges a node."""
    import numpy as np

    from netdsl.cli.main import main as command

    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {"features": random.random((nodes, 32), dtype=np.float32)}
    arrays |= {"edges": random.integers(0, nodes, (2, 10 * nodes)), "labels": np.arange(nodes) % 7}
    np.savez(folder / "g.npz", train=np.arange(nodes) % 2 == 0, **arrays)
    spec = str(Path(__file__).parent.parent / "specs" / spec)
    size = ["-p", "features=32", "--data", f'graph("{folder / "g.npz"}")', "--set", "epochs=2", "--set", "batch=1"]
    return lambda: command(["train", spec, *size, "--no-onnx", "-q", "-o", str(folder / "run")])


def text(characters: int, folder: Path) -> Callable[[], object]:
    """A text read as tokens."""
    from netdsl.recipe.sources import Text
    from netdsl.training.readers import read

    with open(folder / "a.txt", "w") as file:
        for _ in range(characters // 45_000):
            file.write("The quick brown fox jumps over the lazy dog. " * 1_000)
    return lambda: read(Text(path="a.txt"), folder, (0,), 1)


def columns(count: int, folder: Path) -> Callable[[], object]:
    """A CSV file of fifty rows."""
    from netdsl.inference.tables import csv_columns

    row = ",".join(["1.5"] * count)
    (folder / "a.csv").write_text("\n".join([",".join(f"c{i}" for i in range(count)), *[row] * 50]))
    return lambda: csv_columns(folder / "a.csv")


def checkpoint(parameters: int, folder: Path) -> Callable[[], object]:
    """Tensors of 2^20 elements written to a file."""
    import torch

    from netdsl.training.checkpoints.format import save_tensors

    tensors = {str(i): torch.ones(2**20) for i in range(parameters // 2**20)}
    return lambda: save_tensors(folder / "c.safetensors", tensors)


def listing(files: int, folder: Path) -> Callable[[], object]:
    """The images of ten folders, by name."""
    from netdsl.training.readers.listing import images_below

    for i in range(10):
        (folder / str(i)).mkdir()
        for k in range(files // 10):
            (folder / str(i) / f"{k}.png").touch()
    return lambda: images_below(folder)


def order(samples: int, folder: Path) -> Callable[[], object]:
    """A process's samples of a hundred steps, in shards of a thousand."""
    import torch

    from netdsl.training.data.sampler import EpochSampler

    found = EpochSampler(0, samples, 1024, shards=(1_000,) * (samples // 1_000))
    return lambda: [found.at(step, torch.arange(64)) for step in range(100)]


def extends(recipes: int, folder: Path) -> Callable[[], object]:
    """Checking recipes of which each extends the one before."""
    from netdsl.loader import read_import
    from netdsl.pipeline import Spec
    from netdsl.source import Source

    chain = "".join(f"recipe R{i} extends R{i - 1} {{ seed = {i} }}\n" for i in range(1, recipes))
    text = f'net N {{\n input x [4]\n linear(3)\n}}\nrecipe R0 for N {{ data = npz("a.npz") }}\n{chain}'
    spec = Spec(Source(text, "growth.net"), read_import)
    return lambda: spec.diagnostics


def lifted(layers: int, folder: Path) -> Callable[[], object]:
    """A spec for an ONNX model of layers that differ."""
    import numpy as np

    from netdsl.analysis import count
    from netdsl.lift.lift import lift_model
    from netdsl.loader import read_import
    from netdsl.pipeline import Spec
    from netdsl.source import Source

    net = Spec(Source(stages(layers), "growth.net"), read_import).net("A")
    model = net.onnx({p.path: np.zeros(p.shape, "float32") for p in count.parameters(net.checked.main)})
    return lambda: lift_model(model)


def resnet(side: str) -> Callable[[int, Path], Callable[[], object]]:
    """Four steps of ResNet-18 at 64 pixels by `netdsl train` or by a plain loop, as `train_memory.py` compares them."""

    def prepare(batch: int, folder: Path) -> Callable[[], object]:
        import train_memory

        return lambda: getattr(train_memory, side)(batch)

    return prepare


def checked(text: Callable[[int], str]) -> Callable[[int, Path], Callable[[], object]]:
    """Checking a spec of some size."""

    def prepare(size: int, folder: Path) -> Callable[[], object]:
        from netdsl.loader import read_import
        from netdsl.pipeline import Spec
        from netdsl.source import Source

        source = Source(text(size), str(folder / "growth.net"))
        return lambda: Spec(source, read_import).diagnostics

    return prepare


def unrolled(steps: int, folder: Path) -> Callable[[], object]:
    """PyTorch source of an RNN that is written out."""
    from netdsl.api import load

    net = load(Path(__file__).parent.parent / "specs" / "char_rnn.net", "UnrolledRNN", steps=steps)
    return net.source


def imports(files: int, folder: Path) -> Callable[[], object]:
    """Checking the last of a chain of files, each with a block that calls the one before."""
    from netdsl.cli.main import main as command

    (folder / "f0.net").write_text("block B0(c) = conv(c, 3) -> relu\n")
    for i in range(1, files):
        (folder / f"f{i}.net").write_text(f"from f{i - 1} import B{i - 1}\nblock B{i}(c) = B{i - 1}(c) -> relu\n")
    last = f"from f{files - 1} import B{files - 1}\nnet A {{ input x [4, 8, 8]\n B{files - 1}(4) }}\n"
    (folder / "last.net").write_text(last)
    return lambda: command(["check", str(folder / "last.net")])


def rows_of_numbers(numbers: int, folder: Path) -> Callable[[], object]:
    """Formatting a list in rows of twenty."""
    from netdsl.source import Source
    from netdsl.syntax.format import format_file
    from netdsl.syntax.parse import read

    rows = (", ".join(map(str, range(i, min(i + 20, numbers)))) for i in range(0, numbers, 20))
    text = "X = [\n" + ",\n".join(rows) + ",\n]\n"
    file, _ = read(Source(text, "growth.net"))
    return lambda: format_file(file, text)


SWEEPS = {
    "extends": Sweep("a chain of recipes", (500, 1_000, 2_000), extends, seconds=1.2),
    "fmt-list": Sweep("a list in rows", (6_000, 12_000, 24_000), rows_of_numbers, seconds=1.2),
    "check": Sweep("written lines", (1_250, 2_500, 5_000), commanded("check"), seconds=1.2),
    "summary": Sweep("written lines", (1_250, 2_500, 5_000), commanded("summary"), seconds=1.2),
    "fmt-lines": Sweep("written lines", (1_250, 2_500, 5_000), commanded("fmt", "--check"), seconds=1.2),
    "view": Sweep("written lines", (60, 240, 960), commanded("view", "-o", "OUT"), seconds=1.2),
    "terms": Sweep("of a flat sum", (2_500, 5_000, 10_000), terms, seconds=1.2),
    "files": Sweep("checked, of a net each", (50, 100, 200), nets, seconds=1.2),
    "residues": Sweep("of sizes, by rounds", (16, 32, 64), checked(residues), seconds=1.2),
    "unused": Sweep("blocks", (1_500, 3_000, 6_000), checked(unused), seconds=1.2),
    "size": Sweep("named as its net, by lines", (250, 500, 1_000), checked(sized), seconds=1.2),
    "inputs": Sweep("of one net", (250, 500, 1_000), checked(inputs), seconds=1.2, memory=1.1),
    "lift": Sweep("layers that differ", (100, 200, 400), lifted, seconds=1.2),
    "blank": Sweep("lines", (125_000, 250_000, 500_000), checked(blank), seconds=1.2),
    "unrolled": Sweep("steps of an RNN", (250, 500, 1_000), unrolled, seconds=1.2),
    "imports": Sweep("in a chain, by files", (15, 30, 60), imports, seconds=1.2),
    "emit-blocks": Sweep("equal blocks", (2_500, 5_000, 10_000), emission, seconds=1.2),
    "emit-lines": Sweep("written lines", (1_250, 2_500, 5_000), written, seconds=1.2),
    "export": Sweep("equal blocks to ONNX", (2_500, 5_000, 10_000), onnx_export, seconds=1.2),
    "evaluation": Sweep("of masks, by samples", (40, 80, 160), evaluation, memory=1.1),
    "report": Sweep("of mistakes, by classes (samples: twice as many)", (1_000, 4_000, 16_000), report, memory=1.1),
    "masks": Sweep("in files, by pixels", (256**2, 512**2, 1024**2), masks, 16**2, seconds=1.2, memory=1.1),
    **{
        name: Sweep(
            "of ten edges a node, by nodes",
            (1_000, 10_000, 100_000),
            partial(graph_of, spec),
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
    "train-resnet": Sweep("18 at 64 px, by batch", (8, 16, 32), resnet("ours"), memory=1.1, whole=True),
    "plain-resnet": Sweep("18 in a plain loop, by batch", (8, 16, 32), resnet("plain"), memory=1.1, whole=True),
    "text": Sweep("by characters", (10**6, 10**7, 10**8), text, 90_000, seconds=1.2, memory=1.1),
    "columns": Sweep("of a CSV file", (2_500, 5_000, 10_000), columns, seconds=1.2, memory=1.1),
    "checkpoint": Sweep("by parameters", (2**22, 2**24, 2**26), checkpoint, 2**20, seconds=1.2, memory=1.1),
    "order": Sweep("of 100 steps, by samples in shards", (10**5, 10**6, 10**7), order, 10_000, seconds=0.5, memory=1.1),
    "listing": Sweep("of images, by files", (1_000, 10_000, 100_000), listing, 10, seconds=1.2, memory=1.1),
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
