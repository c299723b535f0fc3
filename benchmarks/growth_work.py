"""The work that `growth.py` measures: each function prepares one kind at a size, in a folder, and gives what is to be
measured as a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from growth_texts import lines_of, stages, variants


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


def spec_of(text: str, name: str = "growth.net") -> Any:
    from netdsl.loader import read_import
    from netdsl.pipeline import Spec
    from netdsl.source import Source

    return Spec(Source(text, name), read_import)


def small_blocks(blocks: int) -> Any:
    """A net of equal small blocks."""
    unit = "block U(c) = conv(c, 3) -> bn -> relu"
    return spec_of(f"{unit}\nnet A {{ input x [4, 8, 8]\n repeat {blocks} {{ U(4) }} }}\n").net("A")


def emission(blocks: int, folder: Path) -> Callable[[], object]:
    """PyTorch source, once the net is elaborated."""
    net = small_blocks(blocks)
    assert net.checked
    return lambda: net.source()


def written(lines: int, folder: Path) -> Callable[[], object]:
    """PyTorch source of a net whose lines are all written out."""
    net = spec_of(lines_of(lines)).net("A")
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
    from netdsl.source import Source
    from netdsl.syntax.format import format_source

    text = f"net A {{\n  input x [4]\n  {' + '.join(['tanh'] * count)}\n}}\n"
    return lambda: (format_source(Source(text, "growth.net")), spec_of(text).net("A").source())


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
    chain = "".join(f"recipe R{i} extends R{i - 1} {{ seed = {i} }}\n" for i in range(1, recipes))
    text = f'net N {{\n input x [4]\n linear(3)\n}}\nrecipe R0 for N {{ data = npz("a.npz") }}\n{chain}'
    spec = spec_of(text)
    return lambda: spec.diagnostics


def lifted(layers: int, folder: Path) -> Callable[[], object]:
    """A spec for an ONNX model of layers that differ."""
    import numpy as np

    from netdsl.analysis import count
    from netdsl.lift.lift import lift_model

    net = spec_of(stages(layers)).net("A")
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
        written = text(size)
        return lambda: spec_of(written, str(folder / "growth.net")).diagnostics

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


def aligned(names: int, folder: Path) -> Callable[[], object]:
    """Formatting constants below one another."""
    from netdsl.source import Source
    from netdsl.syntax.format import format_source

    text = "".join(f"C{i} = {i}\n" for i in range(names))
    return lambda: format_source(Source(text, "growth.net"))


def numbered(layers: int, folder: Path) -> Callable[[], object]:
    """The tensors of a file that numbers its layers, for those of a net."""
    from netdsl.analysis import count
    from netdsl.weights.match import match
    from netdsl.weights.slots import Slot

    program = spec_of(stages(layers)).net("A").checked
    own = list(count.parameters(program.main))
    foreign = [Slot(f"l{i // 2}.{p.path.rpartition('.')[2]}", p.shape) for i, p in enumerate(own)]
    return lambda: match(program, foreign)


def variants_compared(count: int, folder: Path) -> Callable[[], object]:
    """All nets of a spec with those of another one, whose first layer differs."""
    from netdsl.cli.main import main as command

    one, other = folder / "one.net", folder / "other.net"
    one.write_text(variants(count))
    other.write_text(variants(count).replace("conv(4, 1)", "conv(4, 3)"))
    return lambda: command(["diff", str(one), str(other), "-o", str(folder / "diff.json")])


def rows_of_numbers(numbers: int, folder: Path) -> Callable[[], object]:
    """Formatting a list in rows of twenty."""
    from netdsl.source import Source
    from netdsl.syntax.format import format_file
    from netdsl.syntax.parse import read

    rows = (", ".join(map(str, range(i, min(i + 20, numbers)))) for i in range(0, numbers, 20))
    text = "X = [\n" + ",\n".join(rows) + ",\n]\n"
    file, _ = read(Source(text, "growth.net"))
    return lambda: format_file(file, text)
