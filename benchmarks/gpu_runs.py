"""Parts of the GPU test and the GPU benchmark: trainers on made data, turns of two loops, and reports by line."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import netdsl
from netdsl.selection import select
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.entry import choose_arithmetic
from netdsl.training.setup import prepare, start
from netdsl.training.trainer import Trainer

Step = Callable[[int], object]


def made_images(count: int, side: int, classes: int, seed: int = 0) -> DataSet:
    """Random images uint8 [N, 3, side, side] and classes: what is measured does not depend on what they show."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=random)
    target = torch.randint(0, classes, (count,), generator=random)
    few = max(1, min(count, 64))
    names = tuple(map(str, range(classes)))
    return DataSet("made", Split((images,), target), Split((images[:few],), target[:few]), classes=names)


def opened(spec: Any, net: str | None, recipe: str | None, settings: dict[str, str], arguments: Any = None) -> Any:
    """A net of a spec with its recipe, to be given data; mistakes end the script."""
    found = select(spec, net, recipe, {"data": "synthetic", **settings}, arguments or {}, {})
    if found.net is None or found.recipe is None:
        raise ValueError("; ".join(d.message for d in found.diagnostics))
    return found


def trainer(found: Any, data: DataSet, device: torch.device, folder: Path | None = None) -> Trainer:
    """The trainer of a run on these data, at its first step."""
    choose_arithmetic(found.recipe, device)
    prepared = prepare(found.net, found.recipe, Path.cwd(), device, data)
    folder = Path(tempfile.mkdtemp()) if folder is None else folder
    return start(prepared, folder, ProcessGroup(), lambda what, numbers: None)


def text_trainer(text: str, fields: dict[str, Any], data: DataSet, device: torch.device) -> Trainer:
    """The trainer of the first net of a spec that is given as text."""
    spec = netdsl.Spec(netdsl.Source(text, "gpu.net"), lambda *_: None)
    return trainer(opened(spec, None, None, {k: str(v) for k, v in fields.items()}), data, device)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(step: Step, first: int, count: int, device: torch.device) -> float:
    """Seconds of some steps, until the device has done them."""
    wait(device)
    began = time.perf_counter()
    for i in range(first, first + count):
        step(i)
    wait(device)
    return time.perf_counter() - began


def in_turns(ours: Step, theirs: Step, count: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Seconds of a step of two loops that take turns in blocks of `count` steps, and the median of how much faster
    ours is, block by block."""
    times: dict[str, list[float]] = {"netdsl": [], "hand": []}
    for r in range(rounds):
        order = (("netdsl", ours), ("hand", theirs))
        for name, step in order if r % 2 else order[::-1]:
            times[name].append(timed(step, r * count, count, device) / count)
    pairs = zip(times["hand"], times["netdsl"], strict=True)
    found = {name: statistics.median(seconds) for name, seconds in times.items()}
    return found | {"ratio": statistics.median(a / b for a, b in pairs)}


class Report:
    """Results line by line: shown, and in a JSON file that is whole after each of them."""

    def __init__(self, file: Path, seconds: float, device: torch.device) -> None:
        self.file, self.seconds, self.began = file, seconds, time.perf_counter()
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.about = {"device": name, "torch": str(torch.__version__), "netdsl": netdsl.__version__}
        self.rows: list[dict[str, Any]] = []
        file.parent.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.began)

    def add(self, **row: Any) -> None:
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        new = self.file.with_suffix(".new")
        new.write_text(
            json.dumps({**self.about, "seconds": round(self.seconds - self.left, 1), "rows": self.rows}, indent=1)
        )
        new.replace(self.file)


def parsed(doc: str | None, out: str, seconds: float, parts: Sequence[str]) -> tuple[torch.device, Report, list[str]]:
    """The device, the report and the parts that are asked for: all of them, or some by name."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="no further part begins without time left for it"
    )
    parser.add_argument("--only", default="", help="parts by name, with commas")
    args = parser.parse_args()
    only = [n for n in args.only.split(",") if n] or list(parts)
    if unknown := set(only) - set(parts):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    device = torch.device(args.device)
    seconds = args.seconds if device.type == "cuda" else 10 * args.seconds
    if device.type == "cuda":
        if not torch.cuda.is_available():
            sys.exit("torch sees no GPU: DEVICE=cpu rehearses at small sizes")
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device, Report(args.out, seconds, device), only
