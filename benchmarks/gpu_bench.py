"""Training on one GPU: netdsl's trainer against the best loop by hand around torchvision's or timm's module.

    make gpu-bench                 at most 8 minutes on one H100 or H200, no network
    make gpu-bench DEVICE=cpu      a rehearsal at small sizes: it shows that the script runs, and measures nothing

Both sides have the same images in memory on the device (uint8, random), the same arithmetic (bf16 autocast,
channels_last), a fused optimizer, and the compiler where it is said; they take turns, block by block, and the median of
the ratios is reported. Then the feed of recipe A2 against transforms image by image on the device, as torchvision's,
and an epoch of airbench94.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gpu_nets
import plain_nets
import torch
from gpu_runs import Report, Step, in_turns, made_images, opened, parsed, timed, trainer, wait
from torch import Tensor, nn
from torch.nn import functional

import netdsl
from netdsl.training.trainer import Trainer

PEAK = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}
"""Dense bf16 operations a second."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Scale:
    """Sizes of a measurement: images at once, their side, how many lie in memory, steps of a block, blocks."""

    batch: int
    side: int
    images: int
    block: int
    rounds: int


FULL, SMALL = Scale(256, 224, 1024, 8, 9), Scale(2, 64, 8, 1, 2)


@dataclass(frozen=True)
class Contest:
    """A net of the zoo, the same by hand, and whether both are compiled. `small`: arguments of a rehearsal."""

    spec: str
    net: str
    hand: Callable[..., nn.Module]
    compiled: bool
    needs: float
    small: dict[str, Any]
    small_hand: dict[str, Any]


CONTESTS = (
    Contest("convnext", "ConvNeXt_T", plain_nets.ConvNeXt, True, 150, {"size": 64}, {}),
    Contest("resnet", "ResNet50", gpu_nets.ResNet50, False, 45, {}, {}),
    Contest("vit", "DeiT_S", gpu_nets.ViT, True, 110, {"size": 64}, {"size": 64}),
    Contest("swin", "Swin_T", gpu_nets.Swin, False, 60, {"size": 64, "window": 2}, {"size": 64, "window": 2}),
)
"""The most important first. `needs`: seconds without which it is not begun."""


def by_hand(module: nn.Module, compiled: bool, images: Tensor, target: Tensor, batch: int) -> Step:
    """The best loop by hand: fused AdamW, autocast, channels_last, nothing that waits for the device."""
    device = images.device
    module = module.to(device, memory_format=torch.channels_last).train()
    if compiled:
        module.compile()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) * 255 for x in (MEAN, STD))
    order = torch.randperm(len(images), device=device)

    def step(i: int) -> None:
        index = order.roll(-i * batch)[:batch]
        x = images[index].contiguous(memory_format=torch.channels_last).float().sub_(mean).div_(std)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = functional.cross_entropy(module(x), target[index], label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ours(contest: Contest, scale: Scale, device: torch.device) -> tuple[Trainer, int]:
    """netdsl's trainer of a contest, and the multiply-accumulates of a sample."""
    settings = {
        "batch": scale.batch, "steps": 100_000, "optimizer": "adamw(lr=1e-4, weight_decay=0.05)",
        "loss": "cross_entropy(label_smoothing=0.1)", "schedule": "constant", "precision": "bf16",
        "standardize": f"fixed({list(MEAN)}, {list(STD)})", "layout": "channels_last", "validation": 0,
        "compile": "on" if contest.compiled and device.type == "cuda" else "off",
    }  # fmt: skip
    spec = netdsl.open_spec(contest.spec)
    fields = {k: str(v) for k, v in settings.items()}
    found = opened(spec, contest.net, "none", fields, contest.small if scale is SMALL else {})
    data = made_images(scale.images, scale.side, 1000)
    return trainer(found, data, device), int(found.net.summary().macs)


def compete(contest: Contest, device: torch.device, report: Report) -> None:
    """One net, both sides."""
    scale = FULL if device.type == "cuda" else SMALL
    loop, macs = ours(contest, scale, device)
    module = contest.hand(**(contest.small_hand if scale is SMALL else {}))
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for p in loop.module.parameters())
    (images,), target = loop.feed.split.inputs, loop.feed.split.target
    hand = by_hand(module, contest.compiled and device.type == "cuda", images, target.long(), scale.batch)
    first = {"netdsl": timed(loop.update, 0, 1, device), "hand": timed(hand, 0, 1, device)}
    for step in (loop.update, hand):
        timed(step, 1, min(5, scale.rounds), device)
    found = in_turns(loop.update, hand, scale.block, scale.rounds, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    peak = next((p for key, p in PEAK.items() if key in name), None)
    speed = {side: scale.batch / found[side] for side in ("netdsl", "hand")}
    report.add(
        part=contest.net, batch=scale.batch, side=scale.side, compiled=contest.compiled and device.type == "cuda",
        images_per_second={k: round(v, 1) for k, v in speed.items()}, ratio=round(found["ratio"], 4),
        mfu={k: round(6 * macs * v / peak, 4) for k, v in speed.items()} if peak else None,
        first_step_seconds={k: round(v, 2) for k, v in first.items()},
        gib=round(torch.cuda.max_memory_allocated(device) / 2**30, 1) if device.type == "cuda" else None,
    )  # fmt: skip


# The feed.


def _affine(x: Tensor, matrix: list[list[float]]) -> Tensor:
    grid = functional.affine_grid(x.new_tensor([matrix]), [1, *x.shape], align_corners=False)
    return functional.grid_sample(x[None], grid, mode="bilinear", align_corners=False)[0]


def _equalized(x: Tensor) -> Tensor:
    flat = (x * 255).long().clamp(0, 255).flatten(1)
    counts = torch.zeros(len(x), 256, device=x.device).scatter_add_(1, flat, torch.ones_like(flat, dtype=x.dtype))
    table = counts.cumsum(1) / flat.shape[1]
    return table.gather(1, flat).view_as(x)


def _blended(x: Tensor, other: Tensor, factor: float) -> Tensor:
    return (other + (x - other) * factor).clamp(0, 1)


def _grey(x: Tensor) -> Tensor:
    return (x[0] * 0.299 + x[1] * 0.587 + x[2] * 0.114).expand_as(x)


def _smoothed(x: Tensor) -> Tensor:
    kernel = x.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div(13).expand(3, 1, 3, 3)
    return functional.conv2d(x[None], kernel, padding=1, groups=3)[0]


def _operations(level: float) -> list[Callable[[Tensor], Tensor]]:
    """RandAugment's fifteen on one image from 0 to 1, at a level from 0 to 1."""
    sign = random.choice((-1, 1))
    turn, slant, move = torch.tensor(sign * level * 0.52), sign * level * 0.3, sign * level * 0.9
    c, s = float(turn.cos()), float(turn.sin())
    factor = 1 + sign * level * 0.9
    return [
        lambda x: (x - x.amin((1, 2), True)) / (x.amax((1, 2), True) - x.amin((1, 2), True)).clamp(min=1e-3),
        _equalized,
        lambda x: 1 - x,
        lambda x: _affine(x, [[c, -s, 0], [s, c, 0]]),
        lambda x: (x * 255).to(torch.uint8).bitwise_and(256 - 2 ** int(4 * level)).float() / 255,
        lambda x: torch.where(x < 1 - level, x, 1 - x),
        lambda x: torch.where(x < 0.5, (x + level * 0.43).clamp(max=1), x),
        lambda x: _blended(x, _grey(x), factor),
        lambda x: _blended(x, _grey(x).mean().expand_as(x), factor),
        lambda x: (x * factor).clamp(0, 1),
        lambda x: _blended(x, _smoothed(x), factor),
        lambda x: _affine(x, [[1, slant, 0], [0, 1, 0]]),
        lambda x: _affine(x, [[1, 0, 0], [slant, 1, 0]]),
        lambda x: _affine(x, [[1, 0, move], [0, 1, 0]]),
        lambda x: _affine(x, [[1, 0, 0], [0, 1, move]]),
    ]


def image_by_image(images: Tensor, index: list[int], side: int) -> Tensor:
    """The transforms of A2 as torchvision's run on a device: one image after the other."""
    found = []
    for i in index:
        x = images[i]
        height, width = x.shape[1:]
        area, ratio = height * width * random.uniform(0.08, 1), 2 ** random.uniform(-0.415, 0.415)
        h, w = min(height, max(1, round((area / ratio) ** 0.5))), min(width, max(1, round((area * ratio) ** 0.5)))
        top, left = random.randint(0, height - h), random.randint(0, width - w)
        x = x[None, :, top : top + h, left : left + w].float() / 255
        x = functional.interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 1)[0]
        if random.random() < 0.5:
            x = x.flip(2)
        for _ in range(2):
            if random.random() < 0.5:
                level = min(1.0, max(0.0, random.gauss(7, 0.5) / 10))
                x = random.choice(_operations(level))(x)
        found.append(x)
    return torch.stack(found)


def mixed(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mixup (alpha 0.1) or cutmix (alpha 1) of a batch with itself, rolled by one."""
    if random.random() < 0.5:
        share = random.betavariate(0.1, 0.1)
        x = x * share + x.roll(1, 0) * (1 - share)
    else:
        side = x.shape[2]
        half = int((1 - random.random()) ** 0.5 * side / 2)
        row, column = random.randrange(side), random.randrange(side)
        box = (slice(max(0, row - half), row + half), slice(max(0, column - half), column + half))
        share = 1 - (box[0].stop - box[0].start) * (box[1].stop - box[1].start) / side**2
        other = x.roll(1, 0)
        x[:, :, box[0], box[1]] = other[:, :, box[0], box[1]]
    return x, target * share + target.roll(1, 0) * (1 - share)


def feed(device: torch.device, report: Report) -> None:
    """The batches of A2 alone: netdsl's against those made image by image."""
    scale = FULL if device.type == "cuda" else SMALL
    settings = {"batch": str(scale.batch), "epochs": "1000", "compile": "off", "drop_path": "none"}
    found = opened(netdsl.open_spec("resnet"), "ResNet50", "A2", settings)
    loop = trainer(found, made_images(scale.images, 224, 1000), device)
    images = loop.feed.split.inputs[0]
    one_hot = functional.one_hot(loop.feed.split.target.long(), 1000).float()

    def hand(i: int) -> None:
        index = random.sample(range(len(images)), scale.batch)
        mixed(image_by_image(images, index, 224), one_hot[torch.tensor(index, device=device)])

    for step in (loop.feed.batch, hand):
        timed(step, 0, 1, device)
    seconds = in_turns(loop.feed.batch, hand, 1, min(5, scale.rounds), device)
    speed = {side: round(scale.batch / seconds[side], 1) for side in ("netdsl", "hand")}
    report.add(part="feed of A2", batch=scale.batch, images_per_second=speed, ratio=round(seconds["ratio"], 3))


def airbench(device: torch.device, report: Report) -> None:
    """An epoch of airbench94's recipe on 50,000 images of 32 x 32."""
    full = device.type == "cuda"
    settings = {} if full else {"batch": "4"}
    found = opened(netdsl.open_spec("airbench"), "AirBench94", "CIFAR10", {**settings, "compile": "off"})
    loop = trainer(found, made_images(50_000 if full else 8, 32, 10), device)
    timed(loop.update, 0, 10 if full else 1, device)
    seconds = timed(loop.update, 10 if full else 1, loop.per_epoch, device)
    report.add(part="airbench94", batch=loop.recipe.batch, steps=loop.per_epoch, seconds_an_epoch=round(seconds, 3))


def main() -> None:
    parts = [(c.net, c.needs, partial(compete, c)) for c in CONTESTS]
    parts += [("feed", 30, feed), ("airbench", 15, airbench)]
    device, report, only = parsed(__doc__, "out/gpu-bench.json", 480, [name for name, _, _ in parts])
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    for name, needs, run in parts:
        if name not in only:
            continue
        if report.left < needs:
            report.add(part=name, skipped=f"{report.left:.0f} s left, it needs {needs:.0f}")
            continue
        run(device, report)
        torch._dynamo.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        wait(device)


if __name__ == "__main__":
    main()
