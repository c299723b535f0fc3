"""netdsl's trainer against a plain PyTorch script of the same net and recipe, on the digits: accuracy and CPU time.

    python benchmarks/train_plain.py [epochs] [seeds] [NET,...]

The script is the one anybody would write: its own nets (`plain_nets.py`), a DataLoader with a transform per sample,
AdamW as PyTorch has it by default, torch's schedulers, `loss.item()` at every step. netdsl reads the same pixels and
labels from a file and knows nothing else of the script: the batch, the lr and its schedule are said again in a recipe.
One thread; the two take turns, seed by seed, each in its own process; both evaluate once, at the end, on the test
split. A speed above 1 says how many times as fast netdsl is, in CPU time without imports and reading the file.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plain_nets
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from netdsl.pipeline import Spec
from netdsl.recipe.component import Duration
from netdsl.recipe.optimizers import AdamW
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Npz
from netdsl.source import Source
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.ending import finish
from netdsl.training.setup import Prepared, prepare, start

SPEC = """
net LeNet(classes=10) {
  input image [1, 16, 16]
  conv(6, 5) -> relu -> maxpool(2) -> conv(16, 5) -> relu -> maxpool(2)
  flatten -> linear(120) -> relu -> linear(84) -> relu -> linear(classes)
}

block Basic(c, stride=1): [cin, H, W] -> [c, _, _] {
  residual(shortcut=Shortcut(c, stride)) {
    conv(c, 3, stride=stride, bias=false) -> bn -> relu -> conv(c, 3, bias=false) -> bn
  }
  relu
}
block Shortcut(c, stride): [cin, H, W] -> [c, _, _] {
  if stride != 1 or cin != c { conv(c, 1, stride=stride, padding=0, bias=false) -> bn }
}
net ResNet8(classes=10) {
  input image [1, 16, 16]
  conv(16, 3, bias=false) -> bn -> relu
  Basic(16) -> Basic(32, 2) -> Basic(64, 2)
  gap -> linear(classes)
}

net ConvNeXtNano(classes=10) {
  input image [1, 16, 16]
  patchify(32, 2) -> layernorm(eps=1e-6)
  repeat 2 { residual(scale=1e-6) { dwconv(5) -> layernorm(eps=1e-6) -> linear(128) -> gelu -> linear(32) } }
  layernorm(eps=1e-6) -> patchify(64, 2)
  repeat 2 { residual(scale=1e-6) { dwconv(3) -> layernorm(eps=1e-6) -> linear(256) -> gelu -> linear(64) } }
  gap -> layernorm(eps=1e-6) -> linear(classes)
}

net ViTTiny(classes=10) {
  input image [1, 16, 16]
  patchify(48, 4) -> flatten(start=1) -> permute((1, 0))
  it + param((16, 48), init=normal)
  repeat 3 {
    residual { layernorm -> attention(4) }
    residual { layernorm -> linear(96) -> gelu -> linear(48) }
  }
  layernorm -> reduce_mean(axis=0) -> linear(classes)
}
"""
NETS = ("LeNet", "ResNet8", "ConvNeXtNano", "ViTTiny")
BATCH, LR = 64, 2e-3


Split = tuple[Tensor, Tensor]
"""Pixels, uint8 [N, 1, 16, 16], and classes, int64 [N]."""


def digits() -> tuple[Split, Split]:
    """scikit-learn's digits at 16 x 16 pixels, a fifth of every class held out."""
    found = load_digits()
    pixels = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    pixels = functional.interpolate(pixels, size=(16, 16), mode="bilinear").mul(255).round().to(torch.uint8)
    train, test = train_test_split(np.arange(len(pixels)), test_size=0.2, stratify=found.target, random_state=0)
    labels = torch.tensor(found.target)
    return (pixels[train], labels[train]), (pixels[test], labels[test])


class Digits(Dataset[tuple[Tensor, int]]):
    """Images with a transform for each: scaled to 0..1, then normalised."""

    def __init__(self, split: Split, mean: float, std: float) -> None:
        self.pixels, self.labels = split
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return (self.pixels[i].float() / 255 - self.mean) / self.std, int(self.labels[i])


def plain(name: str, train: Split, test: Split, epochs: int, seed: int) -> float:
    """Accuracy of the plain script on the test split."""
    torch.manual_seed(seed)
    model: nn.Module = getattr(plain_nets, name)()
    pixels = train[0].float() / 255
    mean, std = float(pixels.mean()), float(pixels.std())
    loader = DataLoader(Digits(train, mean, std), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    steps = len(loader)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-8, 1.0, steps)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * (epochs - 1))
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [steps])
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            loss.item()
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in DataLoader(Digits(test, mean, std), batch_size=256):
            right += int((model(x).argmax(1) == y).sum())
    return right / len(test[1])


def prepared(spec: Spec, name: str, folder: Path, epochs: int, seed: int) -> Prepared:
    """netdsl's side before its first update: the recipe above in netdsl's words."""
    once = Duration(epochs, "epochs")
    recipe = Recipe(
        data=Npz("digits.npz"),
        epochs=epochs,
        batch=BATCH,
        optimizer=AdamW(lr=LR),
        seed=seed,
        evaluate=once,
        checkpoint=once,
    )
    return prepare(spec.net(name), recipe, folder, torch.device("cpu"))


def ours(ready: Prepared, folder: Path) -> float:
    """Accuracy of netdsl's trainer on the test split."""
    loop = start(ready, folder, ProcessGroup(), lambda what, numbers: None)
    loop.run()
    return float(finish(ready, loop, folder)["top1"])


def alone(name: str, folder: Path, epochs: int, seed: int) -> tuple[float, float]:
    """Accuracy and CPU seconds of the plain script, in a process that netdsl has not touched."""
    command = [sys.executable, __file__, "--plain", name, str(folder), str(epochs), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    accuracy, seconds = done.stdout.split()
    return float(accuracy), float(seconds)


def compare(spec: Spec, name: str, folder: Path, epochs: int, seeds: int) -> str:
    """One line of the table."""
    rows = []
    for seed in range(seeds):
        ready = prepared(spec, name, folder, epochs, seed)
        began = time.process_time()
        own = ours(ready, folder)
        seconds = time.process_time() - began
        theirs, other = alone(name, folder, epochs, seed)
        rows.append((100 * theirs, 100 * own, other / seconds))
    *accuracies, ratios = zip(*rows, strict=True)
    theirs_shown, own_shown = (f"{statistics.mean(a):6.2f} +- {spread(a):4.2f}" for a in accuracies)
    sizes = [parameters(getattr(plain_nets, name)()), parameters(ready.module)]
    assert sizes[0] == sizes[1], f"{name}: {sizes} parameters"
    return f"{name:14}{theirs_shown:>16}{own_shown:>16}{statistics.median(ratios):9.2f}x{sizes[0]:>10,}"


def spread(values: Sequence[float]) -> float:
    """The standard deviation; 0 for a single number."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--plain"]:
        name, folder = sys.argv[2], Path(sys.argv[3])
        arrays = {n: torch.from_numpy(a) for n, a in np.load(folder / "digits.npz").items()}
        train, test = (arrays["x"], arrays["y"]), (arrays["x_test"], arrays["y_test"])
        began = time.process_time()
        print(plain(name, train, test, int(sys.argv[4]), int(sys.argv[5])), time.process_time() - began)
        return
    epochs, seeds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 40), (2, 3)))
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else NETS
    spec = Spec(Source(SPEC, "digits.net"), lambda name, importer: None)
    print(f"{seeds} seeds, {epochs} epochs; accuracy on the test split in %, mean and deviation over the seeds")
    print(f"{'net':14}{'plain script':>16}{'netdsl':>16}{'speed':>10}{'params':>10}")
    with tempfile.TemporaryDirectory() as temporary:
        folder, splits = Path(temporary), digits()
        arrays = zip(("x", "y", "x_test", "y_test"), (*splits[0], *splits[1]), strict=True)
        np.savez(folder / "digits.npz", **{n: t.numpy() for n, t in arrays})
        for name in names:
            print(compare(spec, name, folder, epochs, seeds), flush=True)


if __name__ == "__main__":
    main()
