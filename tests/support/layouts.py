"""How other libraries call the weights of the zoo's nets, and which of them are which of ours.

`data/layouts.json.gz`, by `library/name`: `parameters` and `buffers` in order of registration, each as how many parts
of its path it shares with the one before, the rest of its path, and its shape; `order`: the parameters in order of use,
as ranges, where that is another. torchvision 0.28.0, timm 1.0.31, and nets written by hand in plain torch.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from paths import DATA
from zoo_tables import entries, net

from netdsl.analysis.count import parameters
from netdsl.ir.flatten import flatten
from netdsl.weights.match import Matching
from netdsl.weights.slots import Slot

OTHER_NAMES = (
    ("googlenet:GoogLeNet", "torchvision/googlenet:noaux"),
    ("inception_v3:InceptionV3", "torchvision/inception_v3:noaux"),
    ("vit:DeiT_Ti", "timm/vit_tiny_patch16_224"),
    ("swin:Swin_T", "timm/swin_tiny_patch4_window7_224"),
    ("mobilenet_v2:MobileNetV2", "timm/mobilenetv2_100"),
    ("mobilenet_v3:MobileNetV3_Large", "timm/mobilenetv3_large_100"),
)
"""Nets of the zoo under another name than the reference: timm's, and files without auxiliary heads."""


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress((DATA / "layouts.json.gz").read_bytes()))
    return found


def layouts() -> list[tuple[str, str]]:
    """Every net of the zoo with each of its layouts."""
    found = []
    for own, entry in entries().items():
        name = entry.get("net") or entry.get("weights")
        found += [(own, f"{lib}/{name}") for lib in ("torchvision", "timm", "hand") if f"{lib}/{name}" in _table()]
    return found + list(OTHER_NAMES)


def _unpacked(rows: list[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    path: list[str] = []
    for row in rows:
        shared, rest, shape = row.split(" ")
        path = path[: int(shared)] + rest.split(".")
        yield ".".join(path), () if shape == "-" else tuple(int(n) for n in shape.split("x"))


def registered(layout: str) -> list[tuple[str, tuple[int, ...]]]:
    return list(_unpacked(_table()[layout]["parameters"]))


def tensors(layout: str) -> list[Slot]:
    """All tensors of a file in this layout."""
    buffers = [
        Slot(key, shape, key.endswith(("num_batches_tracked", "index")))
        for key, shape in _unpacked(_table()[layout]["buffers"])
    ]
    return [Slot(key, shape) for key, shape in registered(layout)] + buffers


def shuffled(layout: str, seed: int) -> list[Slot]:
    found = tensors(layout)
    random.Random(seed).shuffle(found)
    return found


def truth(own: str, layout: str) -> dict[str, str]:
    """Which parameter of the file is which of the net: both in order of use, their shapes compared one by one.

    Layers that only outputs while training need are left out where the file has none. Empty where the two still do not
    register the same tensors.
    """
    program = net(own).checked
    every = [(p.path, _plain(p.shape)) for p in parameters(program.main)]
    used_at_inference = {node.layer_path for node in flatten(program)}
    kept = [pair for pair in every if _owner(pair[0]) in used_at_inference or pair[0] in used_at_inference]
    theirs = registered(layout)
    ranges = [(r, r) if isinstance(r, int) else r for r in _table()[layout]["order"]] or [(0, len(theirs) - 1)]
    used = [theirs[i] for first, last in ranges for i in range(first, last + 1)]
    for mine in (every, kept):
        for order in (used, theirs):
            pairs = list(zip(mine, order, strict=False))
            if len(mine) == len(order) and all(a[1] == _plain(b[1]) for a, b in pairs):
                return {a[0]: b[0] for a, b in pairs}
    return {}


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(n for n in shape if n != 1))


def wrong(found: Matching, true: dict[str, str]) -> list[tuple[str, str]]:
    """Pairs of a matching that are not the true ones.

    Within a layer, whose tensors a library may register in another order, roles decide: weight and bias by name.
    """
    owners = {_owner(mine): _owner(theirs) for mine, theirs in true.items() if _role(mine) in NAMED}
    pairs = [(m.own.keys[0], m.foreign.keys[0]) for m in found.matches]
    return [pair for pair in pairs if _is_wrong(*pair, owners, true)]


def _is_wrong(mine: str, theirs: str, owners: dict[str, str], true: dict[str, str]) -> bool:
    if _role(mine) not in NAMED or _role(theirs) not in NAMED:
        return true.get(mine, theirs) != theirs
    return _role(mine) != _role(theirs) or owners.get(_owner(mine), _owner(theirs)) != _owner(theirs)


NAMED = ("weight", "bias", "gain", "running_mean", "running_var", "num_batches_tracked")


def _owner(key: str) -> str:
    return key.rpartition(".")[0]


def _role(key: str) -> str:
    return key.rpartition(".")[2]


def scrambled(keys: list[str], seed: object, numbers: bool = True) -> dict[str, str]:
    """Keys in words that mean nothing, the same for the same word; without `numbers` a name is a word as a whole."""
    draw = random.Random(str(seed))
    words: dict[str, str] = {}

    def word(text: str) -> str:
        if text not in words:
            words[text] = "".join(draw.choice("bdfgjklmnprstvz") + draw.choice("aeiou") for _ in range(4))
        return words[text]

    def part(name: str) -> str:
        if numbers:
            return re.sub(r"[A-Za-z]+", lambda m: word(m[0]), name)
        return name if name.isdecimal() else word(name)

    return {key: ".".join([*map(part, key.split(".")[:-1]), key.rpartition(".")[2]]) for key in keys}
