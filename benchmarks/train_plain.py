"""netdsl's trainer against a plain PyTorch script of the same net and recipe, on the digits: accuracy and CPU time.

    python benchmarks/train_plain.py [epochs] [seeds]

The script is the loop anybody would write: a DataLoader with a per-sample transform, AdamW with its defaults, torch's
schedulers, `loss.item()` at every step. The net, the split, the batch, the lr and its schedule are the same; both
evaluate once, at the end. One thread; the two take turns, seed by seed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from netdsl.pipeline import Net, Spec
from netdsl.recipe.optimizers import AdamW
from netdsl.recipe.schema import Recipe
from netdsl.recipe.word import Duration
from netdsl.source import Source
from netdsl.training.data import DataSet
from netdsl.training.ranks import Ranks
from netdsl.training.run import Prepared, finish, prepare, start

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
  patchify(48, 4) -> flatten(1) -> permute((1, 0))
  it + param((16, 48), init=normal)
  repeat 3 {
    residual { layernorm -> attention(4) }
    residual { layernorm -> linear(96) -> gelu -> linear(48) }
  }
  layernorm -> reduce_mean(0) -> linear(classes)
}
"""
NETS = ("LeNet", "ResNet8", "ConvNeXtNano", "ViTTiny")
BATCH, LR = 64, 2e-3


class Digits(Dataset[tuple[torch.Tensor, int]]):
    """The training split, as a data set with a transform for each sample."""

    def __init__(self, data: DataSet, mean: float, std: float) -> None:
        self.pixels, self.labels = data.train.inputs[0], data.train.target
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return (self.pixels[i].float() / 255 - self.mean) / self.std, int(self.labels[i])


def plain(net: Net, data: DataSet, epochs: int, seed: int) -> float:
    """Accuracy of the plain script."""
    module: nn.Module = net.module(seed)
    torch.manual_seed(seed)
    pixels = data.train.inputs[0].float() / 255
    mean, std = float(pixels.mean()), float(pixels.std())
    loader = DataLoader(Digits(data, mean, std), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LR)
    steps = len(loader)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-8, 1.0, steps)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * (epochs - 1))
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [steps])
    for _ in range(epochs):
        module.train()
        for x, y in loader:
            loss = functional.cross_entropy(module(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            loss.item()
    module.eval()
    with torch.no_grad():
        guess = module((data.test.inputs[0].float() / 255 - mean) / std).argmax(1)
    return float((guess == data.test.target).float().mean())


def ours(prepared: Prepared) -> float:
    """Accuracy of netdsl's trainer."""
    with tempfile.TemporaryDirectory() as folder:
        loop = start(prepared, Path(folder), Ranks(), lambda what, numbers: None)
        loop.run()
        return float(finish(prepared, loop, Path(folder))["top1"])


def main() -> None:
    torch.set_num_threads(1)
    epochs, seeds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 10), (2, 3)))
    spec = Spec(Source(SPEC, "digits.net"), lambda name, importer: None)
    for name in NETS:
        rows = []
        for seed in range(seeds):
            once = Duration(epochs, "epochs")
            recipe = Recipe(
                epochs=epochs, batch=BATCH, optimizer=AdamW(lr=LR), seed=seed, evaluate=once, checkpoint=once
            )
            net = spec.net(name)
            prepared = prepare(net, recipe, Path(), torch.device("cpu"))
            times, accuracies = [], []
            for run in (lambda: plain(net, prepared.data, epochs, seed), lambda: ours(prepared)):  # noqa: B023
                began = time.process_time()
                accuracies.append(run())
                times.append(time.process_time() - began)
            rows.append((*accuracies, times[0] / times[1]))
        a, b, speed = (statistics.mean(column) for column in zip(*rows, strict=True))
        print(f"{name:14} plain {a:.2%}  netdsl {b:.2%}  ({seeds} seeds, {epochs} epochs)  {speed:.2f}x as fast")


if __name__ == "__main__":
    main()
